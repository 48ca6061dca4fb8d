"""Pairs of faces to verify, in the layouts of LFW, CALFW, CPLFW, CFP and AgeDB, and in .bin files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from facereg.data.bins import unpacked_bin
from facereg.data.lines import listed, read_lines, require_images, whole_number
from facereg.errors import ContractError, DatasetError
from facereg.types import BoolArray, IntArray

FOLDS = 10  # of a list that has folds and does not say which


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
    def same(self) -> BoolArray:
        """Return (P,) whether both pictures of each pair show one person."""
        return np.array([pair.same for pair in self.pairs], np.bool_)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Return who is in the pictures of each pair; empty where the list does not tell for all."""
        names = [pair.people for pair in self.pairs if pair.people is not None]
        return names if len(names) == len(self.pairs) else []

    @property
    def people(self) -> tuple[IntArray, IntArray] | None:
        """Return a number for the person in each first and in each second picture; None where the list tells none."""
        names = self.names
        if not names:
            return None
        _, numbers = np.unique(np.array(names).ravel(), return_inverse=True)
        return numbers[::2].astype(np.int64), numbers[1::2].astype(np.int64)


def read_pairs(format: str, annotations: Path, images: Path) -> PairList:
    """Read pairs in one of the layouts of PAIR_READERS.

    Args:
        annotations: the list; of CFP the folder `Protocol`; of `bin` the file.
        images: the folder of the pictures; of `bin` a new one for them, or the one that this file was unpacked to.
    Raises:
        ContractError: if there is no such layout.
        DatasetError: if the list is not laid out so. Pictures are checked by whoever opens them.
    """
    if format not in PAIR_READERS:
        raise ContractError(f"format: expected one of {', '.join(PAIR_READERS)}, got {format!r}")
    require_images(images)
    return PAIR_READERS[format](annotations, images)


def read_lfw_pairs(annotations: Path, images: Path) -> PairList:
    """Read an LFW list: `N` or `FOLDS N`, then for each fold N genuine and N impostor pairs.

    A genuine pair is `name i j`, an impostor pair `name i name j`; the files are `name/name_0001.jpg`.

    Raises:
        DatasetError: if a line or the number of pairs is not as stated. Files are checked by whoever opens them.
    """
    lines = list(_lines(annotations))
    head = [whole_number(word) or 0 for word in lines[0][1]] if lines else []
    if len(head) not in (1, 2) or 0 in head:
        raise DatasetError(f"{annotations}, line 1: expected 'N' or 'FOLDS N', the number of pairs of each kind")
    folds, each = (1, head[0]) if len(head) == 1 else (head[0], head[1])
    pairs = [_pair(words, annotations, number, images) for number, words in lines[1:]]
    if len(pairs) != folds * each * 2:
        raise DatasetError(f"{annotations}: expected {folds * each * 2} pairs by its first line, got {len(pairs)}")
    return PairList(tuple(pairs), tuple(row // (2 * each) for row in range(len(pairs))))


def read_flat_pairs(annotations: Path, images: Path) -> PairList:
    """Read the list of CALFW or CPLFW: two lines a pair, `FILE LABEL` each; the pictures lie in one folder.

    A label of 0 is an impostor pair's; any other is a genuine pair's, of CALFW its fold, 1 to 10. Folds that the list
    does not state are tenths of each kind of pair, in order. The person is the file's name without its number.

    Raises:
        DatasetError: if a line is not so, or the two labels of a pair differ.
    """
    lines = list(_lines(annotations))
    if len(lines) % 2 or not lines:
        raise DatasetError(f"{annotations}: expected two lines a pair, 'FILE LABEL' each, got {len(lines)} lines")
    pairs, labels = [], []
    for (line, one), (_, two) in zip(lines[::2], lines[1::2], strict=True):
        label = whole_number(one[1]) if len(one) == len(two) == 2 else None
        if label is None or one[1] != two[1]:
            got = f"{' '.join(one)!r:.80} and {' '.join(two)!r:.80}"
            raise DatasetError(f"{annotations}, line {line}: expected 'FILE LABEL' twice, with one label, got {got}")
        paths = [listed(images, words[0], path=annotations, line=line) for words in (one, two)]
        pairs.append(Pair(paths[0], paths[1], label > 0, (_person(paths[0], images), _person(paths[1], images))))
        labels.append(label)
    genuine = {label for label in labels if label}
    folds = _tenths([pair.same for pair in pairs])
    if genuine == set(range(1, FOLDS + 1)):
        folds = tuple(label - 1 if label else fold for label, fold in zip(labels, folds, strict=True))
    return PairList(tuple(pairs), folds)


def read_listed_pairs(annotations: Path, images: Path) -> PairList:
    """Read a list of `FILE FILE LABEL`, as AgeDB-30 and others are passed on: 1 is a genuine pair, 0 or -1 none.

    Folds are tenths of each kind of pair, in order: ten runs of 300 and 300, as of AgeDB-30, are the tenths of
    a list in which the kinds take turns, and of one that has all genuine pairs first. The person is the picture's
    folder; in one folder the name in `ID_NAME_AGE_SEX.jpg`, or the file's name without its number.

    Raises:
        DatasetError: if a line is not so.
    """
    pairs = []
    for line, words in _lines(annotations):
        if len(words) != 3 or words[2] not in ("1", "0", "-1"):
            got = " ".join(words)
            raise DatasetError(f"{annotations}, line {line}: expected 'FILE FILE 1' or 'FILE FILE 0', got {got!r:.120}")
        paths = [listed(images, word, path=annotations, line=line) for word in words[:2]]
        people = (_person(paths[0], images), _person(paths[1], images))
        pairs.append(Pair(paths[0], paths[1], words[2] == "1", people))
    if not pairs:
        raise DatasetError(f"{annotations}: expected pairs, 'FILE FILE LABEL' a line, got none")
    return PairList(tuple(pairs), _tenths([pair.same for pair in pairs]))


def read_cfp_pairs(annotations: Path, images: Path, *, second: str = "P") -> PairList:
    """Read CFP's folder `Protocol`: `Pair_list_F.txt`, `Pair_list_P.txt`, `Split/FP/01/same.txt` and `diff.txt`.

    A line of a pair list is `NUMBER PATH`, with a path that ends in `001/frontal/01.jpg`; a line of a split `I,J`.

    Args:
        images: the folder of `001/frontal/01.jpg`, in the published archive `Data/Images`.
        second: what the second pictures are: P, profiles, or F, frontal ones.
    Raises:
        DatasetError: if a file is missing or not laid out so.
    """
    numbered = [_cfp_list(annotations / f"Pair_list_{kind}.txt", images) for kind in ("F", second)]
    pairs: list[Pair] = []
    folds: list[int] = []
    for fold in range(FOLDS):
        folder = annotations / "Split" / f"F{second}" / f"{fold + 1:02d}"
        for same in (True, False):
            path = folder / ("same.txt" if same else "diff.txt")
            for line, words in _lines(path):
                numbers = [whole_number(word.strip()) for word in " ".join(words).split(",")]
                known = len(numbers) == 2 and all(n in held for n, held in zip(numbers, numbered, strict=True))
                if not known:
                    got = " ".join(words)
                    raise DatasetError(f"{path}, line {line}: expected 'I,J' of the pair lists, got {got!r:.80}")
                one, two = (held[n] for n, held in zip(numbers, numbered, strict=True))
                pairs.append(Pair(one, two, same, (one.parts[-3], two.parts[-3])))
                folds.append(fold)
    if not pairs:
        raise DatasetError(f"{annotations}: expected pairs in Split/F{second}, got none")
    return PairList(tuple(pairs), tuple(folds))


def read_bin_pairs(annotations: Path, images: Path) -> PairList:
    """Read a `.bin` of verification pairs, as InsightFace passes them on; its pictures are unpacked to `images` once.

    Nobody knows who is in a picture. Folds are tenths of each kind of pair, in order.

    Raises:
        DatasetError: if the file is not so, or `images` holds other files.
    """
    paths, same = unpacked_bin(annotations, images)
    pairs = [Pair(one, two, genuine) for one, two, genuine in zip(paths[::2], paths[1::2], same, strict=True)]
    return PairList(tuple(pairs), _tenths(same))


PAIR_READERS: Mapping[str, Callable[[Path, Path], PairList]] = {
    "lfw": read_lfw_pairs,
    "calfw": read_flat_pairs,
    "cplfw": read_flat_pairs,
    "cfp-fp": read_cfp_pairs,
    "cfp-ff": lambda annotations, images: read_cfp_pairs(annotations, images, second="F"),
    "agedb": read_listed_pairs,
    "list": read_listed_pairs,
    "bin": read_bin_pairs,
}


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line that has any."""
    for number, text in enumerate(read_lines(path), 1):
        if words := text.split():
            yield number, words


def _tenths(same: Sequence[bool]) -> tuple[int, ...]:
    """Return the fold of each pair: tenths of each kind, in order; one fold where a kind has fewer than ten pairs."""
    totals, seen = [same.count(False), same.count(True)], [0, 0]
    if min(totals) < FOLDS:
        return (0,) * len(same)
    folds = []
    for genuine in same:
        folds.append(seen[genuine] * FOLDS // totals[genuine])
        seen[genuine] += 1
    return tuple(folds)


def _pair(words: list[str], annotations: Path, line: int, images: Path) -> Pair:
    same = len(words) == 3
    counts = [whole_number(word) for word in (words[1:] if same else words[1::2])]
    if len(words) not in (3, 4) or None in counts:
        got = " ".join(words)
        raise DatasetError(f"{annotations}, line {line}: expected 'name i j' or 'name i name j', got {got!r:.120}")
    people = (words[0], words[0] if same else words[2])
    names = [f"{name}/{name}_{count:04d}.jpg" for name, count in zip(people, counts, strict=True)]
    first, second = (listed(images, name, path=annotations, line=line) for name in names)
    return Pair(first, second, same, people)


def _person(path: Path, images: Path) -> str:
    if path.parent != images:
        return path.parent.name
    words = path.stem.split("_")
    if len(words) == 4 and words[0].isdigit() and words[2].isdigit():  # AgeDB: 0_MariaCallas_35_f
        return words[1]
    return re.sub(r"_\d+$", "", path.stem)


def _cfp_list(path: Path, images: Path) -> dict[int | None, Path]:
    """Return the pictures by their number."""
    found: dict[int | None, Path] = {}
    for line, words in _lines(path):
        parts = PurePosixPath(words[-1]).parts[-3:]
        number = whole_number(words[0])
        if len(words) != 2 or number is None or len(parts) < 3:
            got = " ".join(words)
            raise DatasetError(f"{path}, line {line}: expected 'NUMBER .../001/frontal/01.jpg', got {got!r:.120}")
        found[number] = listed(images, "/".join(parts), path=path, line=line)
    return found
