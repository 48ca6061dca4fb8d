"""The embedder: one network, uint8 crops in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg import Embedder, EmbedderOptions, FloatArray, Networks, Opener, Where
from facereg_inceptionv2.plugin import NETWORK


@dataclass(frozen=True)
class Opening(EmbedderOptions, Where):
    """What `InceptionV2Triplet.open` takes."""


class InceptionV2Triplet(Embedder):
    """Inception-v2 with a 128-d head (the paper, section 4.2.2 and table 1)."""

    open = Opener("inceptionv2-triplet", Opening)
    crop_size = 112
    dim = 128

    def __init__(self, networks: Networks, options: EmbedderOptions | None = None) -> None:
        options = options or EmbedderOptions()
        super().__init__(networks, flip=options.flip)

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        vectors: FloatArray = self.networks[NETWORK.name].infer({"images": pixels})["embedding"]
        return vectors
