"""A detector on pictures made larger: for sets whose pictures are smaller than the faces that it looks for."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facereg.errors import ContractError
from facereg.roles import Detector
from facereg.types import Faces, Image


class EnlargingDetector(Detector):
    """Gives, in a picture's own pixels, what another detector finds on the picture made larger.

    It takes over the other's networks, and so needs no closing of its own.

    Args:
        detector: looks at the larger pictures.
        factor: of the sides; less than 1 makes them smaller.
    Raises:
        ContractError: if `factor` is not above 0.
    """

    def __init__(self, detector: Detector, factor: float) -> None:
        if not factor > 0:
            raise ContractError(f"enlarge: expected a factor above 0, got {factor}")
        super().__init__(detector.networks)
        self._detector, self._factor = detector, factor

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        if self._factor == 1:
            return self._detector.detect(images)
        return [self._enlarged(image) for image in images]

    def _enlarged(self, image: Image) -> Faces:
        height, width = image.shape[:2]
        size = (max(1, round(width * self._factor)), max(1, round(height * self._factor)))
        method = cv2.INTER_CUBIC if self._factor > 1 else cv2.INTER_AREA
        [faces] = self._detector.detect([cv2.resize(image, size, interpolation=method).astype(np.uint8, copy=False)])
        scale = np.array([width / size[0], height / size[1]], np.float32)
        # pixel centres are at integers: a picture's corner lies at -0.5, and stays put
        boxes = (faces.boxes + 0.5) * np.tile(scale, 2) - 0.5
        return Faces(boxes, faces.scores, (faces.landmarks + 0.5) * scale - 0.5)
