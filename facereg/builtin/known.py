"""Who is known to a matcher: names and rows of one array, a million of them in little more memory than the vectors."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from facereg.types import BoolArray, FloatArray, IntArray

TINY = 1e-12  # the norm of vectors that cancel out


class Names(Sequence[str]):
    """Names in ascending order, in two arrays: a list of a million would take a hundred megabytes.

    Args:
        text: (B,) uint8, the names in UTF-8, one after the other.
        ends: (N,) int64, where each one ends in it.
    """

    def __init__(self, text: npt.NDArray[np.uint8], ends: IntArray) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Return names, which are in ascending order already."""
        written = [name.encode("utf-8", "surrogatepass") for name in names]
        ends = np.cumsum([len(name) for name in written], dtype=np.int64)
        return cls(np.frombuffer(b"".join(written), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self.ends[index - 1]) if index else 0
        return self.text[start : int(self.ends[index])].tobytes().decode("utf-8", "surrogatepass")

    def find(self, name: str) -> int | None:
        """Return where a name stands; None where it does not."""
        index = bisect_left(self, name)
        return index if index < len(self) and self[index] == name else None


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """People by name, and their rows: a template each, or all their vectors. Nothing is ever written to its arrays.

    Args:
        text, ends: their names, ascending, see `Names`.
        first: (P,) int64, each one's first row.
        rows: (R, D) float32, of unit length.
        counts: (P,) int64, how many vectors each was added with.
        lengths: (R,) float32, of the sum that a row is a template of; 1 for a vector.
        gone: (P,) bool, who was removed since.
    """

    text: npt.NDArray[np.uint8]
    ends: IntArray
    first: IntArray
    rows: FloatArray
    counts: IntArray
    lengths: FloatArray
    gone: BoolArray

    @classmethod
    def nobody(cls) -> Self:
        """Return what knows nobody."""
        none, floats = np.empty(0, np.int64), np.empty(0, np.float32)
        return cls(np.empty(0, np.uint8), none, none, np.empty((0, 0), np.float32), none, floats, np.empty(0, np.bool_))

    @classmethod
    def of(cls, labels: Sequence[str], rows: FloatArray, counts: IntArray, *, templates: bool) -> Self:
        """Return people of rows, several of one label among them.

        Args:
            labels: of each row.
            rows: (R, D) float32, vectors or sums of vectors; may be changed where it is writable.
            counts: (R,) int64, of how many vectors each is.
            templates: make one row of each label, of the sum of its rows.
        """
        order = sorted(range(len(labels)), key=labels.__getitem__)
        if order != list(range(len(labels))):
            labels, rows, counts = [labels[row] for row in order], rows[order], counts[order]
        first = np.array([row for row, label in enumerate(labels) if row == 0 or label != labels[row - 1]], np.int64)
        names = Names.of(labels[row] for row in first)
        lengths = np.ones(len(rows), np.float32)
        if templates and len(rows):
            if len(first) < len(rows):
                rows = np.add.reduceat(rows, first, axis=0)
            lengths = np.sqrt(np.einsum("rd,rd->r", rows, rows))
            rows = rows / np.maximum(lengths, TINY)[:, None]
        counts = np.add.reduceat(counts, first) if len(first) else counts
        first = np.arange(len(rows)) if templates else first
        return cls(names.text, names.ends, first, rows, counts, lengths, np.zeros(len(first), np.bool_))

    @property
    def names(self) -> Names:
        """Return the names, of those who are gone too."""
        return Names(self.text, self.ends)

    def __len__(self) -> int:
        """Return how many people are left."""
        return len(self.gone) - int(np.count_nonzero(self.gone))

    @property
    def rows_left(self) -> int:
        """Return how many rows belong to people who are left."""
        return len(self.rows) - int(self._sizes(np.flatnonzero(self.gone)).sum())

    def _sizes(self, people: IntArray) -> IntArray:
        """Return how many rows some people have; not all are looked at, as each match asks."""
        last = len(self.first) - 1
        return np.where(people < last, self.first[np.minimum(people + 1, last)], len(self.rows)) - self.first[people]

    def find(self, name: str) -> int | None:
        """Return which of them has a name and is not gone."""
        person = self.names.find(name)
        return None if person is None or self.gone[person] else person

    def without(self, people: Sequence[int]) -> Self:
        """Return it with some more gone."""
        gone = self.gone.copy()
        gone[list(people)] = True
        return replace(self, gone=gone)

    def owners(self, rows: IntArray) -> IntArray:
        """Return whose each row is."""
        return rows if len(self.first) == len(self.rows) else np.searchsorted(self.first, rows, side="right") - 1

    def part(self, people: IntArray | None = None) -> tuple[list[str], FloatArray, IntArray]:
        """Return labels, rows (sums again, where they are templates) and counts of some people, or all who are left."""
        chosen = np.flatnonzero(~self.gone) if people is None else people
        sizes, names = self._sizes(chosen), self.names
        if len(self.first) == len(self.rows):
            rows, counts = chosen, self.counts[chosen]
        else:
            ends = np.cumsum(sizes)
            rows = np.repeat(self.first[chosen] - ends + sizes, sizes) + np.arange(sizes.sum())
            counts = np.ones(len(rows), np.int64)
        labels = [
            names[person] for person, size in zip(chosen.tolist(), sizes.tolist(), strict=True) for _ in range(size)
        ]
        return labels, self.rows[rows] * self.lengths[rows, None], counts

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Return what it holds by name, each with a prefix."""
        return {prefix + field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def taken_from(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> Self:
        """Return what `arrays` gave."""
        return cls(**{field.name: arrays[prefix + field.name] for field in fields(cls)})
