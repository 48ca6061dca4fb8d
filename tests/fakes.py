"""Real stages without networks: what they find is painted into the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facereg.builtin.landmarks import LandmarkAligner
from facereg.builtin.layouts import WFLW_98
from facereg.geometry import TEMPLATE_112
from facereg.options import LandmarkOptions
from facereg.roles import Detector, Embedder
from facereg.types import Faces, FloatArray, Image

SIDE = 112


def picture(*people: int) -> Image:
    """Return a picture of people side by side, each a colour; the detector and embedder below tell them apart."""
    image = np.zeros((SIDE, SIDE * max(1, len(people)), 3), np.uint8)
    for place, person in enumerate(people):
        image[:, place * SIDE : (place + 1) * SIDE] = np.random.default_rng(person).integers(40, 256, 3)
    return image


class PaintedDetector(Detector):
    """Finds one face in each square of 112 px whose middle is not black."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        self.calls.append(len(images))
        found = []
        for image in images:
            places = [
                place for place in range(image.shape[1] // SIDE) if image[SIDE // 2, place * SIDE + SIDE // 2].any()
            ]
            corners = np.array([[place * SIDE, 0] for place in places], np.float32).reshape(-1, 2)
            boxes = np.concatenate([corners, corners + SIDE - 1], 1)
            landmarks = corners[:, None] + TEMPLATE_112
            found.append(Faces(boxes, np.linspace(0.9, 0.8, len(places), dtype=np.float32), landmarks))
        return found


class PaintedEmbedder(Embedder):
    """Gives the colour of a crop, spread over eight numbers."""

    name, version = "painted", "1"
    crop_size, dim, batch_size = SIDE, 8, 4

    def __init__(self) -> None:
        super().__init__(flip=False)
        self.calls: list[int] = []

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        self.calls.append(len(pixels))
        colour = pixels[:, SIDE // 2, SIDE // 2].astype(np.float32) / 255  # (B, 3)
        # not colour @ weights: that rounds otherwise for another batch size
        weights = np.arange(1, 25, dtype=np.float32).reshape(3, 8) * 3
        mixed: FloatArray = np.sin((colour[:, :, None] * weights).sum(1))
        return mixed


class BoxAligner(LandmarkAligner):
    """Sees in every crop of a box 98 points, of which the five are those of an upright face in the middle."""

    layout, side, margin = WFLW_98, 32, 1.0

    def __init__(self, options: LandmarkOptions | None = None) -> None:
        super().__init__(options=options)

    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        five = (TEMPLATE_112 + 0.5) * (self.side / SIDE) - 0.5
        points = np.repeat(five[2:3], self.layout.points, 0)
        points[[own[0] for own in self.layout.five]] = five
        return np.tile(points, (len(crops), 1, 1)).astype(np.float32), np.ones(len(crops), np.float32)
