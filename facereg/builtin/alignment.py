"""The built-in aligner: one similarity a face, from its five landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facereg.geometry import similarity_from_points, template, warp
from facereg.roles import Aligner
from facereg.types import Crops, Faces, FloatArray, Image


class FivePointAligner(Aligner):
    """Maps five landmarks to the ArcFace template by least squares (Umeyama 1991)."""

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int) -> Crops:
        target = template(size)
        parts: list[FloatArray] = [
            similarity_from_points(found.landmarks, target) if len(found) else np.empty((0, 2, 3), np.float32)
            for found in faces
        ]
        pixels = np.empty((sum(map(len, parts)), size, size, 3), np.uint8)
        row = 0
        for image, matrices in zip(images, parts, strict=True):
            for matrix in matrices:
                pixels[row] = warp(image, matrix, size)
                row += 1
        transforms = np.concatenate(parts) if parts else np.empty((0, 2, 3), np.float32)
        return Crops(pixels, transforms, tuple(map(len, parts)))
