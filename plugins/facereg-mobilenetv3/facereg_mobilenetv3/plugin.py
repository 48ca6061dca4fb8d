"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PAPER = "MobileNetV3 (Howard et al. 2019); ArcFace (Deng et al. 2019)"
SHA256 = "81d4c5258a3a80f66f546c7cfbc6aa2f113f6f837a376973c6fbbd79af2b3074"

NETWORK = NetworkSpec(
    name="mobilenetv3-arcface",
    inputs=(TensorSpec("images", "uint8", (None, 112, 112, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, 128)),),
    package="facereg_mobilenetv3",
    file="mobilenetv3-arcface.onnx",
    sha256=SHA256,
    max_batch=32,  # the largest that still gains on a CPU
    module="facereg_mobilenetv3.networks:build_deployed",
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="mobilenetv3-arcface",
            role="embedder",
            factory="facereg_mobilenetv3.embedder:MobileNetV3ArcFace",
            options_from="facereg.options:EmbedderOptions",
            networks=(NETWORK,),
            licence="MIT code; weights for research use (trained on CelebA, UTKFace, MTFL)",
            card="README of facereg-mobilenetv3",
            paper=PAPER,
            summary="MobileNetV3-small, 128-d, 112x112 crops enlarged to 224x224 inside",
            # LFW View 1, every two pictures of pairsDevTrain, with mtcnn (fallback) and five-point
            thresholds={0.01: 0.369, 0.001: 0.491, 0.0001: 0.586, 1e-5: 0.673},
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="mobilenetv3-distill",
            run="facereg_mobilenetv3.distill:run",
            summary="learn the embeddings of a teacher given as ONNX; no labels needed",
            settings_from="facereg_mobilenetv3.distill:DistillSettings",
        ),
        RecipeSpec(
            name="mobilenetv3-arcface",
            run="facereg_mobilenetv3.arcface:run",
            summary="ArcFace on identities, from scratch or from a distilled network",
            settings_from="facereg_mobilenetv3.arcface:ArcFaceSettings",
        ),
    ]
