"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from facereg import CommandSpec, ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, WeightsSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

CARD = "README of facereg-yolov5"
PAPER = "YOLOv5 v6 (Jocher et al. 2020); five landmarks as in YOLO5Face (Qi et al. 2021), arXiv:2105.12931"
SHA256 = "fb7d9d4ec4fefe34aea94be799e7264c886993e03bd17bc777ad4d90b32ac82f"
SMALL_SHA256 = "70f3870b342676b6b9123bb887f870cd4ac8739829beeb511c4a1a33b15270a4"

NETWORK = NetworkSpec(
    name="yolov5s-face",
    # letterboxed RGB; height and width are multiples of 32
    inputs=(TensorSpec("images", "uint8", (None, None, None, 3)),),
    outputs=(
        TensorSpec("boxes", "float32", (None, None, 4)),
        TensorSpec("scores", "float32", (None, None)),
        TensorSpec("landmarks", "float32", (None, None, 5, 2)),
    ),
    package="facereg_yolov5",
    file="yolov5s-face.onnx",
    sha256=SHA256,
    max_batch=16,
    bounded_calls=True,  # by the detector's two sizes
    module="facereg_yolov5.networks:build_deployed",
)
SMALL = replace(NETWORK, file="yolov5s-face-int8.onnx", sha256=SMALL_SHA256, module=None)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="yolov5s-face",
            role="detector",
            factory="facereg_yolov5.detector:YoloV5Face",
            options_from="facereg_yolov5.options:YoloOptions",
            networks=(NETWORK,),
            licence="MIT code; weights for research use (trained on CelebA, YouTube Faces, MTFL)",
            card=CARD,
            square=(0.91, 0.01),
            aligner="adnet-68",  # of facereg-adnet: more exact than its own five points
            paper=PAPER,
            summary="one-stage detector, five landmarks, pictures letterboxed to 640 px",
            weights=(
                WeightsSpec(
                    "int8",
                    (SMALL,),
                    card=CARD,
                    summary="the same on 8-bit integers: a quarter of the file, about twice as fast on CPUs with VNNI",
                    formerly=("yolov5s-face-int8",),
                ),
            ),
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="yolov5s-face",
            run="facereg_yolov5.recipe:run",
            summary="mosaics made on the device, CIoU, objectness and landmark losses, averaged weights",
            settings_from="facereg_yolov5.recipe:YoloSettings",
        )
    ]


@hookimpl
def facereg_commands() -> list[CommandSpec]:
    return [
        CommandSpec("yolov5-anchors", "facereg_yolov5.commands:anchors_app", "Fit anchors to a data set."),
        CommandSpec("yolov5-pack", "facereg_yolov5.commands:pack_app", "Pack training pictures into one file."),
    ]
