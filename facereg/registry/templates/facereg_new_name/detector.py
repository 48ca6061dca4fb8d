"""Finds faces: the method to write is `_detect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from facereg import ContractError, Detector, Faces, FloatArray, Image

DARKEST, LIGHTEST = np.array([2, 40, 120]), np.array([18, 130, 255])  # HSV of light skin; other skin is not found

# Where five landmarks lie in an upright face's box, as shares of its sides: eyes, nose, mouth corners.
PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


@dataclass(frozen=True, slots=True)
class NewStageOptions:
    """Options of `new-name`.

    Args:
        least: px; narrower regions are no faces.
    """

    least: int = 24

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ContractError(f"least: expected 1 or more, got {self.least}")


class NewStage(Detector):
    """Finds upright regions of the colour of skin. Put your own detector here."""

    landmark_count = 5

    def __init__(self, options: NewStageOptions | None = None) -> None:
        super().__init__()
        self.options = options or NewStageOptions()

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Faces:
        colours = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 2.0), cv2.COLOR_RGB2HSV)
        skin = cv2.inRange(colours, DARKEST, LIGHTEST)
        skin = cv2.morphologyEx(skin, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        regions = cv2.connectedComponentsWithStats(skin)[2][1:]  # (N, 5), without the background
        x, y, width, height, area = regions.T.astype(np.float32)
        boxes = np.stack([x, y, x + width, y + height], 1)  # (N, 4) x1 y1 x2 y2 in pixels of the image
        scores: FloatArray = area / np.maximum(width * height, 1)
        rows = np.flatnonzero((width >= self.options.least) & (height >= width) & (height <= 2 * width))
        rows = rows[np.argsort(-scores[rows], kind="stable")]  # best first
        sides = boxes[rows, 2:] - boxes[rows, :2]
        landmarks = boxes[rows, None, :2] + PLACES * sides[:, None]  # (N, 5, 2)
        return Faces(boxes[rows], scores[rows], landmarks)
