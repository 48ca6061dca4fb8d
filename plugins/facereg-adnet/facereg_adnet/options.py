"""What may be set of the aligners; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from facereg import LandmarkOptions


@dataclass(frozen=True, slots=True)
class AdnetOptions(LandmarkOptions):
    """Options of `adnet-68` and `adnet-98`, beside those of every landmark network.

    Args:
        least: how sure the network must be of a face: the mean, over the points, of the peak of each one's map.
            Where it is not, it looks again at the crop in grey from black to white.
    Raises:
        ContractError: if an option is out of range.
    """

    least: float = 0.2
