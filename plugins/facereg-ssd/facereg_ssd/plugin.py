"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PAPER = "Liu et al. 2016, SSD: Single Shot MultiBox Detector, arXiv:1512.02325"
SHA256 = None
SIDE = 300  # px; of the network's input
BOXES = 8732  # default boxes at that size (the paper, section 3.1)

NETWORK = NetworkSpec(
    name="ssd300-vgg16",
    inputs=(TensorSpec("images", "uint8", (None, SIDE, SIDE, 3)),),
    outputs=(TensorSpec("boxes", "float32", (None, BOXES, 4)), TensorSpec("scores", "float32", (None, BOXES))),
    package="facereg_ssd",
    file="ssd300-vgg16.onnx",
    sha256=SHA256,
    max_batch=16,
    module="facereg_ssd.networks:build_deployed",
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="ssd300-vgg16",
            role="detector",
            factory="facereg_ssd.detector:Ssd300",
            options_from="facereg_ssd.options:SsdOptions",
            networks=(NETWORK,),
            square=(0.95, 0.01),
            aligner="adnet-68",  # of facereg-adnet: there are no landmarks here
            licence="MIT code; no weights ship, train them with recipe ssd300-vgg16",
            paper=PAPER,
            summary="one-stage detector without landmarks, pictures stretched to 300 x 300",
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="ssd300-vgg16",
            run="facereg_ssd.recipe:run",
            summary="torchvision's SSD loss and augmentation on hand-drawn boxes and pseudo-labels",
            settings_from="facereg_ssd.recipe:SsdSettings",
        )
    ]
