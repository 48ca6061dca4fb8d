"""What may be set of the models; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import ContractError, EmbedderOptions, LandmarkOptions

Mean = float | tuple[float, ...]  # one number, or one a channel, in the file's order of them


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """Options of the detectors.

    Args:
        threshold: least score.
        overlap: IoU over which the lesser of two boxes is dropped.
        longest: px; larger pictures are made smaller first. None keeps every size.
        canvas: px, width and height of the picture that goes in, of a file that takes one size; `longest` has no say.
        mean, scale: pixels become (value - mean) / scale; mean is one number, or three with commas between.
        bgr: whether the file wants BGR.
    Raises:
        ContractError: if an option is out of range.
    """

    threshold: float = 0.5
    overlap: float = 0.4
    longest: int | None = 640
    canvas: tuple[int, int] | None = None
    mean: Mean = 0.0
    scale: float = 1.0
    bgr: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and 0 < self.overlap <= 1) or (self.longest is not None and self.longest < 1):
            raise ContractError(
                "expected 0 < threshold <= 1, 0 < overlap <= 1 and longest >= 1 or none, "
                f"got {self.threshold}, {self.overlap}, {self.longest}"
            )
        if self.canvas is not None and min(self.canvas) < 32:
            raise ContractError(f"canvas: expected sides of 32 px or more, got {self.canvas}")
        require_pixels(self.mean, self.scale)


@dataclass(frozen=True, slots=True)
class YuNetOptions(DetectorOptions):
    """Options of `yunet`, whose score is the geometric mean of two heads (Wu et al. 2023)."""

    threshold: float = 0.6
    overlap: float = 0.45
    longest: int | None = 1280
    bgr: bool = True


@dataclass(frozen=True, slots=True)
class ScrfdOptions(DetectorOptions):
    """Options of `onnx-scrfd`."""

    mean: Mean = 127.5  # as trained: insightface's configurations of SCRFD
    scale: float = 128.0


@dataclass(frozen=True, slots=True)
class RetinaFaceOptions(DetectorOptions):
    """Options of `onnx-retinaface`."""

    mean: Mean = (104.0, 117.0, 123.0)  # as trained: the means of ImageNet in BGR
    bgr: bool = True


@dataclass(frozen=True, slots=True)
class YoloFaceOptions(DetectorOptions):
    """Options of `onnx-yolov5-face` and `onnx-yolov8-face`."""

    scale: float = 255.0


@dataclass(frozen=True, slots=True)
class ArcFaceOptions(EmbedderOptions):
    """Options of `onnx-arcface`.

    Args:
        flip: add the vector of the mirrored crop; twice the work.
        mean, scale: pixels become (value - mean) / scale; 127.5 for most, 127.5 and 128 for FaceNet, 0 and 1 for SFace.
        bgr: whether the file wants BGR, as AdaFace and SFace do.
        size: px of the crop.
        template: x and y of the five landmarks in the crop, ten numbers; none is ArcFace's, as large as the crop.
        channels_last: whether the file takes (N, S, S, 3), as those of TensorFlow do.
    Raises:
        ContractError: if an option is out of range.
    """

    mean: Mean = 127.5
    scale: float = 127.5
    bgr: bool = False
    size: int = 112
    template: tuple[float, ...] | None = None
    channels_last: bool = False

    def __post_init__(self) -> None:
        require_pixels(self.mean, self.scale)
        if not 16 <= self.size <= 1024:
            raise ContractError(f"size: expected 16 to 1024 px, got {self.size}")
        if self.template is not None and len(self.template) != 10:
            raise ContractError(f"template: expected x and y of five landmarks, got {len(self.template)} numbers")


@dataclass(frozen=True, slots=True)
class OnnxLandmarkOptions(LandmarkOptions):
    """Options of `onnx-landmarks`, beside those of every landmark network.

    Args:
        layout: of the points that come out: wflw-98, 300w-68, insightface-106, cofw-29 or five.
        side: px of the crop that goes in.
        margin: the crop's side over the longer side of the box about all points, as in the file's training.
        mean, scale: pixels become (value - mean) / scale; 0 and 255 give 0..1.
        bgr: whether the file wants BGR.
        pixels: whether points come in px of the crop; else they are shares of its side.
        centred: whether points come in half sides from the middle of the crop, -1..1, as InsightFace's do.
    Raises:
        ContractError: if an option is out of range.
    """

    layout: str = "wflw-98"
    side: int = 112
    margin: float = 1.3
    mean: Mean = 0.0
    scale: float = 255.0
    bgr: bool = False
    pixels: bool = False
    centred: bool = False

    def __post_init__(self) -> None:
        LandmarkOptions.__post_init__(self)
        require_pixels(self.mean, self.scale)
        if not 16 <= self.side <= 1024 or not 0.5 <= self.margin <= 4:
            raise ContractError(
                f"onnx-landmarks: expected side 16 to 1024 and margin 0.5 to 4, got {self.side}, {self.margin:g}"
            )
        if self.pixels and self.centred:
            raise ContractError("onnx-landmarks: expected pixels or centred, got both")


def require_pixels(mean: Mean, scale: float) -> None:
    """Raise ContractError unless pixels can be scaled so."""
    if scale <= 0:
        raise ContractError(f"scale: expected more than 0, got {scale:g}")
    if not isinstance(mean, float | int) and len(mean) not in (1, 3):
        raise ContractError(f"mean: expected one number or three, got {len(mean)}")
