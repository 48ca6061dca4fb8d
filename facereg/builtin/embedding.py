"""An embedder that is one network, as most are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg.networks.opening import Where
from facereg.networks.runner import Networks
from facereg.options import EmbedderOptions
from facereg.roles import Embedder
from facereg.types import FloatArray


@dataclass(frozen=True)
class EmbedderOpening(EmbedderOptions, Where):
    """What `open` of an embedder takes that has no options of its own."""


class NetworkEmbedder(Embedder):
    """One network that takes `images`, (B, S, S, 3) uint8 RGB crops, and gives `embedding`, (B, D) float32.

    A subclass states `dim`, and its crop where that is not ArcFace's.

    Args:
        networks: the one.
        options: see there.
    """

    def __init__(self, networks: Networks, options: EmbedderOptions | None = None) -> None:
        super().__init__(networks, flip=(options or EmbedderOptions()).flip)

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        [name] = self.networks.specs
        vectors: FloatArray = self.networks[name].infer({"images": pixels})["embedding"]
        return vectors
