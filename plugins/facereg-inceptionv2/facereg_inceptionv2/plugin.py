"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PAPER = "Inception-v2 (Szegedy et al. 2015, arXiv:1512.00567); triplet loss (Schroff et al. 2015, arXiv:1503.03832)"
SHA256 = None

NETWORK = NetworkSpec(
    name="inceptionv2-triplet",
    inputs=(TensorSpec("images", "uint8", (None, 112, 112, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, 128)),),
    package="facereg_inceptionv2",
    file="inceptionv2-triplet.onnx",
    sha256=SHA256,
    max_batch=32,
    module="facereg_inceptionv2.networks:build_deployed",
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="inceptionv2-triplet",
            role="embedder",
            factory="facereg_inceptionv2.embedder:InceptionV2Triplet",
            options_from="facereg.options:EmbedderOptions",
            networks=(NETWORK,),
            licence="MIT code; no weights ship yet, train them with recipe inceptionv2-triplet",
            paper=PAPER,
            summary="Inception-v2, 128-d, 112x112 crops",
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="inceptionv2-triplet",
            run="facereg_inceptionv2.recipe:run",
            summary="offline triplets of identities: anchor, positive and negative, written once and read",
            settings_from="facereg_inceptionv2.recipe:TripletSettings",
        )
    ]
