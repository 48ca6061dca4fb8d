"""Landmark figures: normalised mean error, failure rate and area under the curve of errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.builtin.alignment import FivePointAligner
from facereg.builtin.layouts import FIVE, Layout, layout_with
from facereg.data.points import ATTRIBUTES, PointedImage
from facereg.errors import ContractError, ImageError
from facereg.evaluation.enlarging import EnlargingDetector
from facereg.geometry import similarity_from_points, template, transform_points
from facereg.images import Picture
from facereg.pipeline.points import find_points
from facereg.pipeline.stages import require_landmarks
from facereg.roles import Aligner, Detector
from facereg.types import BoolArray, Faces, FloatArray, IntArray

FAILED, STRICT = 0.10, 0.05  # errors over which a face has failed (WFLW's and COFW's), and 300-W's
BROWS_TO_CHIN = 68  # points that a layout has at least, whose box is that of the face
STEP = 1e-4  # of the curve of errors, which goes up to FAILED


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkScores:
    """Figures over all faces.

    Args:
        faces: how many there are.
        missed: how many of them have no points; they have failed, and count neither in nme nor in per_point.
        nme: mean error in percent of the normaliser, over those that have points.
        fr10, fr5: share of faces with an error over 10 % and over 5 %, those missed counted.
        fr10_found: share of the faces that have points with an error over 10 %; 0 where none has.
        auc10: area under the curve up to 10 %, as a share.
        per_point: (P,) float32 mean error of each point, in percent.
        errors: (N,) float32 error of each face as a share of its normaliser, infinite where it was missed.
        curve: (1001, 2) float32 error, share of faces with at most that.
    """

    faces: int
    missed: int
    nme: float
    fr10: float
    fr5: float
    fr10_found: float
    auc10: float
    per_point: FloatArray
    errors: FloatArray
    curve: FloatArray

    @property
    def known_nme(self) -> float | None:
        """Return `nme`; None where every face was missed."""
        return self.nme if self.missed < self.faces else None


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkResult:
    """What points of faces are worth on labelled pictures.

    Args:
        items, found: the pictures, and the points (N, P, 2) float32 in each, NaN where the face was missed.
        labelled: (N, P, 2) float32 those that they are compared with: of `items`, or the five that both layouts have.
        layout: of the points compared.
        normaliser: what errors are divided by, in words.
        scores: over all pictures; one that cannot be read is missed.
        subsets: over the faces of each attribute that the labels name, as WFLW's `pose`.
        refused: how many faces were found, and refused by the aligner: missed, too.
        square: how the square about the labelled points lies by the detector's boxes, where points go from brows to
            chin and a face was found: `factor shift factor_std shift_std`, medians and deviations; see `ModelSpec`.
        enlarge: how much larger the pictures were made.
        errors: what is wrong with each file that could not be read or worked on.
    """

    items: tuple[PointedImage, ...]
    found: FloatArray
    labelled: FloatArray
    layout: Layout
    normaliser: str
    scores: LandmarkScores
    subsets: Mapping[str, LandmarkScores]
    refused: int
    square: Mapping[str, float]
    enlarge: float
    errors: tuple[ImageError, ...]

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes; `missing` counts files, which are missed, too."""
        scores = self.scores
        figures: dict[str, object] = {
            "images": scores.faces,
            "missing": len(self.errors),
            "missed": scores.missed,
            "refused": self.refused,
            "points": self.layout.points,
            "nme": scores.known_nme,
            "fr10": scores.fr10,
            "fr10_found": scores.fr10_found,
            "fr5": scores.fr5,
            "auc10": scores.auc10,
            "normaliser": self.normaliser,
            "enlarge": self.enlarge,
        }
        if self.square:
            figures["square"] = dict(self.square)
        if self.subsets:
            figures["nme_of"] = {name: own.known_nme for name, own in self.subsets.items()}
            figures["fr10_of"] = {name: own.fr10 for name, own in self.subsets.items()}
            figures["auc10_of"] = {name: own.auc10 for name, own in self.subsets.items()}
        return figures

    def plot(self, path: Path, title: str) -> None:
        """Draw the share of faces with at most an error, and the mean error of each point on the mean labelled face."""
        from facereg.evaluation.plots import plot_points

        curves = {f"{self.layout.points} points, AUC {self.scores.auc10:.3f}": self.scores.curve}
        curves |= {f"{name}, AUC {own.auc10:.3f}": own.curve for name, own in self.subsets.items()}
        shape = mean_shape(self.labelled, self.layout)
        lines = [(*edge.points, edge.points[0]) if edge.closed else edge.points for edge in self.layout.edges]
        plot_points(path, curves, shape, self.scores.per_point, lines, f"{title}, {self.scores.faces} pictures")

    def draw_worst(self, folder: Path) -> list[Path]:
        """Draw the faces with the largest errors into a folder, then those missed; return their files.

        Raises:
            ImageError: if the folder cannot be written.
        """
        from facereg.evaluation.worst_points import draw_worst_points

        return draw_worst_points(folder, [item.path for item in self.items], self.labelled, self.found, self.scores)


def measure_landmarks(
    detector: Detector,
    items: Sequence[PointedImage],
    *,
    aligner: Aligner | None = None,
    enlarge: float = 1.0,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> LandmarkResult:
    """Return the errors of points, divided by the distance between the labelled eyes.

    Points of another layout than the labels' are compared by the five landmarks that both have.

    Args:
        items: pictures, all with as many points.
        aligner: finds the points; None takes the detector's own five.
        enlarge: detect on pictures made larger by this.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part or could not be read, or a face refused.
    Raises:
        ContractError: if there are no points to compare, or two labelled eyes coincide.
        UnknownNameError: if the labels, or the points found, are of no layout that is known.
        FaceregError: if a network is not to be had.
    """
    aligner = aligner or FivePointAligner()
    require_landmarks(detector, aligner)
    labelled, of_labels = _labels(items)
    middles = labelled.mean(1)

    def about(row: int, picture: Picture, faces: Faces) -> Faces:
        in_file = picture.in_file(faces)
        chosen = _about(in_file, middles[row])
        boxes.update(zip([row] * len(chosen), in_file.boxes[chosen], strict=True))
        return faces[chosen]

    found, boxes = list[FloatArray | None](), dict[int, FloatArray]()
    errors, refused = list[ImageError](), 0
    outcomes = find_points(
        EnlargingDetector(detector, enlarge),
        aligner,
        [item.path for item in items],
        chosen=about,
        notice=notice,
    )
    for path, outcome in outcomes:
        points = None
        if isinstance(outcome, ImageError):
            errors.append(outcome)
            notice(str(outcome))
        else:
            picture, faces, own = outcome
            for reason in filter(None, own.refused):
                refused += 1
                notice(f"{path}: {reason}")
            if own.kept.any():
                points = picture.in_file(Faces(faces.boxes, faces.scores, own.points)).landmarks[0]
        found.append(points)
        progress(1)
    square = _square(boxes, labelled)
    return _result(items, found, labelled, of_labels, refused, square, enlarge, errors)


def _labels(items: Sequence[PointedImage]) -> tuple[FloatArray, Layout]:
    """Return the labelled points (N, P, 2) and their layout; raise ContractError where they cannot be compared with."""
    counts = {len(item.points) for item in items}
    if len(counts) != 1:
        raise ContractError(f"items: expected pictures with one number of points, got {sorted(counts) or 'no picture'}")
    labelled = np.stack([item.points for item in items])
    layout = layout_with(counts.pop())
    lengths = np.minimum(layout.eye_distance(labelled), FIVE.eye_distance(layout.five_of(labelled)))
    for item, length in zip(items, lengths, strict=True):
        if not length > 0:
            raise ContractError(f"{item.path}: expected labelled eyes apart from each other, got them on one point")
    return labelled, layout


def _result(
    items: Sequence[PointedImage],
    found: Sequence[FloatArray | None],
    labelled: FloatArray,
    layout: Layout,
    refused: int,
    square: Mapping[str, float],
    enlarge: float,
    errors: Sequence[ImageError],
) -> LandmarkResult:
    """Compare the points found (P, 2) of each picture with those labelled, in the layout of both, or by the five."""
    counts = {len(points) for points in found if points is not None} or {layout.points}
    theirs = layout_with(counts.pop())
    compared = layout if theirs is layout else FIVE
    missed = np.full((theirs.points, 2), np.nan, np.float32)
    all_found = np.stack([missed if points is None else points for points in found])
    if compared is not theirs:
        all_found = theirs.five_of(all_found)
    if compared is not layout:
        labelled = layout.five_of(labelled)
    eyes = compared.eye_distance(labelled)
    rows = {name: np.array([name in item.attributes for item in items], np.bool_) for name in ATTRIBUTES}

    def scored(chosen: BoolArray) -> LandmarkScores:
        return score_landmarks(all_found[chosen], labelled[chosen], eyes[chosen])

    return LandmarkResult(
        tuple(items),
        all_found,
        labelled,
        compared,
        "inter-ocular" if compared is FIVE else f"distance of points {compared.eyes[0]} and {compared.eyes[1]}",
        scored(np.ones(len(items), np.bool_)),
        {name: scored(chosen) for name, chosen in rows.items() if chosen.any()},
        refused,
        square,
        enlarge,
        tuple(errors),
    )


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
    failed = errors > FAILED
    per_point = distances[seen].mean(0) * 100 if seen.any() else np.full(labelled.shape[1], np.inf)
    return LandmarkScores(
        faces=len(errors),
        missed=int((~seen).sum()),
        nme=float(errors[seen].mean() * 100) if seen.any() else float("inf"),
        fr10=float(failed.mean()),
        fr5=float((errors > STRICT).mean()),
        fr10_found=float(failed[seen].mean()) if seen.any() else 0.0,
        auc10=_simpson(curve[:, 1]) / FAILED,
        per_point=per_point.astype(np.float32),
        errors=errors.astype(np.float32),
        curve=curve.astype(np.float32),
    )


def mean_shape(labelled: FloatArray, layout: Layout) -> FloatArray:
    """Return the mean of faces (N, P, 2), each turned and scaled so that its five landmarks fit the template of 112 px.

    Raises:
        ContractError: if the five landmarks of a face coincide.
    """
    matrices = similarity_from_points(layout.five_of(labelled), template(112))
    mean: FloatArray = transform_points(labelled, matrices).mean(0)
    return mean


def _about(faces: Faces, middle: FloatArray) -> IntArray:
    """Return the row of the best-scored face whose box holds the middle of the labelled points; or no row."""
    inside = (faces.boxes[:, :2] <= middle).all(1) & (middle <= faces.boxes[:, 2:]).all(1)
    return np.flatnonzero(inside)[:1]  # faces come best first


def _square(boxes: Mapping[int, FloatArray], labelled: FloatArray) -> dict[str, float]:
    """Return how the square about labelled points (N, P, 2) lies by the boxes (4,) of some of their pictures."""
    if labelled.shape[1] < BROWS_TO_CHIN or not boxes:
        return {}
    found, points = np.stack(list(boxes.values())), labelled[list(boxes)]
    longer = (found[:, 2:] - found[:, :2]).max(1)
    low, high = points.min(1), points.max(1)
    factors = (high - low).max(1) / longer
    shifts = ((low + high)[:, 1] - found[:, 1] - found[:, 3]) / 2 / longer
    both = {"factor": factors, "shift": shifts}
    middles = {name: float(np.median(values)) for name, values in both.items()}
    return middles | {f"{name}_std": float(values.std()) for name, values in both.items()}


def _curve(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    at = np.arange(round(FAILED / STEP) + 1) * STEP  # 0 to 0.1, both ends
    return np.stack([at, np.searchsorted(np.sort(errors), at, side="right") / len(errors)], 1)


def _simpson(values: npt.NDArray[np.float64]) -> float:
    """Return the area by Simpson's rule; the number of steps is even."""
    return float((values[0] + values[-1] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum()) * STEP / 3)
