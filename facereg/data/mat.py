"""MATLAB 5 files, as far as WIDER FACE's hold anything: cells in one another, text, and arrays of numbers.

General readers of these files follow what the bytes say in compiled code, and a changed byte can end the process;
here every size is compared with the bytes that are there before it is believed.

Source: MathWorks, "MAT-File Format", version 5: sections "Level 5 MAT-File Format" and "MATLAB Array Formats".
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facereg.disk.reading import read_bytes
from facereg.errors import DatasetError

Numbers = npt.NDArray[np.float64]
Value: TypeAlias = "Numbers | str | list[Value]"  # numbers (rows, columns); text; a cell array, column after column

MAX_BYTES = 256 << 20  # of the file, and of what it unpacks to: the largest of WIDER FACE's has 2 MB
MAX_DEPTH = 8  # cells in one another; theirs are two deep
HEADER, TAG = 128, 8  # bytes
MATRIX, COMPRESSED = 14, 15  # types of elements
CELL, TEXT = 1, 4  # classes of arrays; 6 to 15 are of numbers
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
UTF = {16: "utf-8", 17: "utf-16", 18: "utf-32", 4: "utf-16", 2: "latin-1", 1: "latin-1"}


class _BadError(Exception):
    """What is wrong with the bytes."""


def read_mat(path: Path, wanted: Collection[str]) -> dict[str, Value]:
    """Return the variables of those names that the file holds.

    Raises:
        DatasetError: if the file is missing, too large, or not laid out as stated.
    """
    content = read_bytes(path, expected="a MATLAB 5 file", limit=MAX_BYTES)
    try:
        if len(content) < HEADER or content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
            raise _BadError("no header of version 5")
        order = "<" if content[126:128] == b"IM" else ">"
        return _variables(content, order, wanted)
    except _BadError as error:
        raise DatasetError(f"{path}: expected a MATLAB 5 file as published ({error}); fetch it anew") from error


def _variables(content: bytes, order: str, wanted: Collection[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    rest, left = _Elements(memoryview(content)[HEADER:], order), MAX_BYTES
    while not rest.done:
        kind, inner = rest.take(padded=False)
        if kind == COMPRESSED:
            unpacked = _unpacked(inner, left)
            left -= len(unpacked)
            packed = _Elements(memoryview(unpacked), order)
            kind, inner = packed.take(padded=False)
            packed.require_done()
        if kind != MATRIX:
            raise _BadError(f"an element of type {kind} in place of a variable")
        array = _Array(inner, order)
        if array.name in wanted:
            if array.name in found:
                raise _BadError(f"{array.name} comes twice")
            found[array.name] = array.value(MAX_DEPTH)
    return found


def _unpacked(packed: memoryview, limit: int) -> bytes:
    opened = zlib.decompressobj()
    try:
        content = opened.decompress(packed, limit + 1)
    except zlib.error as error:
        raise _BadError(str(error)) from error
    if len(content) > limit:
        raise _BadError(f"over {MAX_BYTES:,} bytes unpacked")
    if not opened.eof or opened.unused_data:
        raise _BadError("a compressed variable that ends early or late")
    return content


class _Elements:
    """Elements one after another: a tag of type and size, and that many bytes."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.content, self.order, self._at = content, order, 0

    @property
    def done(self) -> bool:
        return self._at >= len(self.content)

    @property
    def left(self) -> int:
        return len(self.content) - self._at

    def take(self, *, padded: bool = True) -> tuple[int, memoryview]:
        """Return the type and the bytes of the next element; inner ones are padded to eight bytes."""
        at = self._at
        if self.left < TAG:
            raise _BadError("it ends within a tag")
        kind, size = (int(word) for word in np.frombuffer(self.content[at : at + TAG], f"{self.order}u4"))
        if kind >> 16:  # a small one: size and type in one word, four bytes after it
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise _BadError(f"a small element of {size} bytes")
            self._at += TAG
            return kind, self.content[at + 4 : at + 4 + size]
        if size > self.left - TAG:
            raise _BadError(f"an element of {size:,} bytes where {self.left - TAG:,} are left")
        self._at += TAG + size + (-size % 8 if padded else 0)
        return kind, self.content[at + TAG : at + TAG + size]

    def require_done(self) -> None:
        if not self.done:
            raise _BadError(f"{self.left} bytes more than it says")


class _Array:
    """One array: class, size, name, and what it holds."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.order = order
        self._rest = _Elements(content, order)
        flags = self._numbers("u4", types=(6,))
        sizes = self._numbers("i4", types=(5,))
        _, name = self._rest.take()
        if len(flags) != 2 or len(sizes) != 2 or (sizes < 0).any():
            raise _BadError(f"an array of sizes {sizes[:4].tolist()}")
        self.kind, self.complex = int(flags[0]) & 0xFF, bool(int(flags[0]) & 0x800)
        self.sizes = int(sizes[0]), int(sizes[1])
        self.name = bytes(name).decode("latin-1")

    def _numbers(self, dtype: str, *, types: Collection[int]) -> npt.NDArray[np.int64]:
        kind, content = self._rest.take()
        item = np.dtype(f"{self.order}{dtype}")
        if kind not in types or len(content) % item.itemsize:
            raise _BadError(f"an element of type {kind} and {len(content)} bytes at the head of an array")
        return np.frombuffer(content, item).astype(np.int64)

    def value(self, depth: int) -> Value:
        """Return what the array holds."""
        count = self.sizes[0] * self.sizes[1]
        if self.kind == CELL:
            value: Value = self._cells(count, depth)
        elif self.kind == TEXT:
            value = self._text(count)
        elif 6 <= self.kind <= 15 and not self.complex:
            value = self._values(count)
        else:
            raise _BadError(f"an array of class {self.kind}, where cells, text and numbers are")
        self._rest.require_done()
        return value

    def _cells(self, count: int, depth: int) -> list[Value]:
        if depth == 0:
            raise _BadError(f"cells nested more than {MAX_DEPTH} deep")
        if count * TAG > self._rest.left:
            raise _BadError(f"{count:,} cells in {self._rest.left:,} bytes")
        cells: list[Value] = []
        for _ in range(count):
            kind, content = self._rest.take()
            if kind != MATRIX:
                raise _BadError(f"an element of type {kind} in place of a cell")
            cells.append(_Array(content, self.order).value(depth - 1) if len(content) else np.empty((0, 0)))
        return cells

    def _text(self, count: int) -> str:
        if self.sizes[0] > 1:
            raise _BadError(f"text of {self.sizes[0]} lines")
        kind, content = self._rest.take()
        encoding = UTF.get(kind)
        if encoding is None:
            raise _BadError(f"text of type {kind}")
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self.order == "<" else "-be"
        try:
            text = bytes(content).decode(encoding)
        except UnicodeDecodeError as error:
            raise _BadError(f"text that is none ({error.reason})") from error
        if len(text) != count:
            raise _BadError(f"text of {len(text)} letters where it says {count}")
        return text

    def _values(self, count: int) -> Numbers:
        kind, content = self._rest.take()
        if kind not in NUMBERS:
            raise _BadError(f"numbers of type {kind}")
        item = np.dtype(f"{self.order}{NUMBERS[kind]}")
        if len(content) != count * item.itemsize:
            raise _BadError(f"{len(content):,} bytes of numbers, expected {count * item.itemsize:,}")
        return np.frombuffer(content, item).astype(np.float64).reshape(self.sizes, order="F")
