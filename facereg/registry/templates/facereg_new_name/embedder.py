"""Turns crops into vectors: the method to write is `_embed`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from facereg import Embedder, FloatArray

CELLS = 8  # along each side of a crop


class NewStage(Embedder):
    """Describes a crop by the mean colours of a grid of cells. Put your own network here."""

    crop_size = 112
    dim = CELLS * CELLS * 3
    batch_size = 64
    version = "1"  # another whenever the vectors change: old galleries are then refused

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        side = self.crop_size // CELLS
        cells = pixels.reshape(-1, CELLS, side, CELLS, side, 3).mean((2, 4))  # (B, CELLS, CELLS, 3)
        vectors: FloatArray = ((cells - 127.5) / 127.5).reshape(len(pixels), self.dim).astype(np.float32)
        return vectors
