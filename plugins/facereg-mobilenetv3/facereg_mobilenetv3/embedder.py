"""The embedder: one network, uint8 crops in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg import Embedder, EmbedderOptions, FloatArray, Networks, Opener, Runner, Where
from facereg_mobilenetv3.plugin import NETWORK


@dataclass(frozen=True)
class Opening(EmbedderOptions, Where):
    """What `MobileNetV3ArcFace.open` takes."""


class MobileNetV3ArcFace(Embedder):
    """MobileNetV3-small with a 128-d head (the paper, section 4.2.1)."""

    open = Opener("mobilenetv3-arcface", Opening)
    crop_size = 112
    dim = 128
    answers = Path(__file__).with_name("weights") / "answers.npz"  # of the checkpoint, by torch

    def __init__(self, networks: Networks, options: EmbedderOptions | None = None) -> None:
        options = options or EmbedderOptions()
        super().__init__(networks, flip=options.flip)

    @property
    def _network(self) -> Runner:
        return self.networks[NETWORK.name]

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        vectors: FloatArray = self._network.infer({"images": pixels})["embedding"]
        return vectors
