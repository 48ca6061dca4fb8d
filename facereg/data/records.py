"""MXNet's record files of faces (`train.rec`, `train.idx`, `property`), as MS1M and others are passed on.

Sources: facts of dmlc-core's `recordio.h` (a record is a magic number, its length with a three-bit part flag, its
bytes, filled up to four) and MXNet's `recordio.py` (a header `flag, label, id, id2`, and `flag` more labels where it
is over 0). InsightFace's files begin with a record whose labels are a range of records, one a person, whose labels
are the range of that person's pictures.
"""

from __future__ import annotations

import io
import math
import os
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np

from facereg.data.lines import whole_number
from facereg.disk.reading import open_file, read_bytes, read_text
from facereg.errors import DatasetError, ImageError
from facereg.types import IntArray

MAGIC = 0xCED7230A
FRAME, HEADER = struct.Struct("<II"), struct.Struct("<IfQQ")  # magic, flag and length; flag, label, id, id2
LENGTH = (1 << 29) - 1  # bits of the length
MAX_INDEX = 1 << 30  # bytes; MS1M's 5,822,653 lines have 110 MB
MAX_LABELS = 1 << 16  # numbers before a record's picture: ranges are two
MAX_EXACT = 1 << 24  # ranges are float32, which rounds whole numbers above


@dataclass(frozen=True, slots=True)
class RecordPicture:
    """One picture of a record file; it is read when it is opened."""

    record: Record
    key: int

    def __str__(self) -> str:
        return f"{self.record.path}[{self.key}]"

    def read(self) -> bytes:
        """Return the picture's file.

        Raises:
            ImageError: if the record is cut off or damaged.
        """
        try:
            return self.record.read(self.key)[1]
        except DatasetError as error:
            raise ImageError(str(self), str(error).removeprefix(f"{self}: ")) from error

    def open(self) -> BinaryIO:
        """Return the picture as an open file, for `read_image`, which names it."""
        stream = _Named(self.read())
        stream.name = str(self)
        return stream


class _Named(io.BytesIO):
    name: str


class Record:
    """A record file with its index; safe between threads.

    Args:
        path: the folder of `train.rec`, or a `.rec` file; the index lies beside it, with the ending `.idx`.
        notice: called with a line about what is missing.
    Raises:
        DatasetError: if a file is missing, or the index is none.
    """

    def __init__(self, path: Path, *, notice: Callable[[str], object] = lambda text: None) -> None:
        self.path = record_file(path)
        self._file = open_file(self.path, expected="a record file")
        self._lock = Lock()
        try:
            self._offsets = _read_index(self.path.with_suffix(".idx"), notice)
            self._size = os.fstat(self._file.fileno()).st_size
            beyond = sorted(key for key, offset in self._offsets.items() if offset + FRAME.size > self._size)
            if beyond:
                notice(
                    f"{self.path}: cut off after {self._size:,} bytes; {len(beyond):,} of {len(self._offsets):,} "
                    "records of its index are beyond its end, the others are read; copy it anew"
                )
            for key in beyond:
                del self._offsets[key]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; pictures can no longer be read."""
        self._file.close()

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._offsets)

    @property
    def classes(self) -> int | None:
        """Return the number of people that the file `property` beside it states, `PEOPLE,HEIGHT,WIDTH`; None without.

        Raises:
            DatasetError: if there is such a file, and it is not so.
        """
        path = self._property()
        if not path.is_file():
            return None
        text = read_text(path, expected="'PEOPLE,HEIGHT,WIDTH'", limit=1024).strip()
        numbers = [whole_number(word.strip()) for word in text.split(",")]
        if len(numbers) != 3 or None in numbers:
            raise DatasetError(f"{path}: expected 'PEOPLE,HEIGHT,WIDTH', got {text!r:.80}")
        return numbers[0]

    def _property(self) -> Path:
        return self.path.with_name("property")

    def read(self, key: int) -> tuple[list[float], bytes]:
        """Return a record's labels, and what follows them.

        Raises:
            DatasetError: if there is no such record, or it is cut off or damaged.
        """
        if key not in self._offsets:
            raise DatasetError(f"{self.path}[{key}]: expected a record of the index, found none")
        content = self._content(key)
        labels, end = self._labels(key, content, len(content))
        return labels, content[end:]

    def _labels(self, key: int, content: bytes, length: int) -> tuple[list[float], int]:
        """Return the labels at the beginning of a record of so many bytes, and where they end."""
        if length < HEADER.size:
            raise self._damaged(key, f"got {length} bytes in place of a header")
        flag, label, _, _ = HEADER.unpack_from(content)
        if flag == 0:
            return [label], HEADER.size
        end = HEADER.size + 4 * flag
        if flag > MAX_LABELS or end > length:
            raise self._damaged(key, f"got {flag:,} labels in {length:,} bytes")
        return np.frombuffer(content, "<f4", flag, HEADER.size).tolist(), end

    def people(self, *, notice: Callable[[str], object] = lambda text: None) -> dict[str, list[RecordPicture]]:
        """Return the pictures of each person, by number, as `0` or `85741`.

        Where the ranges of people are cut off or damaged, or the file has none, every record's label is read.

        Args:
            notice: called with a line about what is cut off or damaged, and where the file `property` states another
                number of people.
        Raises:
            DatasetError: if no record has a picture.
        """
        found = self._people_of_ranges(notice)
        if found is None:
            found = self._people_of_labels(notice)
        try:
            stated = self.classes
        except DatasetError as error:
            notice(f"{error}; it is not needed")
        else:
            if stated is not None and stated != len(found):
                notice(f"{self.path}: got {len(found):,} people, {self._property().name} states {stated:,}")
        return found

    def _people_of_ranges(self, notice: Callable[[str], object]) -> dict[str, list[RecordPicture]] | None:
        """Return the pictures in each person's range; None where the file does not say all of them."""
        ranges = self._ranges(notice)
        if ranges is None:
            return None
        keys = sorted(self._offsets)
        return {
            str(person): [RecordPicture(self, key) for key in keys[bisect_left(keys, start) : bisect_left(keys, end)]]
            for person, (start, end) in enumerate(ranges)
        }

    def _people_of_labels(self, notice: Callable[[str], object]) -> dict[str, list[RecordPicture]]:
        """Return the pictures of each label."""
        found: dict[str, list[RecordPicture]] = {}
        damaged = 0
        for key in sorted(self._offsets):
            try:
                labels, is_picture = self._begin(key)
            except DatasetError:
                damaged += 1
                continue
            if is_picture and math.isfinite(labels[0]):  # records without a picture are the ranges
                found.setdefault(f"{labels[0]:.0f}", []).append(RecordPicture(self, key))
        if not found:
            raise DatasetError(f"{self.path}: expected pictures of people, got {len(self):,} records without one")
        if damaged:
            notice(f"{self.path}: left out {damaged:,} of {len(self):,} records, which are cut off or damaged")
        return dict(sorted(found.items(), key=lambda item: float(item[0])))

    def _begin(self, key: int) -> tuple[list[float], bool]:
        """Return a record's labels and whether a picture follows them, of its beginning where that tells."""
        with self._lock:
            self._file.seek(self._offsets[key])
            start = self._file.read(FRAME.size + HEADER.size + 8)
        if len(start) >= FRAME.size + HEADER.size:
            magic, word = FRAME.unpack_from(start)
            length, content = word & LENGTH, start[FRAME.size :]
            is_whole = magic == MAGIC and self._offsets[key] + FRAME.size + length <= self._size
            in_parts = word >> 29 != 0
            flag = HEADER.unpack_from(content)[0]
            if is_whole and not in_parts and flag in (0, 2):  # one label; the two of a range
                labels, end = self._labels(key, content, length)
                return labels, length > end
        labels, rest = self.read(key)
        return labels, bool(rest)

    def _ranges(self, notice: Callable[[str], object]) -> list[tuple[int, int]] | None:
        """Return the first picture of each person and the one after the last; None where the file does not say."""
        try:
            first, _ = self.read(0)
        except DatasetError:
            return None
        if (bounds := _range(first)) is None:
            return None
        wanted = range(*bounds)
        if bounds[1] > MAX_EXACT:
            notice(f"{self.path}: the ranges of people are rounded; the label of every record is read instead")
            return None
        if not len(wanted) or any(key not in self._offsets for key in (wanted[0], wanted[-1])):
            notice(f"{self.path}: the ranges of people are not there; the label of every record is read instead")
            return None
        ranges = []
        for key in wanted:
            try:
                labels, _ = self.read(key)
            except DatasetError as error:
                notice(f"{error}; every label is read instead")
                return None
            if (own := _range(labels)) is None or own[1] > wanted[0]:
                notice(f"{self.path}[{key}]: expected a range of pictures, got {labels}; every label is read instead")
                return None
            ranges.append(own)
        return ranges

    def _content(self, key: int) -> bytes:
        """Return a record's bytes; one that holds the magic number is stored in parts, without it between."""
        parts: list[bytes] = []
        with self._lock:
            self._file.seek(self._offsets[key])
            while True:
                frame = self._file.read(FRAME.size)
                if len(frame) < FRAME.size:
                    raise self._damaged(key, "it is cut off")
                magic, word = FRAME.unpack(frame)
                part, length = word >> 29, word & LENGTH
                if magic != MAGIC or part not in ((0, 1) if not parts else (2, 3)):
                    raise self._damaged(key, "no record begins there")
                content = self._file.read(length)
                if len(content) < length:
                    raise self._damaged(key, f"it is cut off after {len(content):,} of {length:,} bytes")
                parts.append(content)
                if part in (0, 3):
                    return struct.pack("<I", MAGIC).join(parts)
                self._file.seek(-length % 4, os.SEEK_CUR)

    def _damaged(self, key: int, reason: str) -> DatasetError:
        return DatasetError(f"{self.path}[{key}]: expected a whole record, {reason}; copy the file anew")


def _range(labels: list[float]) -> tuple[int, int] | None:
    """Return the range of records that two labels state; None where they are none."""
    if len(labels) != 2 or not all(0 <= label < 2**31 for label in labels):
        return None
    return int(labels[0]), int(labels[1])


def record_file(path: Path) -> Path:
    """Return the record file that a folder holds, or that a path names."""
    return path / "train.rec" if path.is_dir() else path


def is_record(path: Path) -> bool:
    """Tell whether a path is a record file, or a folder with `train.rec`."""
    return path.suffix == ".rec" or (path / "train.rec").is_file()


def _read_index(path: Path, notice: Callable[[str], object]) -> dict[int, int]:
    """Return the offset of each record; a last line that is cut off is told."""
    content = read_bytes(path, expected="an index, 'KEY OFFSET' a line", limit=MAX_INDEX)
    words = content.split()
    if len(words) % 2 and len(words) > 1 and len(content.splitlines()[-1].split()) == 1:
        notice(f"{path}: cut off in its last line; the {len(words) // 2:,} records before are read; copy it anew")
        words.pop()
    try:
        pairs: IntArray = np.array(words, np.int64).reshape(-1, 2)
        if (pairs < 0).any():
            raise ValueError
    except (ValueError, OverflowError):
        raise DatasetError(f"{path}: expected 'KEY OFFSET' a line, two whole numbers, got something else") from None
    keys: Iterator[int] = iter(pairs[:, 0].tolist())
    return dict(zip(keys, pairs[:, 1].tolist(), strict=True))
