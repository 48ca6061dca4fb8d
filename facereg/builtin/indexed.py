"""A matcher of rows and an index over them: the part that finding people through any index shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from facereg.builtin.known import Known
from facereg.roles import Matcher
from facereg.types import FloatArray, IntArray

FRESH = 4096  # rows that are compared one by one before they are worth an index
CHANGED = 8  # the index is built anew once one part of so many was added or removed since
BLOCK = 16384  # rows compared at a time: their similarities stay in the processor's cache
PROBES = 64  # compared with a block at a time, for the same reason


class RowIndex(ABC):
    """Finds the rows most similar to a probe; threads may share it."""

    @abstractmethod
    def search(self, probes: FloatArray, k: int) -> IntArray:
        """Return the rows nearest to each of N probes, k of them or more, in any order; -1 where there are fewer.

        Returns:
            (N, k or more) int64; the matcher compares each with the probe in float32 and puts them in order.
        """

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what it is made of beside the rows, to be kept on the disk."""
        return {}


class FlatIndex(RowIndex):
    """Compares every probe with every row, in float32."""

    def __init__(self, rows: FloatArray) -> None:
        self.rows = rows

    def search(self, probes: FloatArray, k: int) -> IntArray:
        best = np.full((len(probes), k), -np.inf, np.float32)
        rows = np.full((len(probes), k), -1, np.int64)
        for start in range(0, len(probes), PROBES):
            part = slice(start, start + PROBES)
            self._search(probes[part], best[part], rows[part])
        return rows

    def _search(self, probes: FloatArray, best: FloatArray, rows: IntArray) -> None:
        """Fill in the best similarities and rows of at most PROBES probes."""
        for start in range(0, len(self.rows), BLOCK):
            self._compare(start, probes, best, rows)

    def _compare(self, start: int, probes: FloatArray, best: FloatArray, rows: IntArray) -> None:
        """Take what one block of rows has that is better."""
        block = self.rows[start : start + BLOCK]
        found = (block @ probes[0])[None] if len(probes) == 1 else probes @ block.T  # (N, rows)
        for probe in np.flatnonzero(found.max(1) > best[:, -1]):
            better = np.flatnonzero(found[probe] > best[probe, -1])
            take(best[probe], rows[probe], found[probe, better], better + start)


def take(best: FloatArray, rows: IntArray, similarities: FloatArray, candidates: IntArray) -> None:
    """Put the better of some candidates among the k best (k,), in place; of equal ones the first row goes first."""
    k = len(best)
    if len(candidates) > k:
        least = np.partition(similarities, -k)[-k]
        similarities, candidates = similarities[kept := similarities >= least], candidates[kept]
    similarities, candidates = np.concatenate([best, similarities]), np.concatenate([rows, candidates])
    order = np.argsort(-similarities, kind="stable")[:k]
    best[:], rows[:] = similarities[order], candidates[order]


class IndexedMatcher(Matcher):
    """Keeps people as rows, searched through an index that a subclass makes (`_index`).

    Who is added goes beside the index and is compared one by one, until that is an eighth of it and more than a few
    thousand rows; then the index is built anew, in the next match. Similarities are always those of float32 rows.

    Args:
        threshold: cosine similarity from which a match is accepted.
        templates: compare with one vector a person, the mean of theirs: a picture that shows a person badly counts
            for less, and a person with many pictures draws no more strangers. Where it is false, similarity to a
            person is that of the best of their vectors.
    """

    kept_from = 20_000  # vectors, which are read in some tenths of a second

    def __init__(self, *, threshold: float, templates: bool = True) -> None:
        super().__init__(threshold=threshold)
        self.templates = templates
        self._lock = RLock()
        self._base, self._fresh = Known.nobody(), Known.nobody()  # each person is left in one of them
        self._over: RowIndex = FlatIndex(self._base.rows)  # the index over the base
        self._waiting: list[tuple[list[str], FloatArray]] = []

    @property
    def kept_as(self) -> str:
        """Name the model, the settings that `_shape` gives, and whether there are templates."""
        if type(self)._add is not IndexedMatcher._add:  # a subclass that holds people in its own way
            return ""
        return "-".join([self.name, "templates" if self.templates else "vectors", *map(str, self._shape())])

    def _shape(self) -> tuple[object, ...]:
        """Return the settings that shape the index: letters, digits and '-' each."""
        return ()

    @abstractmethod
    def _index(self, rows: FloatArray, kept: Mapping[str, npt.NDArray[Any]] | None = None) -> RowIndex:
        """Return an index over rows (R, D) of unit length, or the one whose `arrays` were kept."""

    def __len__(self) -> int:
        with self._lock:
            self._settle()
            return len(self._base) + len(self._fresh)

    @property
    def vectors_compared(self) -> int:
        """Return how many vectors a probe is compared with."""
        with self._lock:
            self._settle()
            return self._base.rows_left + self._fresh.rows_left

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        with self._lock:
            if labels:
                self._waiting.append((labels, vectors))

    def _settle(self) -> None:
        """Put those who wait where they belong: one copy, however many calls added them."""
        if self._waiting:
            labels = [label for some, _ in self._waiting for label in some]
            vectors = [some for _, some in self._waiting]
            known = {person for label in set(labels) if (person := self._base.find(label)) is not None}
            moved = np.array(sorted(known), np.int64)
            parts = [self._base.part(moved), self._fresh.part(), (labels, *_joined(vectors))]
            self._waiting, vectors = [], []
            self._base, self._fresh = self._base.without(list(known)), self._people(parts)
        changed = self._fresh.rows_left + len(self._base.rows) - self._base.rows_left
        if changed > max(FRESH, len(self._base.rows) // CHANGED):
            self._build()

    def _save(self) -> Mapping[str, npt.NDArray[Any]]:
        with self._lock:
            self._settle()
            if self._fresh.gone.any():
                self._fresh = self._people([self._fresh.part()])
            names = self._base.names
            if any(self._fresh.find(names[person]) is None for person in np.flatnonzero(self._base.gone).tolist()):
                self._build()  # of who was removed nothing is kept; of who is known still an old template may be
            over = {f"index.{name}": array for name, array in self._over.arrays().items()}
            return self._base.arrays("base.") | self._fresh.arrays("fresh.") | over

    def _load(self, arrays: Mapping[str, npt.NDArray[Any]]) -> int:
        base, fresh = (Known.taken_from(arrays, prefix) for prefix in ("base.", "fresh."))
        kept = {name[6:]: array for name, array in arrays.items() if name.startswith("index.")}
        over = self._index(base.rows, kept) if len(base.rows) else FlatIndex(base.rows)
        with self._lock:
            self._base, self._fresh, self._over, self._waiting = base, fresh, over, []
        return max(int(known.rows.shape[1]) for known in (base, fresh))

    def _build(self) -> None:
        """Build the index anew, over everybody who is left."""
        base = self._people([self._base.part(), self._fresh.part()])
        self._over = self._index(base.rows) if len(base.rows) else FlatIndex(base.rows)
        self._base, self._fresh = base, Known.nobody()

    def _people(self, parts: list[tuple[list[str], FloatArray, IntArray]]) -> Known:
        parts = [part for part in parts if part[0]]
        if not parts:
            return Known.nobody()
        labels = parts[0][0] if len(parts) == 1 else [label for some, _, _ in parts for label in some]
        rows = parts[0][1] if len(parts) == 1 else np.concatenate([rows for _, rows, _ in parts])
        return Known.of(labels, rows, np.concatenate([counts for _, _, counts in parts]), templates=self.templates)

    def _remove(self, label: str) -> int:
        with self._lock:
            self._settle()
            if (person := self._fresh.find(label)) is not None:
                self._fresh = self._fresh.without([person])
                return int(self._fresh.counts[person])
            if (person := self._base.find(label)) is not None:
                self._base = self._base.without([person])
                return int(self._base.counts[person])
            return 0

    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        with self._lock:  # a snapshot: arrays are replaced, never written to
            self._settle()
            base, over, fresh = self._base, self._over, self._fresh
        k = min(k, len(base) + len(fresh))
        if k == 0 or len(probes) == 0:
            return [()] * len(probes), np.empty((len(probes), k), np.float32)
        groups = [(base, over), (fresh, FlatIndex(fresh.rows))]
        found = [(known, *_closest(known, index, probes, k)) for known, index in groups if len(known)]
        best = np.concatenate([similarities for _, similarities, _ in found], 1)  # (N, k or 2k)
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        named = np.concatenate([_named(known, people) for known, _, people in found], 1)
        labels = [tuple(row) for row in np.take_along_axis(named, order, 1).tolist()]
        return labels, np.take_along_axis(best, order, 1)


def _joined(vectors: list[FloatArray]) -> tuple[FloatArray, IntArray]:
    """Return vectors in one array, and that each is one."""
    rows = np.concatenate(vectors)
    return rows, np.ones(len(rows), np.int64)


def _closest(known: Known, index: RowIndex, probes: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    """Return similarities (N, min(k, people)) and people of the closest who are left, each once, descending."""
    k = min(k, len(known))
    wanted = k if len(known.first) == len(known.rows) else 2 * k
    while True:
        wanted = min(wanted, len(known.rows))
        rows = index.search(probes, wanted)  # (N, wanted or more)
        similarities = _compared(known.rows, rows, probes)
        order = np.argsort(-similarities, axis=1, kind="stable")
        rows, similarities = np.take_along_axis(rows, order, 1), np.take_along_axis(similarities, order, 1)
        people = known.owners(rows)
        left = (rows >= 0) & ~known.gone[people] & ~_repeated(people)
        if (left.sum(1) >= k).all():
            break
        if wanted == len(known.rows):  # an index that does not find everybody
            index = FlatIndex(known.rows)
        wanted *= 4
    order = np.argsort(~left, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, order, 1), np.take_along_axis(people, order, 1)


def _compared(held: FloatArray, rows: IntArray, probes: FloatArray) -> FloatArray:
    """Return the similarity of each probe (N, D) to its own rows (N, k); minus infinity to row -1."""
    similarities = np.empty(rows.shape, np.float32)
    step = max(1, BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        similarities[part] = np.einsum("nkd,nd->nk", held[rows[part]], probes[part])
    similarities[rows < 0] = -np.inf
    return similarities


def _repeated(people: IntArray) -> npt.NDArray[np.bool_]:
    """Tell of each (N, k) whether the same person stands before it in its row."""
    order = np.argsort(people, axis=1, kind="stable")
    ranked = np.take_along_axis(people, order, 1)
    again = np.zeros_like(people, np.bool_)
    np.put_along_axis(again, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], 1)
    return again


def _named(known: Known, people: IntArray) -> npt.NDArray[np.object_]:
    names = known.names
    return np.array([names[person] for person in people.ravel().tolist()], np.object_).reshape(people.shape)
