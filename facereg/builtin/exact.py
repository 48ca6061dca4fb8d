"""Every vector compared, in memory."""

from __future__ import annotations

from threading import RLock

import numpy as np

from facereg.roles import Matcher
from facereg.types import FloatArray, IntArray

BLOCK = 256  # probes compared at a time: bounds memory to BLOCK x vectors
TINY = 1e-12  # the norm of vectors that cancel out


class ExactMatcher(Matcher):
    """Compares each probe with every vector; exact, and enough for some hundred thousand vectors.

    Args:
        threshold: cosine similarity from which a match is accepted.
        templates: compare with one vector a person, the mean of theirs: a picture that shows a person badly counts
            for less, and a person with many pictures draws no more strangers. Where it is false, similarity to a
            person is that of the best of their vectors.
    """

    def __init__(self, *, threshold: float, templates: bool = True) -> None:
        super().__init__(threshold=threshold)
        self.templates = templates
        self._lock = RLock()
        self._people: dict[str, int] = {}  # row of each name
        self._names: list[str] = []
        self._owners: IntArray = np.empty(0, np.int64)  # row of the person of each vector, ascending
        self._vectors: FloatArray = np.empty((0, 0), np.float32)
        self._first: IntArray = np.empty(0, np.int64)  # where each person's vectors begin
        self._compared: FloatArray = self._vectors  # the vectors, or a template for each person
        self._waiting: list[tuple[list[str], FloatArray]] = []

    def __len__(self) -> int:
        with self._lock:
            self._settle()
            return len(self._names)

    @property
    def vectors_compared(self) -> int:
        """Return how many vectors a probe is compared with."""
        with self._lock:
            self._settle()
            return len(self._compared)

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        with self._lock:
            if labels:
                self._waiting.append((labels, vectors))

    def _settle(self) -> None:
        """Join what was added since: one copy, however many calls added it."""
        if not self._waiting:
            return
        owners = list(self._owners)
        for labels, _ in self._waiting:
            for label in labels:
                if label not in self._people:
                    self._people[label] = len(self._names)
                    self._names.append(label)
                owners.append(self._people[label])
        held = [self._vectors] if len(self._vectors) else []
        vectors = np.concatenate([*held, *(vectors for _, vectors in self._waiting)])
        order = np.argsort(owners, kind="stable")
        self._hold(np.array(owners, np.int64)[order], vectors[order])
        self._waiting = []

    def _hold(self, owners: IntArray, vectors: FloatArray) -> None:
        self._owners, self._vectors, self._compared = owners, vectors, vectors
        self._first = np.flatnonzero(np.diff(owners, prepend=-1))
        if self.templates and len(vectors):
            sums = np.add.reduceat(vectors, self._first, axis=0)
            self._compared = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), TINY)
            self._first = np.arange(len(sums))

    def _remove(self, label: str) -> int:
        with self._lock:
            self._settle()
            if label not in self._people:
                return 0
            gone = self._people.pop(label)
            kept = self._owners != gone
            self._names.pop(gone)
            self._people = {name: row for row, name in enumerate(self._names)}
            self._hold(self._owners[kept] - (self._owners[kept] > gone), self._vectors[kept])
            return int((~kept).sum())

    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        with self._lock:  # a snapshot: arrays are replaced, never written to
            self._settle()
            names, first, compared = tuple(self._names), self._first, self._compared
        k = min(k, len(names))
        if k == 0 or len(probes) == 0:
            return [()] * len(probes), np.empty((len(probes), k), np.float32)
        labels: list[tuple[str, ...]] = []
        similarities = np.empty((len(probes), k), np.float32)
        for start in range(0, len(probes), BLOCK):
            # (B, people): the template of each, or the best vector
            best = np.maximum.reduceat(probes[start : start + BLOCK] @ compared.T, first, axis=1)
            top = np.argpartition(-best, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(best, top, 1), axis=1, kind="stable")
            top = np.take_along_axis(top, order, 1)
            similarities[start : start + BLOCK] = np.take_along_axis(best, top, 1)
            labels += [tuple(names[person] for person in row) for row in top]
        return labels, similarities
