"""Pictures of any sizes onto one square, through the network together, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError
from facereg.geometry import non_maximum_suppression
from facereg.interfaces import Detector
from facereg.runners.base import Networks
from facereg.types import Faces, FloatArray, Image
from facereg_yolov5.plugin import NETWORK

MULTIPLE = 32  # px; the coarsest stride
GREY = 114  # where a letterbox is empty; of YOLOv5


class YoloV5Face(Detector):
    """YOLOv5s with five landmarks.

    Args:
        networks: `yolov5s-face`.
        size: side in px of the square that every picture is letterboxed to, a multiple of 32. All pictures get the
            same one, so that a batch gives what each picture gives alone.
        threshold: least score.
        iou: IoU over which the lesser of two boxes is dropped.
        candidates: boxes over the threshold that go into suppression, the best; bounds its time.
    Raises:
        ContractError: if an option is out of range.
    """

    landmark_count: ClassVar[int] = 5

    def __init__(
        self,
        networks: Networks,
        *,
        size: int = 640,
        threshold: float = 0.3,
        iou: float = 0.5,
        candidates: int = 5000,
    ) -> None:
        super().__init__(networks)
        if size < MULTIPLE or size % MULTIPLE or not (0 <= threshold <= 1 and 0 < iou <= 1) or candidates < 1:
            raise ContractError(
                f"yolov5s-face: expected a size that is a multiple of {MULTIPLE}, 0 <= threshold <= 1, 0 < iou <= 1 "
                f"and candidates >= 1, got {size}, {threshold}, {iou}, {candidates}"
            )
        self._networks = networks
        self.size, self.threshold, self.iou, self.candidates = size, threshold, iou, candidates

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found: list[Faces] = []
        for start in range(0, len(images), NETWORK.max_batch):
            boxed = [letterbox(image, self.size) for image in images[start : start + NETWORK.max_batch]]
            heads = self._networks[NETWORK.name].infer({"images": np.stack([one.pixels for one in boxed])})
            rows = zip(boxed, heads["boxes"], heads["scores"], heads["landmarks"], strict=True)
            found += [self._read(*row) for row in rows]
        return found

    def _read(self, boxed: Letterboxed, boxes: FloatArray, scores: FloatArray, landmarks: FloatArray) -> Faces:
        rows = np.flatnonzero(scores >= self.threshold)
        rows = rows[np.argsort(-scores[rows], kind="stable")[: self.candidates]]
        rows = rows[non_maximum_suppression(boxes[rows], scores[rows], self.iou)]
        corners = boxed.back(boxes[rows].reshape(-1, 2, 2)).reshape(-1, 4)
        return Faces(corners, scores[rows], boxed.back(landmarks[rows]))


@dataclass(frozen=True, slots=True, eq=False)
class Letterboxed:
    """A picture in the top left corner of a grey square.

    Args:
        pixels: (S, S, 3) uint8.
        scale: (2,) float64, width and height in the square over those of the picture.
    """

    pixels: Image
    scale: npt.NDArray[np.float64]

    def back(self, points: FloatArray) -> FloatArray:
        """Return points (..., 2) of the square in pixels of the picture; pixel centres are at integers in both."""
        moved: FloatArray = ((points + 0.5) / self.scale - 0.5).astype(np.float32)
        return moved


def letterbox(image: Image, size: int) -> Letterboxed:
    """Return the picture, its longer side made `size` px, in the top left corner of a grey square."""
    height, width = image.shape[:2]
    ratio = size / max(height, width)
    inner = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    resized = image if inner == (width, height) else cv2.resize(image, inner, interpolation=method)
    square = np.full((size, size, 3), GREY, np.uint8)
    square[: inner[1], : inner[0]] = resized
    return Letterboxed(square, np.array([inner[0] / width, inner[1] / height]))
