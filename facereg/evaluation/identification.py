"""Open-set identification: some people are enrolled, the others are strangers (ISO/IEC 19795-1's TPIR and FPIR)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from facereg.errors import ContractError, ImageError
from facereg.evaluation.main_faces import embed_main_faces
from facereg.pipeline.composer import Pipeline
from facereg.roles import Matcher
from facereg.types import BoolArray, Embeddings, FloatArray

FPIRS = (0.1, 0.01)
ENROLLED_IMAGES = 3
SPACE = "evaluated"  # all vectors are of one embedder


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationScores:
    """Figures of one division of people, or their means over several.

    Args:
        rank1: share of known probes whose closest person is right, whatever the similarity.
        tpir_at_fpir: share of known probes that are named rightly at the threshold where this share of
            strangers is given a name; None where there are too few strangers to show it.
        known, strangers: how many probes of each kind.
        curve: (N, 3) float32 FPIR, TPIR, threshold, by falling threshold, of the (first) division.
        enrolled: how many people the gallery holds.
    """

    rank1: float
    tpir_at_fpir: dict[float, float | None]
    known: int
    strangers: int
    curve: FloatArray
    enrolled: int


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationResult:
    """Figures of open-set identification over a folder of people.

    Args:
        scores: means over the divisions.
        smaller: the same with galleries of a quarter and of half of the people enrolled, and the same strangers.
        people, images, seeds: how many there are.
        without_face: how many pictures gave no face, those that could not be read among them.
        errors: what is wrong with each file that could not be read or worked on.
    """

    scores: IdentificationScores
    people: int
    images: int
    seeds: int
    without_face: int
    errors: tuple[ImageError, ...]
    smaller: tuple[IdentificationScores, ...] = ()

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes; `missing` counts files that could not be read."""
        return {
            "people": self.people,
            "images": self.images,
            "missing": len(self.errors),
            "without_face": self.without_face,
            "seeds": self.seeds,
            "rank1": self.scores.rank1,
            "tpir_at_fpir": {f"{fpir:g}": value for fpir, value in self.scores.tpir_at_fpir.items()},
            "rank1_of_people": {str(each.enrolled): each.rank1 for each in self._by_size},
            **{
                f"tpir_at_{fpir:g}_of_people": {str(each.enrolled): each.tpir_at_fpir[fpir] for each in self._by_size}
                for fpir in FPIRS
            },
        }

    @property
    def _by_size(self) -> tuple[IdentificationScores, ...]:
        return (*self.smaller, self.scores)

    def plot(self, path: Path, title: str) -> None:
        """Draw TPIR against FPIR, and DET, of the first division, by how many are enrolled."""
        from facereg.evaluation.plots import plot_identification

        curves = {f"{each.enrolled} enrolled": each.curve for each in self._by_size}
        plot_identification(path, curves, f"{title}, {self.people} people, seed 0")


def measure_identification(
    pipeline: Pipeline,
    people: Mapping[str, Sequence[Path]],
    *,
    matcher: Callable[[], Matcher],
    seeds: int = 5,
    images: int = ENROLLED_IMAGES,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> IdentificationResult:
    """Return the figures of identifying people of whom half are enrolled, means over several divisions.

    Args:
        people: the pictures of each person, as `find_people` gives them.
        matcher: returns one that knows nobody yet, for each division; its threshold plays no part.
        seeds: how many divisions, of seeds 0, 1, ...
        images: pictures enrolled of each person.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        ContractError: if there are fewer than 2 people with more than `images` pictures.
        FaceregError: if a network is not to be had.
    """
    _usable(people, images)  # before the work
    paths = [path for own in people.values() for path in own]
    names = [name for name, own in people.items() for _ in own]
    rows: dict[str, list[int]] = {name: [] for name in people}
    for row, name in enumerate(names):
        rows[name].append(row)
    faces = embed_main_faces(pipeline, paths, progress=progress, notice=notice)
    for error in faces.unseen:
        notice(str(error))
    smaller: list[IdentificationScores] = []
    for share in (1, 2, 4):
        scores = score_identification(
            faces.vectors, faces.found, rows, matcher=matcher, seeds=range(seeds), images=images, share=1 / share
        )
        if scores.enrolled not in [each.enrolled for each in smaller]:
            smaller.insert(0, scores)
    scores, without = smaller.pop(), int((~faces.found).sum())
    return IdentificationResult(scores, len(people), len(paths), seeds, without, faces.errors, tuple(smaller))


def score_identification(
    vectors: FloatArray,
    found: BoolArray,
    people: Mapping[str, Sequence[int]],
    *,
    matcher: Callable[[], Matcher],
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    images: int = ENROLLED_IMAGES,
    share: float = 1.0,
) -> IdentificationScores:
    """Return the means over several divisions of the people.

    Args:
        vectors: (N, D) float32, of unit length where `found`.
        found: (N,) bool; a picture without a face is a miss for a known person and no false alarm for a stranger.
        people: rows of each person's pictures.
        matcher: returns one that knows nobody yet, for each division; its threshold plays no part.
        seeds: one division each: a random half of the people is enrolled with `images` random pictures.
        share: of that half that is enrolled; the strangers stay those of the other half.
    Raises:
        ContractError: if there are fewer than 2 people with more than `images` pictures.
    """
    usable, runs = _usable(people, images), []
    for seed in seeds:
        with matcher() as knows:
            runs.append(_divide(vectors, found, people, usable, knows, np.random.default_rng(seed), images, share))

    def mean_tpir(fpir: float) -> float | None:
        values = [run.tpir_at_fpir[fpir] for run in runs]
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(values) else None

    return IdentificationScores(
        rank1=fmean(run.rank1 for run in runs),
        tpir_at_fpir={fpir: mean_tpir(fpir) for fpir in FPIRS},
        known=runs[0].known,
        strangers=runs[0].strangers,
        curve=runs[0].curve,
        enrolled=runs[0].enrolled,
    )


def _usable(people: Mapping[str, Sequence[object]], images: int) -> list[str]:
    """Return who has more pictures than are enrolled; raise ContractError where that are fewer than 2."""
    usable = sorted(name for name, own in people.items() if len(own) > images)
    if len(usable) < 2:
        raise ContractError(
            f"people: expected at least 2 with more than {images} pictures each, got {len(usable)}; add pictures"
        )
    return usable


def _divide(
    vectors: FloatArray,
    found: BoolArray,
    people: Mapping[str, Sequence[int]],
    usable: Sequence[str],
    matcher: Matcher,
    rng: np.random.Generator,
    images: int,
    share: float,
) -> IdentificationScores:
    order = [usable[row] for row in rng.permutation(len(usable))]
    half = order[: len(order) // 2]
    enrolled = half[: max(1, round(len(half) * share))]
    probes: list[int] = []
    truth: list[str] = []
    for name in enrolled:
        rows = rng.permutation(np.array(people[name]))
        shown = sorted(rows.tolist(), key=lambda row: not found[row])[
            :images
        ]  # whoever enrols sees that a face is found
        seen = [row for row in shown if found[row]]
        matcher.add([name] * len(seen), Embeddings(vectors[seen], SPACE))
        probes += [row for row in rows.tolist() if row not in shown]
        truth += [name] * (len(rows) - len(shown))
    strangers = [row for name in people if name not in half for row in people[name]]
    names, known = _named(vectors, found, probes, matcher)
    _, unknown = _named(vectors, found, strangers, matcher)
    right = np.array([name == true for name, true in zip(names, truth, strict=True)])
    curve = _curve(known, right, unknown)
    return IdentificationScores(
        rank1=float(right.mean()),
        tpir_at_fpir={
            fpir: float(curve[curve[:, 0] <= fpir + 1e-6, 1].max()) if len(strangers) * fpir >= 1 else None
            for fpir in FPIRS
        },
        known=len(probes),
        strangers=len(strangers),
        curve=curve,
        enrolled=len(enrolled),
    )


def _named(
    vectors: FloatArray, found: BoolArray, probes: Sequence[int], matcher: Matcher
) -> tuple[list[str | None], FloatArray]:
    """Return the closest person and the similarity (P,) of each probe; None and -inf for one without a face."""
    seen = np.flatnonzero(found[list(probes)])
    matches = matcher.match(Embeddings(vectors[np.array(probes, np.int64)[seen]], SPACE), k=1)
    names: list[str | None] = [None] * len(probes)
    similarities = np.full(len(probes), -np.inf, np.float32)
    if matches.similarities.shape[1]:
        similarities[seen] = matches.similarities[:, 0]
        for probe, (name,) in zip(seen, matches.labels, strict=True):
            names[probe] = name
    return names, similarities


def _curve(known: FloatArray, right: BoolArray, strangers: FloatArray) -> FloatArray:
    """Return rows of FPIR, TPIR and threshold, from naming nobody."""
    every = np.concatenate([known, strangers])
    thresholds = np.unique(every[np.isfinite(every)])[::-1]
    stranger, hit = np.sort(strangers), np.sort(known[right])
    fpir = 1 - np.searchsorted(stranger, thresholds) / max(1, len(stranger))
    tpir = (len(hit) - np.searchsorted(hit, thresholds)) / max(1, len(known))
    rows = np.stack([fpir, tpir, thresholds], 1)
    return np.concatenate([[[0.0, 0.0, np.inf]], rows]).astype(np.float32)
