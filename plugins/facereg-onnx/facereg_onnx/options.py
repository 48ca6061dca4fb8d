"""What may be set of the models; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import ContractError, EmbedderOptions, LandmarkOptions


@dataclass(frozen=True, slots=True)
class YuNetOptions:
    """Options of `yunet`.

    Args:
        threshold: least score, the geometric mean of the two heads (Wu et al. 2023).
        overlap: IoU over which the lesser of two boxes is dropped.
        longest: px; larger pictures are made smaller first. None keeps every size.
    Raises:
        ContractError: if an option is out of range.
    """

    threshold: float = 0.6
    overlap: float = 0.45
    longest: int | None = 1280

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and 0 < self.overlap <= 1) or (self.longest is not None and self.longest < 1):
            raise ContractError(
                "yunet: expected 0 < threshold <= 1, 0 < overlap <= 1 and longest >= 1 or none, "
                f"got {self.threshold}, {self.overlap}, {self.longest}"
            )


@dataclass(frozen=True, slots=True)
class ArcFaceOptions(EmbedderOptions):
    """Options of `onnx-arcface`.

    Args:
        flip: add the vector of the mirrored crop; twice the work.
        mean, scale: pixels become (value - mean) / scale; 127.5 for most, 127.5 and 128 for InsightFace's older files.
        bgr: whether the file wants BGR.
    Raises:
        ContractError: if an option is out of range.
    """

    mean: float = 127.5
    scale: float = 127.5
    bgr: bool = False

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ContractError(f"onnx-arcface: expected scale > 0, got {self.scale}")


@dataclass(frozen=True, slots=True)
class OnnxLandmarkOptions(LandmarkOptions):
    """Options of `onnx-landmarks`, beside those of every landmark network.

    Args:
        layout: of the points that come out: wflw-98, 300w-68, cofw-29 or five.
        side: px of the crop that goes in.
        margin: the crop's side over the longer side of the box about all points, as in the file's training.
        mean, scale: pixels become (value - mean) / scale; 0 and 255 give 0..1.
        bgr: whether the file wants BGR.
        pixels: whether points come in px of the crop; else they are shares of its side.
    Raises:
        ContractError: if an option is out of range.
    """

    layout: str = "wflw-98"
    side: int = 112
    margin: float = 1.3
    mean: float = 0.0
    scale: float = 255.0
    bgr: bool = False
    pixels: bool = False

    def __post_init__(self) -> None:
        LandmarkOptions.__post_init__(self)
        if self.scale <= 0 or not 16 <= self.side <= 1024 or not 0.5 <= self.margin <= 4:
            raise ContractError(
                "onnx-landmarks: expected scale > 0, side 16 to 1024 and margin 0.5 to 4, "
                f"got {self.scale:g}, {self.side}, {self.margin:g}"
            )
