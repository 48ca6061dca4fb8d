"""Pairs of faces to verify: the LFW lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.lines import read_lines, whole_number
from facereg.errors import DatasetError
from facereg.types import IntArray


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, whether they show one person, and who is in each, where the list tells."""

    first: Path
    second: Path
    same: bool
    people: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PairList:
    """The pairs of a list, and the fold (0, 1, ...) of each; a list without folds is one fold."""

    pairs: tuple[Pair, ...]
    folds: tuple[int, ...]

    @property
    def paths(self) -> list[Path]:
        """Return the pictures, each once, in order."""
        return list(dict.fromkeys(path for pair in self.pairs for path in (pair.first, pair.second)))

    @property
    def people(self) -> tuple[IntArray, IntArray] | None:
        """Return a number for the person in each first and in each second picture; None where the list tells none."""
        names = [pair.people for pair in self.pairs if pair.people is not None]
        if not names or len(names) < len(self.pairs):
            return None
        _, numbers = np.unique(np.array(names).ravel(), return_inverse=True)
        return numbers[::2].astype(np.int64), numbers[1::2].astype(np.int64)


def read_lfw_pairs(annotations: Path, images: Path) -> PairList:
    """Read an LFW list: `N` or `FOLDS N`, then for each fold N genuine and N impostor pairs.

    A genuine pair is `name i j`, an impostor pair `name i name j`; the files are `name/name_0001.jpg`.

    Raises:
        DatasetError: if a line or the number of pairs is not as stated. Files are checked by whoever opens them.
    """
    lines = [(number, text.split()) for number, text in enumerate(read_lines(annotations), 1) if text.strip()]
    head = [whole_number(word) or 0 for word in lines[0][1]] if lines else []
    if len(head) not in (1, 2) or 0 in head:
        raise DatasetError(f"{annotations}, line 1: expected 'N' or 'FOLDS N', the number of pairs of each kind")
    folds, each = (1, head[0]) if len(head) == 1 else (head[0], head[1])
    pairs = [_pair(words, annotations, number, images) for number, words in lines[1:]]
    if len(pairs) != folds * each * 2:
        raise DatasetError(f"{annotations}: expected {folds * each * 2} pairs by its first line, got {len(pairs)}")
    return PairList(tuple(pairs), tuple(row // (2 * each) for row in range(len(pairs))))


def _pair(words: list[str], annotations: Path, line: int, images: Path) -> Pair:
    try:
        if len(words) == 3:
            first, second = _file(images, words[0], words[1]), _file(images, words[0], words[2])
            return Pair(first, second, True, (words[0], words[0]))
        if len(words) == 4:
            first, second = _file(images, words[0], words[1]), _file(images, words[2], words[3])
            return Pair(first, second, False, (words[0], words[2]))
    except ValueError:
        pass
    raise DatasetError(
        f"{annotations}, line {line}: expected 'name i j' or 'name i name j', got {' '.join(words)!r:.120}"
    )


def _file(images: Path, name: str, number: str) -> Path:
    count = whole_number(number)
    if count is None:
        raise ValueError(number)
    return images / name / f"{name}_{count:04d}.jpg"
