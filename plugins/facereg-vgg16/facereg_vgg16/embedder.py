"""The embedder: one network, uint8 crops in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg import Embedder, EmbedderOptions, FloatArray, Networks, Opener, Where
from facereg_vgg16.plugin import NETWORK


@dataclass(frozen=True)
class Opening(EmbedderOptions, Where):
    """What `Vgg16Triplet.open` takes."""


class Vgg16Triplet(Embedder):
    """VGG16 with a 256-d head (the paper, section 4.2.3 and table 2)."""

    open = Opener("vgg16-online-triplet", Opening)
    crop_size = 256  # ArcFace's template, scaled to it
    dim = 256

    def __init__(self, networks: Networks, options: EmbedderOptions | None = None) -> None:
        options = options or EmbedderOptions()
        super().__init__(networks, flip=options.flip)

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        vectors: FloatArray = self.networks[NETWORK.name].infer({"images": pixels})["embedding"]
        return vectors
