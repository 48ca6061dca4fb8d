"""What this plugin brings; imports nothing heavy. The weights come from the package face-recognition-models."""

from __future__ import annotations

from facereg import CommandSpec, InstalledFile, ModelSpec, NetworkSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PUBLISHED = InstalledFile(
    distribution="face-recognition-models",
    path="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    convert="facereg_dlib.conversion:convert",
)
NETWORK = NetworkSpec(
    name="dlib-resnet",
    inputs=(TensorSpec("images", "uint8", (None, 150, 150, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, 128)),),
    package="facereg_dlib",
    file="dlib-resnet.onnx",
    sha256="b40495dd26a75a3687e6403d5cde4fd5482a7ea64d886abd507d5c1539d15100",
    max_batch=32,
    installed=PUBLISHED,
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="dlib-resnet",
            role="embedder",
            factory="facereg_dlib.embedder:DlibResNet",
            options_from="facereg.options:EmbedderOptions",
            networks=(NETWORK,),
            card="README of facereg-dlib",
            licence="public domain (CC0 1.0), from the package face-recognition-models",
            paper="Davis King 2017, dlib-models; after He et al. 2016, Deep Residual Learning, arXiv:1512.03385",
            summary="dlib's ResNet of 29 convolutions, 128-d, 150x150 crops",
            # LFW View 1, every two pictures of pairsDevTrain, with mtcnn (fallback) and five-point
            thresholds={0.01: 0.912, 0.001: 0.930, 0.0001: 0.945, 1e-5: 0.955},
        )
    ]


@hookimpl
def facereg_commands() -> list[CommandSpec]:
    return [CommandSpec("dlib-convert", "facereg_dlib.commands:app", "Turn dlib's published ResNet into ONNX.")]
