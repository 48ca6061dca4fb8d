"""Any embedder that takes square crops."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from facereg import Embedder, FloatArray, Networks, Opener, Where
from facereg_onnx.options import ArcFaceOptions
from facereg_onnx.pixels import scaled
from facereg_onnx.plugin import ARCFACE


@dataclass(frozen=True)
class Opening(ArcFaceOptions, Where):
    """What `OnnxArcFace.open` takes."""


class OnnxArcFace(Embedder):
    """An embedder file of yours: (N, 3, S, S) float32, RGB in -1..1 where its options say no other, to (N, D) float32.

    Args:
        networks: the one network.
        options: see there.
    """

    open = Opener("onnx-arcface", Opening)
    name = "onnx-arcface"

    def __init__(self, networks: Networks, options: ArcFaceOptions | None = None) -> None:
        self.options = options or ArcFaceOptions()
        super().__init__(networks, flip=self.options.flip)
        self.crop_size = self.options.size
        if self.options.template is not None:
            self.template = np.array(self.options.template, np.float32).reshape(5, 2)
        self.version = _version(self.options)
        self.dim = self._embed(np.zeros((1, self.crop_size, self.crop_size, 3), np.uint8)).shape[1]

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        given = scaled(pixels, self.options, channels_last=self.options.channels_last)
        vectors: FloatArray = self.networks[ARCFACE.name].infer({"input": given})["embedding"]
        return vectors


def _version(options: ArcFaceOptions) -> str:
    """Return what tells vectors of pixels taken otherwise from the usual: nothing for the latter."""
    usual, parts = ArcFaceOptions(), []
    if (options.mean, options.scale, options.bgr) != (usual.mean, usual.scale, usual.bgr):
        mean = (options.mean,) if isinstance(options.mean, float | int) else options.mean
        parts += [f"mean{'_'.join(f'{value:.9g}' for value in mean)}", f"scale{options.scale:.9g}"]
        parts += ["bgr"] * options.bgr
    if options.size != usual.size:
        parts.append(f"size{options.size}")
    if options.template is not None:
        parts.append(f"template{crc32(np.array(options.template, '<f4').tobytes()):08x}")
    return "-".join(parts).replace("+", "")
