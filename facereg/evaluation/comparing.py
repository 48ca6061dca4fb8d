"""Pictures compared two by two, and what follows of it: LFW's figures, and the thresholds of false accept rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.lines import absent
from facereg.data.pairs import PairList
from facereg.errors import DatasetError, ImageError
from facereg.evaluation.bootstrap import Intervals, bootstrap
from facereg.evaluation.flipping import Flip, FlippedEmbedder
from facereg.evaluation.main_faces import MainFaces, embed_main_faces
from facereg.evaluation.verification import (
    REFUSED,
    VerificationScores,
    best_threshold,
    require_roc,
    score_pairs,
    thresholds_from,
)
from facereg.gallery.thresholds import Calibration, Threshold, store_calibration
from facereg.pipeline.composer import Pipeline
from facereg.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike two faces are, and what that means at a threshold."""

    similarity: float
    threshold: Threshold

    @property
    def same(self) -> bool:
        """Tell whether they are taken for one person's."""
        return self.similarity >= self.threshold.value

    def figures(self) -> dict[str, object]:
        """Return the answer by the names that the command writes."""
        return {
            "same": self.same,
            "similarity": self.similarity,
            "threshold": self.threshold.value,
            "far": self.threshold.far,
        }


def compare_pictures(
    pipeline: Pipeline,
    first: Path,
    second: Path,
    threshold: Threshold,
    *,
    notice: Callable[[str], object] = lambda text: None,
) -> Comparison:
    """Compare the faces that two pictures are about.

    Args:
        threshold: from which they are one person's, as `facereg.calibration` keeps it.
        notice: called with a line about a file that was read in part.
    Raises:
        ImageError: if a picture cannot be read, or shows no face that can be compared.
        FaceregError: if a network is not to be had.
    """
    faces = embed_main_faces(pipeline, [first, second], notice=notice)
    for error in faces.unseen:
        raise error
    return Comparison(float(faces.vectors[0] @ faces.vectors[1]), threshold)


@dataclass(frozen=True, slots=True, eq=False)
class ListedFaces:
    """The main face of each picture of some lists, each picture once: `rows` says which row of `faces` it is."""

    faces: MainFaces
    rows: Mapping[Path, int]


@dataclass(frozen=True, slots=True, eq=False)
class Similarities:
    """Pairs compared.

    Args:
        values: (N,) float32, REFUSED for a pair that lacks a face.
        same: (N,) whether both pictures show one person.
        missing: how many pairs lack a face, or have a picture that cannot be read.
    """

    values: FloatArray
    same: BoolArray
    missing: int


def embed_lists(
    pipeline: Pipeline,
    lists: Sequence[PairList],
    *,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> ListedFaces:
    """Embed the main face of every picture of some lists, each picture once.

    Args:
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        DatasetError: if pictures are not there: the lists are another folder's.
        FaceregError: if a network is not to be had.
    """
    paths = list(dict.fromkeys(path for held in lists for path in held.paths))
    if missing := absent(paths):
        raise DatasetError(f"{len(missing)} of {len(paths)} pictures are missing, such as {missing[0]}; check --images")
    faces = embed_main_faces(pipeline, paths, progress=progress, notice=notice)
    for error in faces.unseen:
        notice(str(error))
    return ListedFaces(faces, {path: row for row, path in enumerate(paths)})


def listed_similarities(listed: PairList, held: ListedFaces) -> Similarities:
    """Return the similarities of a list's pairs."""
    first = np.array([held.rows[pair.first] for pair in listed.pairs])
    second = np.array([held.rows[pair.second] for pair in listed.pairs])
    cosine = (held.faces.vectors[first] * held.faces.vectors[second]).sum(1)
    same = np.array([pair.same for pair in listed.pairs], np.bool_)
    return _refuse(cosine, held.faces.found[first] & held.faces.found[second], same)


def every_similarity(held: ListedFaces) -> Similarities:
    """Return the similarities of every two pictures; those in one folder show one person."""
    _, person = np.unique([str(path.parent) for path in held.rows], return_inverse=True)
    first, second = np.triu_indices(len(person), 1)
    vectors = held.faces.vectors
    cosine = (vectors @ vectors.T)[first, second]  # row by row, millions of pairs would take gigabytes
    return _refuse(cosine, held.faces.found[first] & held.faces.found[second], person[first] == person[second])


def _refuse(cosine: FloatArray, seen: BoolArray, same: BoolArray) -> Similarities:
    return Similarities(np.where(seen, cosine, REFUSED).astype(np.float32), same, int((~seen).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class VerificationResult:
    """An embedder's figures by the LFW protocol.

    Args:
        scores: over all pairs; one that lacks a face is refused.
        pairs, folds: how many there are.
        missing: how many pairs lack a face, or have a picture that cannot be read.
        errors: what is wrong with each file that could not be read or worked on.
        tested: the pairs, and their `similarities` (N,), REFUSED for one that lacks a face.
        intervals: how far the figures would move with other people; None where no draws were asked for.
    """

    scores: VerificationScores
    pairs: int
    folds: int
    missing: int
    errors: tuple[ImageError, ...]
    tested: PairList
    similarities: FloatArray
    intervals: Intervals | None = None

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes."""
        figures: dict[str, object] = {
            "pairs": self.pairs,
            "missing": self.missing,
            "accuracy": self.scores.accuracy,
            "accuracy_std": self.scores.accuracy_std,
            "tpr_at_far": _by_far(self.scores.tpr_at_far),
        }
        for name, part in (("tpr_at_far_folds", "tpr"), ("tpr_at_far_folds_std", "tpr_std"), ("far_folds", "far")):
            if self.scores.fold_rates:
                held = {far: getattr(rate, part, None) for far, rate in self.scores.fold_rates.items()}
                figures[name] = _by_far(held)
        if self.intervals is not None:
            low, high = self.intervals.accuracy
            spans = self.intervals.tpr_at_far
            figures["accuracy_low"], figures["accuracy_high"] = low, high
            figures["tpr_at_far_low"] = _by_far({far: span and span[0] for far, span in spans.items()})
            figures["tpr_at_far_high"] = _by_far({far: span and span[1] for far, span in spans.items()})
            figures["drawn"] = self.intervals.over
        return {**figures, "threshold": self.scores.threshold, "folds": self.folds}

    def plot(self, path: Path, title: str) -> None:
        """Draw ROC and DET."""
        from facereg.evaluation.plots import plot_verification

        plot_verification(path, {title: self.scores.curve}, f"{title}, {self.pairs} pairs")

    def draw_worst(self, folder: Path) -> list[Path]:
        """Draw the pairs farthest on the wrong side of the threshold; see `draw_worst_pairs`."""
        from facereg.evaluation.worst_pairs import draw_worst_pairs

        return draw_worst_pairs(folder, self.tested.pairs, self.similarities, self.scores.right, self.scores.threshold)


def _by_far(values: Mapping[float, float | None]) -> dict[str, float | None]:
    return {f"{far:g}": value for far, value in values.items()}


def measure_verification(
    pipeline: Pipeline,
    tested: PairList,
    chosen: PairList | None = None,
    *,
    flip: Flip | None = None,
    draws: int = 0,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> VerificationResult:
    """Return the figures over a list of pairs; no pair is left out.

    Args:
        tested: the list.
        chosen: another, to choose the threshold on; needed where the first has one fold.
        flip: what mirrored crops add, see `FlippedEmbedder`; None is as the embedder is set, which is `sum`.
        draws: of the people, for intervals of the figures; 0 gives none.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        ContractError: if a kind of pair is missing, or one fold comes without `chosen`.
        DatasetError: if pictures are not there.
        FaceregError: if a network is not to be had.
    """
    require_roc()
    if flip is not None:
        pipeline = Pipeline(pipeline.detector, pipeline.aligner, FlippedEmbedder(pipeline.embedder, flip))
    lists = [tested] if chosen is None else [tested, chosen]
    held = embed_lists(pipeline, lists, progress=progress, notice=notice)
    compared, threshold = listed_similarities(tested, held), None
    if chosen is not None:
        other = listed_similarities(chosen, held)
        threshold = best_threshold(other.values, other.same)
    return score_list(tested, compared, threshold=threshold, draws=draws, errors=held.faces.errors)


def score_list(
    tested: PairList,
    compared: Similarities,
    *,
    threshold: float | None = None,
    draws: int = 0,
    errors: tuple[ImageError, ...] = (),
) -> VerificationResult:
    """Return the figures of a list whose pairs are compared; see `measure_verification`.

    Raises:
        ContractError: if a kind of pair is missing, or one fold comes without a threshold.
    """
    scores = score_pairs(compared.values, compared.same, tested.folds, threshold=threshold)
    drawn = bootstrap(compared.values, compared.same, scores.right, tested.people, draws=draws) if draws else None
    return VerificationResult(
        scores,
        len(tested.pairs),
        len(set(tested.folds)),
        compared.missing,
        errors,
        tested,
        compared.values,
        drawn,
    )


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """Thresholds measured on pairs.

    Args:
        calibration: the threshold of `far`, and of its tenths as far as the pairs show them.
        far: the false accept rate asked for.
        tpr: share of genuine pairs accepted at its threshold; None where there are none.
        pairs: how many were compared.
        missing: how many of them lack a face, or have a picture that cannot be read.
        space: of the embedder.
        errors: what is wrong with each file that could not be read or worked on.
    """

    calibration: Calibration
    far: float
    tpr: float | None
    pairs: int
    missing: int
    space: str
    errors: tuple[ImageError, ...]

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes."""
        thresholds = self.calibration.thresholds
        return {
            "threshold": thresholds[self.far],
            "far": self.far,
            "tpr": self.tpr,
            "thresholds": {f"{rate:g}": held for rate, held in thresholds.items()},
            "pairs": self.pairs,
            "missing": self.missing,
            "space": self.space,
        }

    def store(self) -> Path:
        """Keep the thresholds for the embedder's space, for verify and identify to use; return the file.

        Raises:
            FaceregError: if the file cannot be written.
        """
        return store_calibration(self.space, self.calibration)


def measure_thresholds(
    pipeline: Pipeline,
    listed: PairList,
    far: float,
    *,
    source: str,
    every_pair: bool = False,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> CalibrationResult:
    """Measure the threshold of a false accept rate, and those of its tenths; `store` of the result keeps them.

    Args:
        source: says which pairs and stages these are, as `pairs.txt, with mtcnn and five-point`.
        every_pair: compare all pictures of the list with each other, those in one folder being one person's.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        ContractError: if there are too few impostor pairs to measure `far`.
        DatasetError: if pictures are not there.
        FaceregError: if a network is not to be had.
    """
    held = embed_lists(pipeline, [listed], progress=progress, notice=notice)
    compared = every_similarity(held) if every_pair else listed_similarities(listed, held)
    thresholds = thresholds_from(compared.values, compared.same, far)
    genuine = compared.values[compared.same]
    return CalibrationResult(
        Calibration(thresholds, f"{len(compared.same)} pairs of {source}"),
        far=far,
        tpr=float((genuine >= thresholds[far]).mean()) if len(genuine) else None,
        pairs=len(compared.same),
        missing=compared.missing,
        space=held.faces.space,
        errors=held.faces.errors,
    )
