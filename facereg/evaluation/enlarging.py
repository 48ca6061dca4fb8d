"""A detector on pictures made larger: for sets whose pictures are smaller than the faces that it looks for."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from facereg.errors import ContractError
from facereg.geometry import resize
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
        self._detector, self._factor, self.name = detector, factor, detector.name

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        if self._factor == 1:
            return self._detector.detect(images)
        return [self._enlarged(image) for image in images]

    def _enlarged(self, image: Image) -> Faces:
        larger = resize(image, self._factor, enlarging=cv2.INTER_CUBIC)
        [faces] = self._detector.detect([larger.pixels])
        return larger.faces_back(faces)
