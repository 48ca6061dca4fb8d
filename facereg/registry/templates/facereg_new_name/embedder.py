"""Turns crops into vectors: the method to write is `_embed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from facereg import Embedder, EmbedderOptions, FloatArray


@dataclass(frozen=True, slots=True)
class NewStageOptions(EmbedderOptions):
    """Options of `new-name`.

    Args:
        cells: along each side of a crop; with another number the vectors are others.
    """

    cells: Literal[4, 8, 16] = 8


class NewStage(Embedder):
    """Describes a crop by the mean colours of a grid of cells. Put your own network here."""

    crop_size = 112
    batch_size = 64

    def __init__(self, options: NewStageOptions | None = None) -> None:
        self.options = options or NewStageOptions()
        super().__init__(flip=self.options.flip)
        self.dim = self.options.cells**2 * 3
        self.version = f"1.{self.options.cells}"  # another whenever vectors change: old galleries are then refused

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        count = self.options.cells
        side = self.crop_size // count
        cells = pixels.reshape(-1, count, side, count, side, 3).mean((2, 4))  # (B, count, count, 3)
        vectors: FloatArray = ((cells - 127.5) / 127.5).reshape(len(pixels), self.dim).astype(np.float32)
        return vectors
