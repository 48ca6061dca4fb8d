"""Landmark figures: normalised mean error, failure rate and area under the curve of errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.data.points import PointedImage
from facereg.errors import ContractError, ImageError
from facereg.evaluation.detecting import detect_listed
from facereg.evaluation.enlarging import EnlargingDetector
from facereg.roles import Detector
from facereg.types import Faces, FloatArray

FAILED = 0.10  # NME from which a face has failed, and to which the area goes (WFLW's and COFW's)
STEP = 1e-4  # of the curve of errors
LEFT_EYE, RIGHT_EYE = 0, 1  # of five landmarks


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkScores:
    """Figures over all faces.

    Args:
        faces: how many there are.
        missed: how many of them were not found; they have failed, and count neither in nme nor in per_point.
        nme: mean error in percent of the normaliser, over those found.
        fr10: share of faces with an error over 10 %.
        auc10: area under the curve up to 10 %, as a share.
        per_point: (P,) float32 mean error of each point, in percent.
        errors: (N,) float32 error of each face as a share of its normaliser, infinite where it was not found.
        curve: (1001, 2) float32 error, share of faces with at most that.
    """

    faces: int
    missed: int
    nme: float
    fr10: float
    auc10: float
    per_point: FloatArray
    errors: FloatArray
    curve: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkResult:
    """What a detector's landmarks are worth on labelled pictures.

    Args:
        scores: over all pictures; one that cannot be read is missed.
        enlarge: how much larger the pictures were made.
        errors: what is wrong with each file that could not be read or worked on.
    """

    scores: LandmarkScores
    enlarge: float
    errors: tuple[ImageError, ...]

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes; `missing` counts files, which are missed, too."""
        return {
            "images": self.scores.faces,
            "missing": len(self.errors),
            "missed": self.scores.missed,
            "nme": self.scores.nme if self.scores.missed < self.scores.faces else None,
            "fr10": self.scores.fr10,
            "auc10": self.scores.auc10,
            "normaliser": "inter-ocular",
            "enlarge": self.enlarge,
        }

    def plot(self, path: Path, title: str) -> None:
        """Draw the share of faces with at most an error."""
        from facereg.evaluation.plots import plot_errors

        curves = {f"five points, AUC {self.scores.auc10:.3f}": self.scores.curve}
        plot_errors(path, curves, f"{title}, {self.scores.faces} pictures")


def measure_landmarks(
    detector: Detector,
    items: Sequence[PointedImage],
    *,
    enlarge: float = 1.0,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> LandmarkResult:
    """Return the errors of a detector's five landmarks, divided by the distance between the labelled eyes.

    Args:
        items: pictures with five points each.
        enlarge: detect on pictures made larger by this.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        ContractError: if the detector gives no five landmarks, or two labelled eyes coincide.
        FaceregError: if a network is not to be had.
    """
    labelled = np.stack([item.points for item in items])
    paths = [item.path for item in items]
    found, errors = detect_listed(EnlargingDetector(detector, enlarge), paths, progress=progress, notice=notice)
    scores = score_landmarks(landmarks_of(found, labelled), labelled, inter_ocular(labelled))
    return LandmarkResult(scores, enlarge, tuple(errors))


def score_landmarks(found: FloatArray, labelled: FloatArray, normalisers: FloatArray) -> LandmarkScores:
    """Compare points found with points labelled.

    Args:
        found: (N, P, 2) float32; NaN for a face that was not found.
        labelled: (N, P, 2) float32.
        normalisers: (N,) px, the length that errors of a face are divided by.
    Raises:
        ContractError: if shapes differ, there is no face, or a normaliser is not positive.
    """
    if found.shape != labelled.shape or labelled.ndim != 3 or len(labelled) == 0:
        raise ContractError(f"found: expected points (N, P, 2) like the labels {labelled.shape}, got {found.shape}")
    if normalisers.shape != (len(labelled),) or not (normalisers > 0).all():
        raise ContractError("normalisers: expected a length above 0 for each face; do two of its points coincide?")
    distances = np.linalg.norm(found.astype(np.float64) - labelled, axis=2) / normalisers[:, None]  # (N, P)
    seen = np.isfinite(distances).all(1)
    errors = np.where(seen, distances.mean(1), np.inf)
    curve = _curve(errors)
    per_point = distances[seen].mean(0) * 100 if seen.any() else np.full(labelled.shape[1], np.inf)
    return LandmarkScores(
        faces=len(errors),
        missed=int((~seen).sum()),
        nme=float(errors[seen].mean() * 100) if seen.any() else float("inf"),
        fr10=float(1 - curve[-1, 1]),
        auc10=_simpson(curve[:, 1]) / FAILED,
        per_point=per_point.astype(np.float32),
        errors=errors.astype(np.float32),
        curve=curve.astype(np.float32),
    )


def inter_ocular(points: FloatArray) -> FloatArray:
    """Return the (N,) distances between the eyes of five landmarks (N, 5, 2)."""
    distances: FloatArray = np.linalg.norm(points[:, LEFT_EYE] - points[:, RIGHT_EYE], axis=1).astype(np.float32)
    return distances


def landmarks_of(found: Sequence[Faces], labelled: FloatArray) -> FloatArray:
    """Return, for each picture, the five landmarks of the face that its label is about; NaN where none is.

    That is the best-scored face whose box holds the middle of the labelled points.

    Args:
        found: the faces of N pictures, with five landmarks each.
        labelled: (N, 5, 2) float32.
    Raises:
        ContractError: if the faces have no five landmarks.
    """
    points = np.full(labelled.shape, np.nan, np.float32)
    for row, (faces, middle) in enumerate(zip(found, labelled.mean(1), strict=True)):
        if len(faces) and faces.landmarks.shape[1] != labelled.shape[1]:
            raise ContractError(f"found: expected {labelled.shape[1]} landmarks a face, got {faces.landmarks.shape[1]}")
        inside = (faces.boxes[:, :2] <= middle).all(1) & (middle <= faces.boxes[:, 2:]).all(1)
        if inside.any():
            points[row] = faces.landmarks[int(inside.argmax())]  # faces come best first
    return points


def _curve(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    at = np.arange(round(FAILED / STEP) + 1) * STEP  # 0 to 0.1, both ends
    return np.stack([at, np.searchsorted(np.sort(errors), at, side="right") / len(errors)], 1)


def _simpson(values: npt.NDArray[np.float64]) -> float:
    """Return the area by Simpson's rule; the number of steps is even."""
    return float((values[0] + values[-1] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum()) * STEP / 3)
