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

    A face whose landmarks coincide, or lie all beside the picture, is refused; the others have their crops.
    """

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        reasons = [_no_face(found.landmarks, image) for image, found in zip(images, faces, strict=True)]
        good = [np.array([not reason for reason in own], np.bool_) for own in reasons]
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
        refused = tuple(reason for own in reasons for reason in own)
        return Crops(pixels, transforms, tuple(map(len, parts)), landmarks, refused if any(refused) else ())


def _no_face(landmarks: FloatArray, image: Image) -> list[str]:
    """Return why each row of landmarks (N, 5, 2) is those of no face of the image; '' where they may be."""
    if len(landmarks) == 0:
        return []
    low, high = landmarks.min(1), landmarks.max(1)  # (N, 2)
    height, width = image.shape[:2]
    beside = (high < 0).any(1) | (low > (width - 1, height - 1)).any(1)
    coincide = (high - low).max(1) < LEAST
    return [
        "its landmarks coincide" if one else "its landmarks lie outside the picture" if out else ""
        for one, out in zip(coincide, beside, strict=True)
    ]
