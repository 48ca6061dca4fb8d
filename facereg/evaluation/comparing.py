"""Pictures compared two by two, and LFW's figures of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    GroupScores,
    VerificationScores,
    best_threshold,
    require_folds,
    require_kinds,
    require_roc,
    score_groups,
    score_pairs,
)
from facereg.gallery.thresholds import Threshold
from facereg.pipeline.composer import Pipeline
from facereg.types import BoolArray, FloatArray, IntArray

GROUPS_FAR = 0.01  # over all pairs: the threshold at which groups are compared


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
    return _refuse(cosine, held.faces.found[first] & held.faces.found[second], listed.same)


def every_similarity(vectors: FloatArray, person: IntArray, found: BoolArray) -> Similarities:
    """Return the similarities of every two of N vectors.

    Args:
        person: (N,) number of the person whom each shows.
        found: (N,) whether there is a face.
    """
    first, second = np.triu_indices(len(person), 1)
    cosine = (vectors @ vectors.T)[first, second]  # row by row, millions of pairs would take gigabytes
    return _refuse(cosine, found[first] & found[second], person[first] == person[second])


def _refuse(cosine: FloatArray, seen: BoolArray, same: BoolArray) -> Similarities:
    return Similarities(np.where(seen, cosine, REFUSED).astype(np.float32), same, int((~seen).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class VerificationResult:
    """An embedder's figures by the LFW protocol.

    Args:
        scores: over all pairs; one that lacks a face is refused.
        tested: the pairs.
        compared: their similarities.
        errors: what is wrong with each file that could not be read or worked on.
        intervals: how far the figures would move with other people; None where no draws were asked for.
        groups: figures of the pairs within each group of people, at the threshold of GROUPS_FAR over all pairs.
    """

    scores: VerificationScores
    tested: PairList
    compared: Similarities
    errors: tuple[ImageError, ...]
    intervals: Intervals | None = None
    groups: Mapping[str, GroupScores] = field(default_factory=dict)

    @property
    def pairs(self) -> int:
        """Return how many pairs there are."""
        return len(self.tested.pairs)

    @property
    def folds(self) -> int:
        """Return how many folds they make."""
        return len(set(self.tested.folds))

    @property
    def missing(self) -> int:
        """Return how many pairs lack a face, or have a picture that cannot be read."""
        return self.compared.missing

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
        for part in ("far", "tpr", "impostors", "genuine") if self.groups else ():
            figures[f"{part}_of_groups"] = {name: getattr(own, part) for name, own in self.groups.items()}
        return {**figures, "threshold": self.scores.threshold, "folds": self.folds}

    def plot(self, path: Path, title: str) -> None:
        """Draw ROC and DET."""
        from facereg.evaluation.plots import plot_verification

        curves = {title: self.scores.curve} | {name: own.curve for name, own in self.groups.items()}
        plot_verification(path, curves, f"{title}, {self.pairs} pairs")

    def draw_worst(self, folder: Path) -> list[Path]:
        """Draw the pairs farthest on the wrong side of the threshold; see `draw_worst_pairs`."""
        from facereg.evaluation.worst_pairs import draw_worst_pairs

        scores = self.scores
        return draw_worst_pairs(folder, self.tested.pairs, self.compared.values, scores.right, scores.threshold)


def _by_far(values: Mapping[float, float | None]) -> dict[str, float | None]:
    return {f"{far:g}": value for far, value in values.items()}


def measure_verification(
    pipeline: Pipeline,
    tested: PairList,
    chosen: PairList | None = None,
    *,
    flip: Flip | None = None,
    draws: int = 0,
    groups: Mapping[str, str] | None = None,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> VerificationResult:
    """Return the figures over a list of pairs; no pair is left out.

    Args:
        tested: the list.
        chosen: another, to choose the threshold on; needed where the first has one fold.
        flip: what mirrored crops add, see `FlippedEmbedder`; None is as the embedder is set, which is `sum`.
        draws: of the people, for intervals of the figures; 0 gives none.
        groups: of people by name, see `read_groups`; figures of each are given beside those of all.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        ContractError: if a kind of pair is missing, or one fold comes without `chosen`.
        DatasetError: if pictures are not there.
        FaceregError: if a network is not to be had.
    """
    require_roc()
    lists = [tested] if chosen is None else [tested, chosen]
    for own in lists:  # what cannot be scored is told before the work
        require_kinds(own.same)
    if chosen is None:
        require_folds(tested.folds)
    else:
        tell_shared(tested, chosen, notice)
    if flip is not None:
        pipeline = Pipeline(pipeline.detector, pipeline.aligner, FlippedEmbedder(pipeline.embedder, flip))
    held = embed_lists(pipeline, lists, progress=progress, notice=notice)
    compared, threshold = listed_similarities(tested, held), None
    if chosen is not None:
        other = listed_similarities(chosen, held)
        threshold = best_threshold(other.values, other.same)
    return score_list(tested, compared, threshold=threshold, draws=draws, groups=groups, errors=held.faces.errors)


def tell_shared(tested: PairList, chosen: PairList, notice: Callable[[str], object]) -> None:
    """Say how many pairs are among those that the threshold is chosen on: they flatter."""
    known = {frozenset((pair.first, pair.second)) for pair in chosen.pairs}
    shared = sum(frozenset((pair.first, pair.second)) in known for pair in tested.pairs)
    if shared:
        notice(
            f"{shared:,} of {len(tested.pairs):,} pairs are among those that the threshold is chosen on, which "
            "flatters; choose it on others"
        )


def score_list(
    tested: PairList,
    compared: Similarities,
    *,
    threshold: float | None = None,
    draws: int = 0,
    groups: Mapping[str, str] | None = None,
    errors: tuple[ImageError, ...] = (),
) -> VerificationResult:
    """Return the figures of a list whose pairs are compared; see `measure_verification`.

    Raises:
        ContractError: if a kind of pair is missing, one fold comes without a threshold, or there are groups and too
            few impostor pairs to show a rate of GROUPS_FAR.
    """
    scores = score_pairs(compared.values, compared.same, tested.folds, threshold=threshold)
    drawn = bootstrap(compared.values, compared.same, scores.right, tested.people, draws=draws) if draws else None
    apart = {}
    if groups:
        both = [(groups.get(first), groups.get(second)) for first, second in tested.names]
        apart = score_groups(compared.values, compared.same, both, GROUPS_FAR)
    return VerificationResult(scores, tested, compared, errors, drawn, apart)
