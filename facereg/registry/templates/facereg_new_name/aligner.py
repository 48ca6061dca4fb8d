"""Turns faces into crops: the method to write is `_align`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from facereg import Aligner, ContractError, Crops, Faces, FloatArray, Image, warp


@dataclass(frozen=True, slots=True)
class NewStageOptions:
    """Options of `new-name`.

    Args:
        margin: how much is seen around the box on each side, over its longer side.
    """

    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 1:
            raise ContractError(f"margin: expected 0 to 1, got {self.margin:g}")


class NewStage(Aligner):
    """Cuts out the upright square about each box. Put your own geometry here."""

    needs_landmarks = False

    def __init__(self, options: NewStageOptions | None = None) -> None:
        super().__init__()
        self.options = options or NewStageOptions()

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        crops: list[Image] = []
        matrices: list[FloatArray] = []
        for image, found in zip(images, faces, strict=True):
            for box in found.boxes:
                matrices.append(crop_from_box(box, size, margin=self.options.margin))
                crops.append(warp(image, matrices[-1], size))
        pixels = np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8)
        transforms = np.stack(matrices) if matrices else np.empty((0, 2, 3), np.float32)
        return Crops(pixels, transforms, tuple(map(len, faces)))


def crop_from_box(box: FloatArray, size: int, *, margin: float = 0.0) -> FloatArray:
    """Return the (2, 3) matrix from the square about a box (4,) and its margin to a size x size crop."""
    centre = (box[:2] + box[2:]) / 2
    side = max(float((box[2:] - box[:2]).max()), 1.0)
    scale = size / (side * (1 + 2 * margin))
    shift = (size - 1) / 2 - scale * centre  # pixel centres are at integers
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
