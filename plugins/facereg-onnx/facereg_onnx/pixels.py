"""From pictures to what a published network takes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from facereg import FloatArray


class PixelOptions(Protocol):
    """How a file wants its pixels."""

    @property
    def mean(self) -> float | tuple[float, ...]: ...
    @property
    def scale(self) -> float: ...
    @property
    def bgr(self) -> bool: ...


def scaled(pixels: npt.NDArray[np.uint8], options: PixelOptions, *, channels_last: bool = False) -> FloatArray:
    """Return (N, H, W, 3) uint8 RGB as a file wants it: (N, 3, H, W) float32, or (N, H, W, 3) with `channels_last`."""
    ordered = pixels[..., ::-1] if options.bgr else pixels
    values = (ordered.astype(np.float32) - np.asarray(options.mean, np.float32)) / np.float32(options.scale)
    return np.ascontiguousarray(values if channels_last else values.transpose(0, 3, 1, 2))
