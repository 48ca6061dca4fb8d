"""The built-in aligner: one similarity a face, from its five landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facereg.geometry import similarity_from_points, warp
from facereg.roles import Aligner
from facereg.types import Crops, Faces, FloatArray, Image

LEAST = 1e-3  # px; landmarks that lie closer together give no direction, and a transform of endless size


class FivePointAligner(Aligner):
    """Maps five landmarks to the template of the crop by least squares (Umeyama 1991).

    A face whose landmarks coincide is refused; the others have their crops.
    """

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        good = [
            np.ptp(found.landmarks, axis=1).max(1) >= LEAST if len(found) else np.empty(0, np.bool_) for found in faces
        ]
        parts: list[FloatArray] = [
            similarity_from_points(found.landmarks[rows], template) if rows.any() else np.empty((0, 2, 3), np.float32)
            for found, rows in zip(faces, good, strict=True)
        ]
        pixels = np.empty((sum(map(len, parts)), size, size, 3), np.uint8)
        row = 0
        for image, matrices in zip(images, parts, strict=True):
            for matrix in matrices:
                pixels[row] = warp(image, matrix, size)
                row += 1
        transforms = np.concatenate(parts) if parts else np.empty((0, 2, 3), np.float32)
        points = [found.landmarks[rows] for found, rows in zip(faces, good, strict=True) if rows.any()]
        landmarks = np.concatenate(points) if points else np.empty((0, 5, 2), np.float32)
        refused = tuple("" if one else "its landmarks coincide" for rows in good for one in rows)
        return Crops(pixels, transforms, tuple(map(len, parts)), landmarks, refused if any(refused) else ())
