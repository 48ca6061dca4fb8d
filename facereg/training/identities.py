"""Aligned crops in a folder a person: what recipes learn identities from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from facereg.data.readable import read_each
from facereg.data.records import Record, RecordPicture, is_record
from facereg.data.splits import held_out
from facereg.errors import ContractError, DatasetError
from facereg.folders.left_out import LeftOut
from facereg.folders.people import FoundPeople, find_people, merge_by_case, require_pictures
from facereg.images import read_image
from facereg.types import Image, IntArray

Source: TypeAlias = Path | RecordPicture
Row: TypeAlias = tuple[int, str, Source]  # number of a person, name of a picture, the picture


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """Crops of known people.

    Args:
        images: (N, S, S, 3) uint8 RGB; those of one person lie together.
        labels: (N,) int64, a number a person: 0 first, rising.
        people: name of each person, that of their folder.
        files: FOLDER/PERSON/PICTURE of each crop, all different.
    """

    images: npt.NDArray[np.uint8]
    labels: IntArray
    people: tuple[str, ...]
    files: tuple[str, ...]

    def split(self, one_in: int) -> tuple[Identities, Identities]:
        """Return the people to learn from and those kept out, about one in `one_in`, by their names; 0: nobody.

        Raises:
            DatasetError: if fewer than two people are left on a side that is to have some.
        """
        everybody = list(range(len(self.people)))
        if not one_in:
            return self, self._of([])
        parts = held_out(everybody, key=lambda person: self.people[person], one_in=one_in)
        if min(map(len, parts)) < 2:
            raise DatasetError(
                f"keep_out: expected two people to learn from and two kept out, got {len(parts[0])} and "
                f"{len(parts[1])} of {len(everybody)}; pass --set keep_out=0 or give more people"
            )
        return self._of(parts[0]), self._of(parts[1])

    def _of(self, people: Sequence[int]) -> Identities:
        rows = np.flatnonzero(np.isin(self.labels, people))
        numbers = np.unique(self.labels[rows], return_inverse=True)[1].astype(np.int64)
        return Identities(
            self.images[rows],
            numbers,
            tuple(self.people[person] for person in people),
            tuple(self.files[row] for row in rows),
        )


def read_identities(folders: Sequence[Path], *, least: int = 2, size: int = 112) -> Identities:
    """Return the crops of all people in folders that hold a folder a person, or an MXNet record (`train.rec`).

    What is left out is counted in one line on stderr: entries that are no pictures of a person, people without a
    picture or with fewer than `least`; so are grey pictures, which are kept. Folders of one data folder whose names
    differ by case only are one person's, as they are where file names have no case. A name that two data folders have
    is that of two people. Of a record that is cut off, the rest is read.

    Args:
        least: pictures that a person must have.
        size: px; crops of other sizes are resized.
    Raises:
        ContractError: if no folder is given, or two have one name.
        DatasetError: if a folder holds no person, or fewer than two people have enough pictures.
    """
    if not folders:
        raise ContractError("data: expected at least one folder with a folder a person, got none; pass --data DIR")
    if len({folder.resolve().name for folder in folders}) < len(folders):
        raise ContractError(f"data: expected folders of different names, got {_listed(folders)}; rename one")
    notes: list[str] = []
    people: list[tuple[str, list[tuple[str, Source]]]] = []
    with ExitStack() as opened:
        for folder in folders:
            if is_record(folder):
                people += _people_of_record(opened.enter_context(Record(folder, notice=_tell)))
            else:
                people += _people_of_folder(folder, notes)
        rows = [(person, file, source) for person, (_, own) in enumerate(people) for file, source in own]
        crops = np.empty((len(rows), size, size, 3), np.uint8)
        kept, is_grey = _read(rows, crops)
    counts = np.bincount([person for person, _, _ in kept], minlength=len(people))
    if few := int((counts < least).sum()):
        notes.append(f"{few:,} people with fewer than {least} pictures")
    chosen = np.flatnonzero(counts >= least)
    if len(chosen) < 2:
        raise DatasetError(f"{_listed(folders)}: expected two people with {least} pictures, got {len(chosen)}")
    enough = np.flatnonzero([counts[person] >= least for person, _, _ in kept])
    grey = sum(is_grey[row] for row in enough)
    told = f"{len(chosen):,} people with {len(enough):,} pictures" + (f", {grey:,} of them grey" if grey else "")
    _tell(f"{told}; left out: {'; '.join(notes)}" if notes else told)
    return Identities(
        crops[: len(kept)] if len(enough) == len(kept) else crops[enough],  # not copied where all stay
        np.unique([kept[row][0] for row in enough], return_inverse=True)[1].astype(np.int64),
        tuple(people[person][0] for person in chosen),
        tuple(kept[row][1] for row in enough),
    )


def read_crops(paths: Sequence[Path], *, size: int = 112) -> npt.NDArray[np.uint8]:
    """Return (N, size, size, 3) uint8 RGB of aligned crops of any size, but for those that cannot be read.

    Raises:
        ImageError: for a picture that cannot be read, where nobody listens (`facereg.data.readable.left_out`).
        DatasetError: if there are pictures, and none can be read.
    """
    crops = np.empty((len(paths), size, size, 3), np.uint8)
    kept, _ = _read([(0, path.name, path) for path in paths], crops)
    return crops[: len(kept)]


def _read(rows: Sequence[Row], crops: npt.NDArray[np.uint8]) -> tuple[list[Row], list[bool]]:
    """Fill `crops` from its beginning with those that can be read; return their rows, and which are grey."""
    grey: list[bool] = []

    def read(row: Row) -> Row:
        source = row[2]
        image = read_image(source.open() if isinstance(source, RecordPicture) else source)
        crops[len(grey)] = _resized(image, crops.shape[1])
        grey.append(bool((image[:, :, :1] == image).all()))
        return row

    return read_each(rows, read, doing="reading faces"), grey


def _resized(image: Image, size: int) -> Image:
    if image.shape[:2] == (size, size):
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _people_of_folder(folder: Path, notes: list[str]) -> list[tuple[str, list[tuple[str, Source]]]]:
    found = find_people(folder)
    require_pictures(found, folder)
    notes += _entries_left_out(found)
    people: list[tuple[str, list[tuple[str, Source]]]] = []
    merged, told = merge_by_case(found.people, folder)
    notes += told
    for name, paths in merged.items():
        people.append((name, [(f"{folder.resolve().name}/{path.parent.name}/{path.name}", path) for path in paths]))
    return people


def _people_of_record(record: Record) -> list[tuple[str, list[tuple[str, Source]]]]:
    name = record.path.resolve().parent.name
    return [
        (person, [(f"{name}/{person}/{picture.key:08d}", picture) for picture in own])
        for person, own in record.people(notice=_tell).items()
    ]


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _entries_left_out(found: FoundPeople) -> list[str]:
    """Return a note on what a folder holds beside pictures of people, where it holds such."""
    entries: list[LeftOut] = [*found.failed, *found.skipped]
    return [f"{len(entries):,} entries, such as {entries[0]}"] if entries else []


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))
