"""Faces by a cascade of local binary patterns (Liao et al. 2007): the one that comes with scikit-image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from facereg import Detector, Faces, Image

WINDOW = 24  # px, the side of the square that the cascade was trained on


@dataclass(frozen=True, slots=True)
class LbpCascadeOptions:
    """Options of `lbp-cascade`.

    Args:
        min_face: px; smaller faces are not looked for.
        scale: each size that is looked at is so many times as long as the one before.
    """

    min_face: int = 48
    scale: float = 1.2

    def __post_init__(self) -> None:
        if self.min_face < WINDOW or not 1.01 <= self.scale <= 2:
            raise ValueError(
                f"expected min_face of at least {WINDOW} and scale in 1.01..2, got {self.min_face} and {self.scale}"
            )


class LbpCascadeDetector(Detector):
    """Finds upright frontal faces. It gives no landmarks: an aligner that works from boxes goes with it."""

    landmark_count = 0

    def __init__(self, options: LbpCascadeOptions | None = None) -> None:
        super().__init__()
        self.options = options or LbpCascadeOptions()

    @cached_property
    def _cascade(self) -> Any:
        from skimage.data import lbp_frontal_face_cascade_filename  # heavy: only who detects pays for it
        from skimage.feature import Cascade

        return Cascade(lbp_frontal_face_cascade_filename())

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Faces:
        least, most = self.options.min_face, min(image.shape[:2])
        if most <= least:
            return Faces.empty(landmarks=0)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        squares = self._cascade.detect_multi_scale(
            grey, self.options.scale, 1, min_size=(least, least), max_size=(most, most)
        )
        boxes = [[at["c"], at["r"], at["c"] + at["width"], at["r"] + at["height"]] for at in squares]
        found = np.reshape(boxes, (-1, 4)).astype(np.float32)
        order = np.argsort(found[:, 0] - found[:, 2], kind="stable")  # the largest first: the cascade gives no score
        return Faces(found[order], np.ones(len(found), np.float32))
