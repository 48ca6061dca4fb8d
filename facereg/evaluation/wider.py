"""WIDER FACE's own protocol: average precision on its easy, medium and hard faces (Yang et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.data.lines import require_files
from facereg.data.wider import VALIDATION, Predictions, WiderTruth, predictions_of, write_wider_predictions
from facereg.errors import ContractError, ImageError
from facereg.evaluation.detecting import detect_listed
from facereg.evaluation.detection import average_precision
from facereg.roles import Detector
from facereg.types import FloatArray, IntArray

THRESHOLDS = 1000  # of the score, from 0.999 down to 0
MATCHED = 0.5  # IoU


@dataclass(frozen=True, slots=True, eq=False)
class WiderScores:
    """Figures of one subset.

    Args:
        faces: how many count.
        ap: area under precision made monotone, over all recalls.
        curve: (1000, 3) float32 recall, precision, threshold of the normalised score.
    """

    faces: int
    ap: float
    curve: FloatArray


def score_wider(truth: WiderTruth, predictions: Sequence[Predictions]) -> dict[str, WiderScores]:
    """Score predictions as the published evaluation does, quirks included.

    Scores are stretched so that the least and the greatest of the whole set become 0 and 1; where all are equal they
    become 1. A prediction goes to the face it overlaps most, with widths counted as x2 - x1 + 1. On an ignored face
    it does not count; a second one on a face is a false alarm. Pictures without a labelled face, or without a
    prediction, add nothing but their faces: false alarms on pictures without a labelled face go unseen.

    Args:
        predictions: (N, 5) x y w h score of each picture of `truth`, in any order within it.
    Raises:
        ContractError: if the lengths differ or a subset has no face.
    """
    if len(predictions) != len(truth.names):
        raise ContractError(f"predictions: expected {len(truth.names)}, one a picture, got {len(predictions)}")
    matches = [_match(boxes, own) for boxes, own in zip(truth.boxes, _normalised(predictions), strict=True)]
    return {subset: _score(matches, rows, subset) for subset, rows in truth.kept.items()}


def figures(scores: Mapping[str, WiderScores]) -> dict[str, object]:
    """Return the AP of each subset by its name, and its number of faces as `faces_NAME`."""
    counts: dict[str, object] = {f"faces_{subset}": own.faces for subset, own in scores.items()}
    return {subset: own.ap for subset, own in scores.items()} | counts


@dataclass(frozen=True, slots=True, eq=False)
class WiderResult:
    """A detector's figures on WIDER FACE's three subsets.

    Args:
        images: how many pictures there are.
        scores: of each subset.
        errors: what is wrong with each file that could not be read or worked on; its faces are missed.
    """

    images: int
    scores: Mapping[str, WiderScores]
    errors: tuple[ImageError, ...] = ()

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes; `missing` counts files, whose faces are missed."""
        return {"images": self.images, "missing": len(self.errors)} | figures(self.scores)

    def plot(self, path: Path, title: str) -> None:
        """Draw precision against recall."""
        from facereg.evaluation.plots import plot_detection

        curves = {f"{subset}, AP {own.ap:.3f}": own.curve for subset, own in self.scores.items()}
        plot_detection(path, curves, ", ".join(filter(None, [title, f"{self.images} pictures"])))


def measure_wider(
    detector: Detector,
    truth: WiderTruth,
    images: Path,
    *,
    save: Path | None = None,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> WiderResult:
    """Return the figures of a detector on the validation pictures.

    Args:
        images: the folder `WIDER_val/images`.
        save: folder for the predictions as the benchmark asks for them; of a picture that cannot be read there are
            none.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        DatasetError: if a picture is missing.
        FaceregError: if a network is not to be had.
    """
    paths = [images / f"{name}.jpg" for name in truth.names]
    require_files(paths, listed_in=Path(VALIDATION))
    score_wider(truth, [np.empty((0, 5))] * len(paths))  # what cannot be scored is told before the work
    found, errors = detect_listed(detector, paths, progress=progress, notice=notice)
    if save is not None:
        write_wider_predictions(save, truth.names, found)
    scores = score_wider(truth, [predictions_of(own) for own in found])
    return WiderResult(len(paths), scores, tuple(errors))


@dataclass(frozen=True, slots=True, eq=False)
class _Match:
    """Predictions of a picture, best first: scores, and the face each overlaps most, -1 where by less than asked."""

    scores: npt.NDArray[np.float64]
    face: IntArray
    faces: int


def _normalised(predictions: Sequence[Predictions]) -> list[Predictions]:
    scores = np.concatenate([np.empty(0), *(own[:, 4] for own in predictions)])
    if not len(scores):
        return list(predictions)
    least, span = scores.min(), scores.max() - scores.min()
    stretched = [(own[:, 4:] - least) / span if span else np.ones((len(own), 1)) for own in predictions]
    return [np.concatenate([own[:, :4], new], 1) for own, new in zip(predictions, stretched, strict=True)]


def _match(boxes: FloatArray, predictions: Predictions) -> _Match:
    own = predictions[np.argsort(-predictions[:, 4], kind="stable")]
    if len(boxes) == 0 or len(own) == 0:
        return _Match(np.empty(0), np.empty(0, np.int64), len(boxes))
    overlap = _overlap(own[:, :4], boxes.astype(np.float64))  # (N, M)
    face = np.where(overlap.max(1) >= MATCHED, overlap.argmax(1), -1)
    return _Match(own[:, 4], face.astype(np.int64), len(boxes))


def _overlap(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the (N, M) IoU of x y w h boxes whose last pixel, x + w, still belongs to them."""
    ends, other_ends = first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:]
    sides = np.minimum(ends[:, None], other_ends[None]) - np.maximum(first[:, None, :2], second[None, :, :2]) + 1
    intersection = np.clip(sides, 0, None).prod(2)
    areas, other_areas = (first[:, 2:] + 1).prod(1), (second[:, 2:] + 1).prod(1)
    overlap: npt.NDArray[np.float64] = intersection / (areas[:, None] + other_areas[None] - intersection)
    return overlap


def _score(matches: Sequence[_Match], kept: Sequence[IntArray], subset: str) -> WiderScores:
    faces = sum(len(rows) for rows in kept)
    if faces == 0:
        raise ContractError(f"truth: expected at least one face that counts in {subset}, got none")
    thresholds = 1 - np.arange(1, THRESHOLDS + 1) / THRESHOLDS
    counted, hits = np.zeros(THRESHOLDS), np.zeros(THRESHOLDS)
    for match, rows in zip(matches, kept, strict=True):
        wanted = np.zeros(match.faces + 1, np.bool_)  # the last answers for -1, no face
        wanted[rows] = True
        on_face = wanted[match.face]
        first = np.zeros(len(match.face), np.bool_)
        first[np.unique(match.face, return_index=True)[1]] = True
        taken = np.searchsorted(-match.scores, -thresholds, side="right")  # predictions at or above each threshold
        counted += _running(on_face | (match.face < 0))[taken]
        hits += _running(on_face & first)[taken]
    precision = np.divide(hits, counted, out=np.zeros(THRESHOLDS), where=counted > 0)
    recall = hits / faces
    curve = np.stack([recall, precision, thresholds], 1).astype(np.float32)
    return WiderScores(faces, average_precision(recall, precision), curve)


def _running(flags: npt.NDArray[np.bool_]) -> IntArray:
    """Return how many of the first 0, 1, ..., N flags are set."""
    return np.concatenate([[0], np.cumsum(flags)]).astype(np.int64)
