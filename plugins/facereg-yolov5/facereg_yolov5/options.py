"""What may be set of the detectors; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import ContractError

MULTIPLE = 32  # px; the coarsest stride


@dataclass(frozen=True, slots=True)
class YoloOptions:
    """Options of `yolov5s-face` and `yolov5s-face:int8`.

    Args:
        size: px that the longer side of every picture is made, a multiple of 32; less where that would enlarge it more
            than `enlarge` times.
        enlarge: most that a picture is made larger, but for the way to the next multiple of 32: a small picture holds
            no more faces for being looked at in many pixels, and takes its share of the time.
        fallback: look a second time, in grey from black to white, at a picture in which nothing was found: of faces in
            coloured light, in the dark or much retouched some are found only so. There a score of 0.6 counts.
        square: letterbox to a whole square, so that pictures of all shapes share a batch. Where it is false, to the
            smallest rectangle with sides that are multiples of 32: a quarter less work for pictures of 4:3, and more
            for longer ones, but only pictures of one shape go through the network together.
        close_up: px of the longer side in a second, small letterbox, in which only faces that take a third of it or
            more are looked for: of large faces the weights that ship saw few. 0: no second look.
        threshold: least score.
        iou: IoU over which the lesser of two boxes is dropped.
        candidates: boxes over the threshold that go into suppression, the best; bounds its time.
    Raises:
        ContractError: if an option is out of range.
    """

    size: int = 640
    enlarge: float = 4 / 3
    fallback: bool = True
    square: bool = True
    close_up: int = 128
    threshold: float = 0.3
    iou: float = 0.5
    candidates: int = 5000

    def __post_init__(self) -> None:
        if self.size < MULTIPLE or self.size % MULTIPLE or self.close_up < 0 or self.close_up % MULTIPLE:
            raise ContractError(
                f"yolov5s-face: expected a size and a close_up that are multiples of {MULTIPLE}, close_up perhaps 0, "
                f"got {self.size} and {self.close_up}"
            )
        if not 0.1 <= self.enlarge <= 100:
            raise ContractError(f"yolov5s-face: expected enlarge 0.1 to 100, got {self.enlarge:g}")
        if not (0 <= self.threshold <= 1 and 0 < self.iou <= 1) or self.candidates < 1:
            raise ContractError(
                "yolov5s-face: expected 0 <= threshold <= 1, 0 < iou <= 1 and candidates >= 1, "
                f"got {self.threshold}, {self.iou}, {self.candidates}"
            )
