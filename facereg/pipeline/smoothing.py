"""Points of faces in a video, smoothed along each track."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facereg.errors import ContractError
from facereg.types import FloatArray

STEADY_HZ = 1.0  # of a still face, movement above it is jitter (Casiez et al. 2012, table 1)
SPEED_HZ = 1.0  # the same of its speed
# Hz more for each face's size a second: a face that moves by its size each second lags by 1 / (2 pi 6 Hz), 0.03 of it.
SLOPE = 5.0
FORGET_S = 0.5  # after such a gap a track's points begin anew


@dataclass(slots=True, eq=False)
class _Track:
    points: FloatArray  # (P, 2) smoothed
    speed: FloatArray  # (P, 2) px/s, smoothed
    time_s: float


class PointSmoother:
    """Smooths the points of each track from frame to frame: jitter of still faces goes, fast ones do not lag.

    The one-euro filter on each coordinate, with one cutoff a point, by its speed in sizes of the face.

    Args:
        steady_hz: cutoff of a still face; lower is smoother.
    Raises:
        ContractError: if it is not above 0.
    Source: Casiez, Roussel and Vogel 2012, 1 euro filter, doi:10.1145/2207676.2208639.
    """

    def __init__(self, steady_hz: float = STEADY_HZ) -> None:
        if not (math.isfinite(steady_hz) and steady_hz > 0):
            raise ContractError(f"smooth: expected a frequency above 0 Hz, got {steady_hz}")
        self._steady_hz = steady_hz
        self._tracks: dict[int, _Track] = {}

    def smooth(self, tracks: Sequence[int], points: FloatArray, time_s: float) -> FloatArray:
        """Return the smoothed points (N, P, 2) of a frame's faces.

        Args:
            tracks: of the faces.
            points: (N, P, 2) px, finite.
            time_s: of the frame.
        """
        smoothed = points.copy()
        for row, track in enumerate(tracks):
            held = self._tracks.get(track)
            gap = math.inf if held is None else time_s - held.time_s
            if held is None or not 0 < gap <= FORGET_S or held.points.shape != points[row].shape:
                self._tracks[track] = _Track(points[row], np.zeros_like(points[row]), time_s)
                continue
            speed = _blend(held.speed, (points[row] - held.points) / gap, SPEED_HZ, gap)
            size = max(float(np.ptp(points[row], axis=0).max()), 1.0)
            cutoff = self._steady_hz + SLOPE * np.linalg.norm(speed, axis=1, keepdims=True) / size  # (P, 1)
            smoothed[row] = _blend(held.points, points[row], cutoff, gap)
            self._tracks[track] = _Track(smoothed[row], speed, time_s)
        self._tracks = {track: held for track, held in self._tracks.items() if time_s - held.time_s <= FORGET_S}
        return smoothed


def _blend(before: FloatArray, now: FloatArray, cutoff_hz: float | FloatArray, gap_s: float) -> FloatArray:
    """Return what a low-pass filter of first order gives."""
    weight = 1 / (1 + 1 / (2 * math.pi * cutoff_hz * gap_s))
    return (weight * now + (1 - weight) * before).astype(np.float32)
