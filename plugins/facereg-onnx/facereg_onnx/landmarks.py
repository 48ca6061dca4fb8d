"""Any landmark network that takes square crops and gives the points as one row of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg import ContractError, FloatArray, LandmarkAligner, Networks, Opener, Where, layout
from facereg_onnx.options import OnnxLandmarkOptions
from facereg_onnx.pixels import scaled
from facereg_onnx.plugin import LANDMARKS


@dataclass(frozen=True)
class Opening(OnnxLandmarkOptions, Where):
    """What `OnnxLandmarks.open` takes."""


class OnnxLandmarks(LandmarkAligner):
    """A landmark file of yours: (1, 3, S, S) float32 to (1, 2P) float32, x y of each point, as PFLD's.

    It says of no face how sure it is; what is no face shows itself by points that wander from look to look.

    Args:
        networks: the one network.
        options: see there.
    """

    open = Opener("onnx-landmarks", Opening)

    def __init__(self, networks: Networks, options: OnnxLandmarkOptions | None = None) -> None:
        options = options or OnnxLandmarkOptions()
        super().__init__(networks, options)
        self.layout, self.side, self.margin = layout(options.layout), options.side, options.margin
        self._file = options

    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        given = self.networks[LANDMARKS.name].infer({"input": scaled(crops, self._file)})["points"]
        if given.shape[1] != 2 * self.layout.points:
            raise ContractError(
                f"{self.name}: expected {2 * self.layout.points} numbers, the points of layout {self.layout.name}, "
                f"got {given.shape[1]}; name the file's layout in option layout"
            )
        points: FloatArray = given.reshape(len(crops), -1, 2)
        if self._file.centred:
            points = (points + 1) * np.float32(self.side / 2)  # InsightFace's pixels, whose centres are at integers
        elif not self._file.pixels:
            points = points * self.side - np.float32(0.5)  # shares are of the crop's edges; pixel centres are integers
        return points, np.ones(len(crops), np.float32)
