"""What may be set of the detector; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import ContractError


@dataclass(frozen=True, slots=True)
class SsdOptions:
    """Options of `ssd300-vgg16`; the defaults but the first are torchvision's.

    Args:
        threshold: scores over it are faces.
        iou: IoU over which the lesser of two boxes is dropped.
        candidates: boxes over the threshold that go into suppression, the best.
        most: faces of a picture, the best.
    Raises:
        ContractError: if an option is out of range.
    """

    threshold: float = 0.5
    iou: float = 0.45
    candidates: int = 400
    most: int = 200

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 < self.iou <= 1 and self.candidates >= 1 and self.most >= 1):
            raise ContractError(
                "ssd300-vgg16: expected 0 <= threshold <= 1, 0 < iou <= 1, candidates >= 1 and most >= 1, "
                f"got {self.threshold}, {self.iou}, {self.candidates}, {self.most}"
            )
