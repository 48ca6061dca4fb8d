"""Crops through the network; its points and how sure it is of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from numpy import uint8

from facereg import FloatArray, LandmarkAligner, Networks, NetworkSpec, Opener, Where, grey_levels, layout
from facereg_adnet.options import AdnetOptions
from facereg_adnet.plugin import ADNET_68, ADNET_98, MARGIN, SIDES


@dataclass(frozen=True)
class Opening(AdnetOptions, Where):
    """What `open` of either takes."""


class Adnet68(LandmarkAligner):
    """ADNet's 68 points, numbered as 300-W's.

    Args:
        networks: the one network.
        options: see there.
    """

    open = Opener("adnet-68", Opening)
    layout = layout("300w-68")
    side, margin = SIDES[68], MARGIN
    network: ClassVar[NetworkSpec] = ADNET_68

    def __init__(self, networks: Networks, options: AdnetOptions | None = None) -> None:
        super().__init__(networks, options or AdnetOptions())

    def _find(self, crops: npt.NDArray[uint8]) -> tuple[FloatArray, FloatArray]:
        points, sure = self._infer(crops)
        rows = np.flatnonzero(sure < self.options.least)
        if len(rows):  # in coloured light or in the dark it may be sure of what it sees in grey
            again, surer = self._infer(np.stack([grey_levels(crops[row]) for row in rows]))
            better = surer > sure[rows]
            points[rows[better]], sure[rows[better]] = again[better], surer[better]
        return points, sure

    def _infer(self, crops: npt.NDArray[uint8]) -> tuple[FloatArray, FloatArray]:
        found = self.networks[self.network.name].infer({"images": crops})
        return found["points"].copy(), found["scores"].mean(1)


class Adnet98(Adnet68):
    """ADNet's 98 points, numbered as WFLW's.

    Args:
        networks: the one network.
        options: see there.
    """

    open = Opener("adnet-98", Opening)
    layout = layout("wflw-98")
    side = SIDES[98]
    network: ClassVar[NetworkSpec] = ADNET_98
