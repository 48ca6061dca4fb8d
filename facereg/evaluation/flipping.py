"""What the mirrored crop adds to a vector: codes of the field differ, and so do their figures."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from facereg.roles import Embedder
from facereg.types import FloatArray

Flip = Literal["sum", "concat", "none"]


class FlippedEmbedder(Embedder):
    """An embedder whose mirrored crops are used as a protocol says; the networks stay those of the one given.

    Args:
        embedder: the model; it is neither changed nor closed.
        flip: `sum` adds the vector of the mirrored crop (InsightFace's code; the default of every embedder here),
            `concat` puts the two side by side, each of unit length, so that the cosine is the mean of two (facenet's
            code), `none` leaves the mirrored crop out.
    """

    def __init__(self, embedder: Embedder, flip: Flip) -> None:
        super().__init__(embedder.networks, flip=flip == "sum")
        self._embedder, self._concatenated = embedder, flip == "concat"
        self.name, self.crop_size, self.batch_size = embedder.name, embedder.crop_size, embedder.batch_size
        self.template = embedder.template
        self.dim = embedder.dim * 2 if self._concatenated else embedder.dim
        self.version = ".".join(filter(None, [embedder.version, "concat" if self._concatenated else ""]))

    def close(self) -> None:
        """Leave the networks to the embedder that they belong to."""

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        plain = self._embedder._embed(pixels)
        if not self._concatenated:
            return plain
        mirrored = self._embedder._embed(np.ascontiguousarray(pixels[:, :, ::-1]))
        halves = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (plain, mirrored)]
        return np.concatenate(halves, 1).astype(np.float32, copy=False)
