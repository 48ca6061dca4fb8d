"""What looks wrong among enrolled pictures: one picture under two names, a picture unlike the person's others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.gallery import Source
from facereg.types import FloatArray, IntArray

# From which similarity two vectors are said to be of one picture: by how near to 1 it is, as a share of how near two
# faces of one person are. Measured on pictures of LFW's pairsDevTrain: with mobilenetv3-arcface copies at half the size
# or as JPEG of quality 50 are at 0.96 and over, the highest of 400 pairs of two pictures of one person is at 0.93; with
# dlib-resnet, whose vectors all lie close together, they are at 0.992 (19 of 20 copies) and 0.987 (90 pairs).
NEARNESS = 0.1
SAME_PICTURE = 0.95  # where it is not known how near faces of one person are
PROBES, BLOCK = 64, 16384  # compared at once


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One face that is enrolled: whose, from which picture, its vector (D,)."""

    name: str
    path: Path
    source: Source
    vector: FloatArray


def suspicions(
    added: Sequence[Enrolment], known: Sequence[str], vectors: FloatArray, *, same: float | None
) -> list[str]:
    """Return what looks wrong with what was added, a line each.

    Args:
        added: to the gallery.
        known: names of those that it held before, one for each of
        vectors: (N, D) their vectors.
        same: similarity from which two vectors are taken for one person's; None where that is not known.
    """
    if not added:
        return []
    new = np.stack([each.vector for each in added])
    every = np.concatenate([vectors.reshape(-1, new.shape[1]), new])
    names = np.array([*known, *(each.name for each in added)], np.object_)
    paths = [*(None for _ in known), *(each.path for each in added)]
    people, person = np.unique(names.astype(str), return_inverse=True)
    lines = _twice(added, new, every, person, names, paths, SAME_PICTURE if same is None else 1 - NEARNESS * (1 - same))
    return lines if same is None else lines + _unlike(added, new, every, person, people, same)


def _twice(
    added: Sequence[Enrolment],
    new: FloatArray,
    every: FloatArray,
    person: IntArray,
    names: npt.NDArray[np.object_],
    paths: Sequence[Path | None],
    same_picture: float,
) -> list[str]:
    """Say of each picture that is enrolled under another name, too, the nearest one; the later of two new ones says it.

    Args:
        person: (N,) whose each of `every` is; names and paths are of the same.
    """
    own = np.arange(len(every) - len(new), len(every))
    nearest, best, count = np.zeros(len(new), np.int64), np.full(len(new), -2, np.float32), np.zeros(len(new), np.int64)
    for start, left in product(range(0, len(new), PROBES), range(0, len(every), BLOCK)):
        rows, columns = slice(start, start + PROBES), np.arange(left, min(left + BLOCK, len(every)))
        similar = new[rows] @ every[left : left + BLOCK].T  # (rows, columns)
        similar[(columns >= own[rows, None]) | (person[columns] == person[own[rows], None])] = -2
        count[rows] += (similar >= same_picture).sum(1)
        closest = similar.argmax(1)
        found = similar[np.arange(len(similar)), closest]
        better = found > best[rows]
        nearest[rows], best[rows] = np.where(better, closest + left, nearest[rows]), np.maximum(found, best[rows])
    lines = []
    for row in np.flatnonzero(count).tolist():
        each, other = added[row], int(nearest[row])
        at = "" if paths[other] is None else f" ({paths[other]})"
        more = f" and {count[row] - 1} more" if count[row] > 1 else ""
        lines.append(
            f"{each.path}: enrolled as {each.name}, and the same or nearly the same picture as {names[other]}{at}"
            f"{more} (similarity {best[row]:.3f}); remove the wrong one"
        )
    return lines


def _unlike(
    added: Sequence[Enrolment],
    new: FloatArray,
    every: FloatArray,
    person: IntArray,
    people: npt.NDArray[np.str_],
    same: float,
) -> list[str]:
    """Say which pictures differ from the person's others, and whom they resemble instead."""
    sums = np.zeros((len(people), every.shape[1]), np.float64)
    np.add.at(sums, person, every)
    counts = np.bincount(person, minlength=len(people))
    means = _unit(sums)
    own = person[len(every) - len(new) :]  # the person of each new vector
    others = _unit(sums[own] - new)  # without the picture itself
    similar = (new * others).sum(1)
    lines = []
    for row in np.flatnonzero((counts[own] > 1) & (similar < same)).tolist():
        nearest = means @ new[row]
        nearest[own[row]] = -1
        best = int(nearest.argmax())
        instead = f"; nearer to {people[best]} ({nearest[best]:.3f})" if nearest[best] >= same else ""
        lines.append(
            f"{added[row].path}: far from the other pictures of {added[row].name} (similarity {similar[row]:.3f}, "
            f"expected at least {same:.3f}){instead}; check whom it shows"
        )
    return lines


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = rows / np.maximum(lengths, 1e-12)
    return unit
