"""What this plugin brings; imports nothing heavy. No weights ship: users name a file."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

YOURS = "no weights ship; your file's licence holds"
YUNET = NetworkSpec(
    name="yunet",
    inputs=(TensorSpec("input", "float32", (None, 3, None, None)),),
    outputs=tuple(
        TensorSpec(f"{head}_{stride}", "float32", (None, None, width))
        for head, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        for stride in (8, 16, 32)
    ),
    package="facereg_onnx",
    file="yunet.onnx",
    max_batch=16,
)


def _detector(name: str, outputs: int) -> NetworkSpec:
    """Return a detector of any picture, whose heads are (N, A, C) or (N, C, A)."""
    return NetworkSpec(
        name=name,
        inputs=(TensorSpec("input", "float32", (None, 3, None, None)),),
        outputs=tuple(TensorSpec(f"output_{number}", "float32", (None, None, None)) for number in range(outputs)),
        package="facereg_onnx",
        file=f"{name}.onnx",
        max_batch=16,
        tensors_by_position=True,  # published files name their tensors as they please
    )


DETECTORS = (  # name, outputs, class, options, recogniser, paper, summary
    (
        "onnx-scrfd",
        9,
        "Scrfd",
        "ScrfdOptions",
        "scrfd",
        "Guo et al. 2021, Sample and Computation Redistribution for Efficient Face Detection, arXiv:2105.04714",
        "an SCRFD file of yours with points, as det_10g.onnx and det_500m.onnx of InsightFace",
    ),
    (
        "onnx-retinaface",
        3,
        "RetinaFace",
        "RetinaFaceOptions",
        "retinaface",
        "Deng et al. 2019, RetinaFace: Single-stage Dense Face Localisation in the Wild, arXiv:1905.00641",
        "a RetinaFace file of yours: offsets, classes and points of priors, as biubug6/Pytorch_Retinaface exports it",
    ),
    (
        "onnx-yolov5-face",
        1,
        "YoloV5FaceFile",
        "YoloFaceOptions",
        "yolov5_face",
        "Qi et al. 2021, YOLO5Face: Why Reinventing a Face Detector, arXiv:2105.12931",
        "a YOLOv5-face file of yours: (N, A, 16), decoded, as deepcam-cn/yolov5-face exports it",
    ),
    (
        "onnx-yolov8-face",
        1,
        "YoloV8FaceFile",
        "YoloFaceOptions",
        "yolov8_face",
        "YOLOv8 (Jocher et al. 2023) with five points",
        "a YOLOv8-face file of yours: (N, 20, A), decoded, as derronqi/yolov8-face exports it",
    ),
)

ARCFACE = NetworkSpec(
    name="onnx-arcface",
    inputs=(TensorSpec("input", "float32", (None, None, None, None)),),
    outputs=(TensorSpec("embedding", "float32", (None, None)),),
    package="facereg_onnx",
    file="arcface.onnx",
    tensors_by_position=True,
    bounded_calls=True,  # crops have one size
)

LANDMARKS = NetworkSpec(
    name="onnx-landmarks",
    inputs=(TensorSpec("input", "float32", (None, 3, None, None)),),
    outputs=(TensorSpec("points", "float32", (None, None)),),
    package="facereg_onnx",
    file="landmarks.onnx",
    max_batch=1,  # published files take one crop, and no more
    tensors_by_position=True,
    bounded_calls=True,
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="yunet",
            role="detector",
            factory="facereg_onnx.detectors:YuNet",
            options_from="facereg_onnx.options:YuNetOptions",
            networks=(YUNET,),
            licence="no weights ship; those of ShiqiYu/libfacedetection.train are BSD-3-Clause",
            square=(0.81, 0.13),
            recognises="facereg_onnx.recognising:yunet",
            paper="Wu et al. 2023, YuNet: A Tiny Millisecond-level Face Detector, doi:10.1007/s11633-023-1423-y",
            summary="a YuNet ONNX file of yours, five landmarks",
        ),
        *(
            ModelSpec(
                name=name,
                role="detector",
                factory=f"facereg_onnx.detectors:{made}",
                options_from=f"facereg_onnx.options:{options}",
                networks=(_detector(name, outputs),),
                licence=YOURS,
                recognises=f"facereg_onnx.recognising:{recogniser}",
                paper=paper,
                summary=summary,
            )
            for name, outputs, made, options, recogniser, paper, summary in DETECTORS
        ),
        ModelSpec(
            name="onnx-arcface",
            role="embedder",
            factory="facereg_onnx.arcface:OnnxArcFace",
            options_from="facereg_onnx.options:ArcFaceOptions",
            networks=(ARCFACE,),
            licence=YOURS,
            recognises="facereg_onnx.recognising:embedder",
            paper="Deng et al. 2019, ArcFace, arXiv:1801.07698",
            summary="an embedder of yours: square crops to (N, D), as ArcFace, AdaFace, SFace and FaceNet files",
        ),
        ModelSpec(
            name="onnx-landmarks",
            role="aligner",
            factory="facereg_onnx.landmarks:OnnxLandmarks",
            options_from="facereg_onnx.options:OnnxLandmarkOptions",
            networks=(LANDMARKS,),
            licence=YOURS,
            recognises="facereg_onnx.recognising:landmarks",
            paper="Guo et al. 2019, PFLD: A Practical Facial Landmark Detector, arXiv:1902.10859",
            summary="a landmark file of yours, 106, 98, 68, 29 or 5 points from the box alone: (1, 3, S, S) to (1, 2P)",
        ),
    ]
