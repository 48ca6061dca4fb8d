"""Turns faces into crops: the method to write is `_align`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from facereg import Aligner, Crops, Faces, FloatArray, Image, warp


class NewStage(Aligner):
    """Cuts out the upright square about each box. Put your own geometry here."""

    needs_landmarks = False

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        crops: list[Image] = []
        matrices: list[FloatArray] = []
        for image, found in zip(images, faces, strict=True):
            for box in found.boxes:
                matrices.append(crop_from_box(box, size))
                crops.append(warp(image, matrices[-1], size))
        pixels = np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8)
        transforms = np.stack(matrices) if matrices else np.empty((0, 2, 3), np.float32)
        return Crops(pixels, transforms, tuple(map(len, faces)))


def crop_from_box(box: FloatArray, size: int) -> FloatArray:
    """Return the (2, 3) matrix from the square about a box (4,) to a size x size crop."""
    centre = (box[:2] + box[2:]) / 2
    scale = size / max(float((box[2:] - box[:2]).max()), 1.0)
    shift = (size - 1) / 2 - scale * centre  # pixel centres are at integers
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
