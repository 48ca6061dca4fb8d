"""What may be set of the two models; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import ContractError, EmbedderOptions


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
