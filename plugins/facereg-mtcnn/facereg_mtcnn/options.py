"""What may be set of the detector; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import ContractError

LEAST = 6.0  # px; half the side of P-Net's window


@dataclass(frozen=True, slots=True)
class MtcnnOptions:
    """Options of `mtcnn`.

    Args:
        min_face: side in px of the smallest face looked for.
        thresholds: least scores of the three stages.
        factor: ratio of neighbouring pyramid scales.
        fallback: look a second time, at finer scales and with lower thresholds, at a picture in which nothing was
            found. For pictures said to hold a face, as in enrolment; it costs time where they hold none.
        steady: average the landmarks of each face over ten more looks of O-Net, at its box and a little beside it,
            mirrored and not: better aligned for a few milliseconds a face. None: with the plugin's own weights;
            published ones give the published points.
    Raises:
        ContractError: if an option is out of range.
    """

    min_face: float = 20.0
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    factor: float = 0.709
    fallback: bool = False
    steady: bool | None = None

    def __post_init__(self) -> None:
        if not (self.min_face >= LEAST and 0.1 < self.factor < 0.95 and len(self.thresholds) == 3):
            raise ContractError(
                f"mtcnn: expected min_face >= {LEAST:g}, 0.1 < factor < 0.95 and three thresholds, "
                f"got {self.min_face}, {self.factor}, {tuple(self.thresholds)}"
            )
