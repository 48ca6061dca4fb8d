"""Finds known people: the methods to write are `_add`, `_remove`, `_match` and `__len__`."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Literal

import numpy as np
from facereg import FloatArray, Matcher


@dataclass(frozen=True, slots=True)
class NewStageOptions:
    """Options of `new-name`.

    Args:
        of_several: which of a person's similarities counts: the best, or their mean.
    """

    of_several: Literal["best", "mean"] = "best"


class NewStage(Matcher):
    """Compares each probe with every vector of every person. Put your own index here.

    Args:
        threshold: cosine similarity from which a match is accepted.
        options: see there.
    """

    def __init__(
        self,
        *,
        threshold: float,
        options: NewStageOptions | None = None,
    ) -> None:
        super().__init__(threshold=threshold)
        self.options = options or NewStageOptions()
        self._lock = Lock()  # threads may share a matcher
        self._people: dict[str, list[FloatArray]] = {}

    def __len__(self) -> int:
        return len(self._people)

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        with self._lock:
            for label, vector in zip(labels, vectors, strict=True):
                self._people.setdefault(label, []).append(vector)

    def _remove(self, label: str) -> int:
        with self._lock:
            return len(self._people.pop(label, []))

    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        with self._lock:
            people = {name: np.stack(vectors) for name, vectors in self._people.items()}
        if not people:
            return [()] * len(probes), np.empty((len(probes), 0), np.float32)
        names = list(people)
        pool = np.max if self.options.of_several == "best" else np.mean
        similarities = np.stack([pool(probes @ vectors.T, 1) for vectors in people.values()], 1)  # (N, people)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        labels = [tuple(names[person] for person in row) for row in order]
        return labels, np.take_along_axis(similarities, order, 1)
