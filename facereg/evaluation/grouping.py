"""How well faces were put into people without knowing anybody: pairwise F and BCubed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facereg.collection.grouping import Grouping, Method
from facereg.errors import ContractError, ImageError, MissingExtraError
from facereg.evaluation.main_faces import MainFaces, embed_main_faces
from facereg.gallery.thresholds import Calibration
from facereg.pipeline.composer import Pipeline
from facereg.types import FloatArray, IntArray

try:
    from sklearn.metrics.cluster import contingency_matrix, pair_confusion_matrix
except ImportError as error:
    raise MissingExtraError("evaluation needs scikit-learn; pip install 'facereg-core[app]'") from error

THRESHOLDS = tuple(round(0.1 + 0.025 * step, 3) for step in range(27))  # cosines tried: 0.1 to 0.75
SHARES = tuple(round(0.05 * step, 2) for step in range(2, 19))  # 0.1 to 0.9


def tried(calibration: Calibration | None) -> Mapping[Method, Sequence[Grouping]]:
    """Return what is tried of each method: with a calibration, shares in the place of agglomerative's thresholds."""
    return {
        "agglomerative": [Grouping(calibration=calibration, share=share) for share in SHARES]
        if calibration
        else [Grouping(threshold=threshold) for threshold in THRESHOLDS],
        "dbscan": [Grouping("dbscan", threshold, k) for k in (2, 3, 4) for threshold in THRESHOLDS],
        "hdbscan": [Grouping("hdbscan", neighbours=k) for k in (2, 3, 5, 8)],
    }


@dataclass(frozen=True, slots=True)
class GroupingScores:
    """How groups of faces agree with the people they show.

    Args:
        groups: how many there are, a face alone among them.
        pairwise_precision, pairwise_recall, pairwise_f: over every two faces: of those in one group the share of one
            person, of those of one person the share in one group, and their harmonic mean.
        bcubed_precision, bcubed_recall, bcubed_f: the mean over faces of the share of its group that is of its person,
            and of its person that is in its group, the face itself among both, and the harmonic mean of the two means:
            a person of many pictures counts for no more than those pictures.
    """

    groups: int
    pairwise_precision: float
    pairwise_recall: float
    pairwise_f: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f: float


def score_grouping(groups: IntArray, people: Sequence[str]) -> GroupingScores:
    """Return how the groups of N faces agree with their people.

    Args:
        groups: (N,) the number of each face's group; -1 is alone.
        people: the N faces' people.
    Raises:
        ContractError: if there are not as many groups as people, or no face.
    Source: Amigo et al. 2009, doi:10.1007/s10791-008-9066-8 (BCubed).
    """
    if len(groups) != len(people) or len(people) == 0:
        raise ContractError(
            f"groups: expected a group for each of {len(people)} faces, one at least, got {len(groups)}"
        )
    own = np.where(groups < 0, -1 - np.arange(len(groups)), groups)  # each face alone is a group
    together = contingency_matrix(people, own, sparse=True)  # people x groups
    shared = np.asarray(together.multiply(together).tocoo().data, np.float64)  # faces of a cell, each with its fellows
    person, group = together.tocoo().coords
    of_person, of_group = (np.asarray(together.sum(axis), np.float64).ravel() for axis in (1, 0))
    precision, recall = (float((shared / sizes).sum() / len(people)) for sizes in (of_group[group], of_person[person]))
    (_, wrong), (missed, right) = pair_confusion_matrix(people, own).tolist()
    pairs = right / (right + wrong) if right + wrong else 1.0, right / (right + missed) if right + missed else 1.0
    return GroupingScores(len(of_group), *pairs, _harmonic(*pairs), precision, recall, _harmonic(precision, recall))


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class GroupingResult:
    """Figures of each method over the main faces of a folder of people.

    Args:
        chosen: each method with its threshold and neighbours.
        scores: its scores; a picture without a face, or that could not be read, is alone.
        thresholds: that of each method on these faces; -1 where it has none.
        curves: (K, 2) float32 threshold and BCubed F of each method, with the neighbours chosen.
        people, images: how many there are.
        without_face: how many pictures gave no face, those that could not be read among them.
        errors: what is wrong with each file that could not be read or worked on.
    """

    chosen: Mapping[Method, Grouping]
    scores: Mapping[Method, GroupingScores]
    thresholds: Mapping[Method, float]
    curves: Mapping[str, FloatArray]
    people: int
    images: int
    without_face: int
    errors: tuple[ImageError, ...]

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes; `missing` counts files that could not be read."""
        named = ("bcubed_f", "bcubed_precision", "bcubed_recall", "pairwise_f", "pairwise_precision", "pairwise_recall")
        return {
            "people": self.people,
            "images": self.images,
            "missing": len(self.errors),
            "without_face": self.without_face,
            **{name: {method: getattr(self.scores[method], name) for method in self.scores} for name in named},
            "groups": {method: scores.groups for method, scores in self.scores.items()},
            "threshold": {method: round(threshold, 4) for method, threshold in self.thresholds.items()},
            "share": {"agglomerative": self.chosen["agglomerative"].share},
            "neighbours": {method: chosen.neighbours for method, chosen in self.chosen.items()},
        }

    def plot(self, path: Path, title: str) -> None:
        """Draw BCubed F against the threshold."""
        from facereg.evaluation.plots import plot_grouping

        plot_grouping(path, self.curves, f"{title}, {self.people} people")


def measure_grouping(
    pipeline: Pipeline,
    people: Mapping[str, Sequence[Path]],
    *,
    choose_on: Mapping[str, Sequence[Path]],
    calibration: Calibration | None = None,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> GroupingResult:
    """Return how well each method puts the main faces of pictures into people, with what is best for other people.

    Args:
        people: the pictures of each person, as `find_people` gives them.
        choose_on: the pictures of others, on which each method's threshold and neighbours are chosen, by BCubed F.
        calibration: of the embedder: in the place of agglomerative's threshold its share is chosen, which makes a
            threshold for these people and another for those.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        FaceregError: if a network is not to be had.
    """
    others = _Faces.of(pipeline, choose_on, progress, notice)
    chosen = {
        method: max(candidates, key=lambda one: (others.scored(one).bcubed_f, one.threshold or 0))
        for method, candidates in tried(calibration).items()
    }
    faces = _Faces.of(pipeline, people, progress, notice)
    curves: dict[str, FloatArray] = {}
    for method, best in chosen.items():
        line = [replace(best, threshold=threshold) for threshold in THRESHOLDS]
        curves[method] = np.array([(one.threshold, faces.scored(one).bcubed_f) for one in line], np.float32)
    return GroupingResult(
        chosen,
        {method: faces.scored(best) for method, best in chosen.items()},
        {method: best.threshold_for(faces.vectors) for method, best in chosen.items()},
        curves,
        len(people),
        len(faces.names),
        int((~faces.held.found).sum()),
        (*others.held.errors, *faces.held.errors),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Faces:
    """The main faces of people's pictures."""

    names: list[str]
    held: MainFaces

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        people: Mapping[str, Sequence[Path]],
        progress: Callable[[int], object],
        notice: Callable[[str], object],
    ) -> _Faces:
        paths = [path for own in people.values() for path in own]
        held = embed_main_faces(pipeline, paths, progress=progress, notice=notice)
        for error in held.errors:
            notice(str(error))
        return cls([name for name, own in people.items() for _ in own], held)

    @property
    def vectors(self) -> FloatArray:
        return self.held.vectors[self.held.found]

    def scored(self, grouping: Grouping) -> GroupingScores:
        groups = np.full(len(self.names), -1, np.int64)
        groups[self.held.found] = grouping.groups_of(self.vectors)
        return score_grouping(groups, self.names)
