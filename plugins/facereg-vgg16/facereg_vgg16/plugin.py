"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PAPER = "VGG (Simonyan and Zisserman 2014, arXiv:1409.1556); triplets (Hermans et al. 2017, arXiv:1703.07737)"

NETWORK = NetworkSpec(
    name="vgg16-online-triplet",
    inputs=(TensorSpec("images", "uint8", (None, 256, 256, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, 256)),),
    package="facereg_vgg16",
    file="vgg16-online-triplet.onnx",
    max_batch=8,
    module="facereg_vgg16.networks:build_deployed",
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="vgg16-online-triplet",
            role="embedder",
            factory="facereg_vgg16.embedder:Vgg16Triplet",
            options_from="facereg.options:EmbedderOptions",
            networks=(NETWORK,),
            licence="MIT code; no weights ship (540 MB), train them with recipe vgg16-online-triplet",
            paper=PAPER,
            summary="VGG16, 256-d, 256x256 crops; its recipe, no weights",
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="vgg16-online-triplet",
            run="facereg_vgg16.recipe:run",
            summary="triplets of identities mined in each batch: all, semi-hard or batch-hard",
            settings_from="facereg_vgg16.recipe:OnlineTripletSettings",
        )
    ]
