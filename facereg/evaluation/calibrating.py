"""Thresholds of false accept rates: of pairs, or of a gallery against itself, and how far others would move them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.pairs import PairList
from facereg.errors import ContractError, ImageError
from facereg.evaluation.comparing import Similarities, embed_lists, every_similarity, listed_similarities
from facereg.evaluation.verification import require_rate, thresholds_from
from facereg.gallery import Gallery
from facereg.gallery.thresholds import Calibration, Tail, store_calibration
from facereg.pipeline.composer import Pipeline
from facereg.types import FloatArray, IntArray

FEWEST_PEOPLE = 10  # of fewer, a draw holds too few to say what others would give
DRAWS = 200  # of the people: the ends of a 95 % interval are the means of some five draws each
LEVEL = 0.95
MOST_VECTORS = 5000  # of a gallery, 12.5 million pairs; of a larger one as many are drawn
MOST_EXCEEDING = 2000  # similarities that a tail is fitted to: fewer and it is chance, more and it is no tail


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """Thresholds measured on pairs.

    Args:
        calibration: the threshold of `far`, and of its tenths as far as the pairs show them.
        far: the false accept rate asked for.
        tpr: share of genuine pairs accepted at its threshold; None where there are none.
        pairs: how many were compared.
        missing: how many of them lack a face, or have a picture that cannot be read.
        people: how many they show; None where the list does not tell.
        space: of the embedder.
        errors: what is wrong with each file that could not be read or worked on.
    """

    calibration: Calibration
    far: float
    tpr: float | None
    pairs: int
    missing: int
    people: int | None
    space: str
    errors: tuple[ImageError, ...] = ()

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes."""
        thresholds, intervals = self.calibration.thresholds, self.calibration.intervals
        low, high = intervals.get(self.far, (None, None))
        return {
            "threshold": thresholds[self.far],
            "threshold_low": low,
            "threshold_high": high,
            "far": self.far,
            "tpr": self.tpr,
            "thresholds": {f"{rate:g}": held for rate, held in thresholds.items()},
            "intervals": {f"{rate:g}": list(ends) for rate, ends in intervals.items()},
            "pairs": self.pairs,
            "missing": self.missing,
            "people": self.people,
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
        notice: called with a line about a file that was read in part, or could not be read, and where the people are
            too few for intervals.
    Raises:
        ContractError: if there are too few impostor pairs to measure `far`.
        DatasetError: if pictures are not there.
        FaceregError: if a network is not to be had.
    """
    _, person, own = np.unique([str(path.parent) for path in listed.paths], return_inverse=True, return_counts=True)
    apart = (own.sum() ** 2 - (own**2).sum()) // 2 if every_pair else sum(not pair.same for pair in listed.pairs)
    require_rate(far, int(apart))  # before the work
    held = embed_lists(pipeline, [listed], progress=progress, notice=notice)
    people: tuple[IntArray, IntArray] | None
    if every_pair:
        compared, people = every_similarity(held.faces.vectors, person, held.faces.found), every_two(person)
    else:
        compared, people = listed_similarities(listed, held), listed.people
    result = _calibrated(compared, people, far, source=source, space=held.faces.space, errors=held.faces.errors)
    if not result.calibration.intervals:
        known = "the list does not say who they are" if people is None else f"got {result.people}"
        notice(f"no intervals: they need pairs of at least {FEWEST_PEOPLE} people, {known}")
    return result


def calibrate_gallery(gallery: Gallery, far: float) -> CalibrationResult:
    """Measure thresholds on a gallery's own vectors, each two compared; `store` of the result keeps them.

    Raises:
        ContractError: if there are fewer than FEWEST_PEOPLE, or too few impostor pairs to measure `far`.
        GalleryError: if the gallery was altered.
    """
    names, embeddings = gallery.embeddings()
    people = len(set(names))
    if people < FEWEST_PEOPLE:
        raise ContractError(
            f"people: expected at least {FEWEST_PEOPLE} in the gallery to calibrate on, got {people}; enrol more, or "
            "calibrate on a list of pairs"
        )
    vectors, drawn = embeddings.vectors, ""
    if len(vectors) > MOST_VECTORS:
        rows = np.sort(np.random.default_rng(0).choice(len(vectors), MOST_VECTORS, replace=False))
        names, vectors, drawn = [names[row] for row in rows], vectors[rows], f"{MOST_VECTORS} drawn of "
    _, person = np.unique(names, return_inverse=True)
    compared = every_similarity(vectors, person, np.ones(len(vectors), np.bool_))
    source = f"{drawn}{len(embeddings)} embeddings of a gallery"
    return _calibrated(compared, every_two(person), far, source=source, space=gallery.space)


def every_two(person: IntArray) -> tuple[IntArray, IntArray]:
    """Return the people (P,) of the first and second picture of every two."""
    first, second = np.triu_indices(len(person), 1)
    return person[first], person[second]


def _count(people: tuple[IntArray, IntArray]) -> int:
    return len(np.union1d(*people))


def _calibrated(
    compared: Similarities,
    people: tuple[IntArray, IntArray] | None,
    far: float,
    *,
    source: str,
    space: str,
    errors: tuple[ImageError, ...] = (),
) -> CalibrationResult:
    """Return the thresholds of pairs: intervals where there are people enough, a tail where similarities are."""
    thresholds = thresholds_from(compared.values, compared.same, far)
    genuine = compared.values[compared.same]
    count = None if people is None else _count(people)
    intervals = {}
    if people is not None and count is not None and count >= FEWEST_PEOPLE:
        intervals = threshold_intervals(compared, people, thresholds)
    calibration = Calibration(
        thresholds,
        f"{len(compared.same)} pairs of {source}",
        intervals,
        tail_above(compared.values[~compared.same], thresholds),
    )
    return CalibrationResult(
        calibration,
        far=far,
        tpr=float((genuine >= thresholds[far]).mean()) if len(genuine) else None,
        pairs=len(compared.same),
        missing=compared.missing,
        people=count,
        space=space,
        errors=errors,
    )


def threshold_intervals(
    compared: Similarities,
    people: tuple[IntArray, IntArray],
    thresholds: dict[float, float],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[float, tuple[float, float]]:
    """Return the interval of each rate's threshold, LEVEL of draws of as many people, with replacement, within it.

    A person drawn k times and another drawn l times count k times l in each pair of theirs; see `bootstrap`.

    Args:
        people: (N,) numbers of the people in the first and second pictures.
        thresholds: by rate; widened so that each is within its interval.
    """
    rng = np.random.default_rng(seed)
    impostors = np.flatnonzero(~compared.same)
    first, second = (side[impostors] for side in people)
    values = compared.values[impostors]
    count = int(max(first.max(), second.max())) + 1
    both, many = np.unique(first * count + second, return_counts=True)  # how many pairs each two people have
    # only what lies near the highest rate's threshold can become a threshold of a draw
    near = np.argsort(-values)[: int(len(values) * min(1.0, 5 * max(thresholds))) + 1]
    first, second, values = first[near], second[near], values[near]
    found: dict[float, list[float]] = {rate: [] for rate in thresholds}
    for _ in range(draws):
        times = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        reached = np.cumsum(times[first] * times[second])
        total = (times[both // count] * times[both % count]) @ many
        for rate, held in found.items():
            refused = np.searchsorted(reached, rate * total + 1e-9, side="right")
            held.append(float(values[min(refused, len(values) - 1)]))
    ends = {rate: np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) for rate, held in found.items()}
    return {
        rate: (float(min(low, thresholds[rate])), float(min(1.0, max(high, thresholds[rate]))))
        for rate, (low, high) in ends.items()
    }


def tail_above(impostors: FloatArray, thresholds: dict[float, float]) -> Tail | None:
    """Return how impostors' similarities fall off above the threshold of the lowest rate; None of fewer than 100.

    It is fitted to the highest twentieth, at most MOST_EXCEEDING, and moved up to that threshold.

    Source: probability-weighted moments, Hosking and Wallis 1987, doi:10.1080/00401706.1987.10488243.
    """
    count = min(MOST_EXCEEDING, len(impostors) // 20)
    if count < 100:
        return None
    highest = np.sort(impostors)[-count - 1 :].astype(np.float64)
    exceeding = highest[1:] - highest[0]
    mean = exceeding.mean()
    weighted = ((1 - (np.arange(1, count + 1) - 0.35) / count) * exceeding).mean()
    shape, scale = 2 - mean / (mean - 2 * weighted), 2 * mean * weighted / (mean - 2 * weighted)
    moved = scale + shape * (thresholds[min(thresholds)] - highest[0])
    return Tail(float(moved), float(shape)) if moved > 0 else None
