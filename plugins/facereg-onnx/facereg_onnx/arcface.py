"""Any embedder that takes ArcFace's 112x112 crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg import Embedder, FloatArray, Networks, Opener, Where
from facereg_onnx.options import ArcFaceOptions
from facereg_onnx.plugin import ARCFACE


@dataclass(frozen=True)
class Opening(ArcFaceOptions, Where):
    """What `OnnxArcFace.open` takes."""


class OnnxArcFace(Embedder):
    """An embedder file of yours: (N, 3, 112, 112) float32 RGB in -1..1 to (N, D) float32.

    Args:
        networks: the one network.
        options: see there.
    """

    open = Opener("onnx-arcface", Opening)
    name = "onnx-arcface"

    def __init__(self, networks: Networks, options: ArcFaceOptions | None = None) -> None:
        options = options or ArcFaceOptions()
        super().__init__(networks, flip=options.flip)
        self.mean, self.scale, self.bgr = options.mean, options.scale, options.bgr
        self.version = _version(options)
        self.dim = self._embed(np.zeros((1, 112, 112, 3), np.uint8)).shape[1]

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        ordered = pixels[..., ::-1] if self.bgr else pixels
        scaled = (ordered.transpose(0, 3, 1, 2).astype(np.float32) - self.mean) / self.scale
        vectors: FloatArray = self.networks[ARCFACE.name].infer({"input": np.ascontiguousarray(scaled, np.float32)})[
            "embedding"
        ]
        return vectors


def _version(options: ArcFaceOptions) -> str:
    """Return what tells vectors of pixels scaled otherwise from the usual: nothing for the latter."""
    usual = ArcFaceOptions()
    if (options.mean, options.scale, options.bgr) == (usual.mean, usual.scale, usual.bgr):
        return ""
    return f"mean{options.mean:.9g}-scale{options.scale:.9g}{'-bgr' if options.bgr else ''}".replace("+", "")
