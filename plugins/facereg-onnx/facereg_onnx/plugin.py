"""What this plugin brings; imports nothing heavy. No weights ship: users name a file."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

STRIDES = (8, 16, 32)  # px between the cells of YuNet's three heads

YUNET = NetworkSpec(
    name="yunet",
    inputs=(TensorSpec("input", "float32", (None, 3, None, None)),),
    outputs=tuple(
        TensorSpec(f"{head}_{stride}", "float32", (None, None, width))
        for head, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        for stride in STRIDES
    ),
    package="facereg_onnx",
    file="yunet.onnx",
    max_batch=16,
)

ARCFACE = NetworkSpec(
    name="onnx-arcface",
    inputs=(TensorSpec("input", "float32", (None, 3, 112, 112)),),
    outputs=(TensorSpec("embedding", "float32", (None, None)),),
    package="facereg_onnx",
    file="arcface.onnx",
    tensors_by_position=True,  # published files name their tensors as they please
)

LANDMARKS = NetworkSpec(
    name="onnx-landmarks",
    inputs=(TensorSpec("input", "float32", (None, 3, None, None)),),
    outputs=(TensorSpec("points", "float32", (None, None)),),
    package="facereg_onnx",
    file="landmarks.onnx",
    max_batch=1,  # published files take one crop, and no more
    tensors_by_position=True,
    bounded_calls=True,  # crops have one size
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="yunet",
            role="detector",
            factory="facereg_onnx.yunet:YuNet",
            options_from="facereg_onnx.options:YuNetOptions",
            networks=(YUNET,),
            licence="no weights ship; those of ShiqiYu/libfacedetection.train are BSD-3-Clause",
            square=(0.81, 0.13),
            paper="Wu et al. 2023, YuNet: A Tiny Millisecond-level Face Detector, doi:10.1007/s11633-023-1423-y",
            summary="a YuNet ONNX file of yours, five landmarks",
        ),
        ModelSpec(
            name="onnx-arcface",
            role="embedder",
            factory="facereg_onnx.arcface:OnnxArcFace",
            options_from="facereg_onnx.options:ArcFaceOptions",
            networks=(ARCFACE,),
            licence="no weights ship; your file's licence holds",
            paper="Deng et al. 2019, ArcFace, arXiv:1801.07698",
            summary="an embedder of yours: (N, 3, 112, 112) RGB in -1..1 to (N, D)",
        ),
        ModelSpec(
            name="onnx-landmarks",
            role="aligner",
            factory="facereg_onnx.landmarks:OnnxLandmarks",
            options_from="facereg_onnx.options:OnnxLandmarkOptions",
            networks=(LANDMARKS,),
            licence="no weights ship; your file's licence holds",
            paper="Guo et al. 2019, PFLD: A Practical Facial Landmark Detector, arXiv:1902.10859",
            summary="a landmark file of yours, 98, 68, 29 or 5 points from the box alone: (1, 3, S, S) to (1, 2P)",
        ),
    ]
