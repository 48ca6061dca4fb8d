"""The `.bin` files of verification pairs: a pickle of `([bytes, ...], [bool, ...])`, two pictures a pair.

A pickle is a program, and unpickling runs it. Here its instructions are only read, and those that build lists,
tuples, bytes, whole numbers and truth values are followed; any other, above all one that names something to be
imported or called, ends the reading. Source: facts of InsightFace's `verification.py`; the `pickletools` of Python.
"""

from __future__ import annotations

import io
import pickletools
from pathlib import Path
from typing import Any

from facereg.decoding.containers import START, kind_of
from facereg.disk.reading import read_bytes
from facereg.disk.replacing import file_sha256, require_empty, whole_folder, writing
from facereg.errors import DatasetError

MAX_BIN = 4 << 30  # bytes; the largest in use, of 7,000 pairs, has 300 MB
SOURCE = "unpacked-from.sha256"  # beside the pictures: of the file that they come from
VALUES = {
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"),
    *("BININT", "BININT1", "BININT2", "NEWTRUE", "NEWFALSE", "INT"),
}
CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False}
MARK: Any = object()


class _BadError(Exception):
    """What is wrong with the bytes."""


def read_bin(path: Path) -> tuple[list[bytes], list[bool]]:
    """Return the pictures, as files, and which pairs of them show one person: pictures 2i and 2i + 1 are pair i.

    Raises:
        DatasetError: if the file is missing, cut off, or holds anything but lists of bytes and of truth values.
    """
    expected = "a pickle of (list of pictures, list of true or false)"
    content = read_bytes(path, expected=expected, limit=MAX_BIN)
    try:
        value = plain_value(content)
    except _BadError as error:
        raise DatasetError(f"{path}: expected {expected} and nothing else, {error}; fetch it anew") from error
    lists = value if isinstance(value, tuple | list) and len(value) == 2 else (None, None)
    files, same = lists
    if not (isinstance(files, list) and all(isinstance(one, bytes) for one in files)):
        raise DatasetError(f"{path}: expected {expected}, got no list of bytes; fetch it anew")
    if not (isinstance(same, list) and all(one in (True, False) for one in same)):
        raise DatasetError(f"{path}: expected {expected}, got no list of true or false; fetch it anew")
    if len(files) != 2 * len(same):
        raise DatasetError(f"{path}: expected two pictures a pair, got {len(files)} for {len(same)} pairs")
    return files, [bool(one) for one in same]


def unpacked_bin(path: Path, folder: Path) -> tuple[list[Path], list[bool]]:
    """Return the pictures as files of a folder, written the first time, and which pairs show one person.

    Args:
        folder: new or empty, or the one that this very file was unpacked to before.
    Raises:
        DatasetError: if the file is not as `read_bin` wants it, or the folder holds something else.
    """
    files, same = read_bin(path)
    names = [f"{row:06d}{'.png' if kind_of(one[:START]) == 'PNG' else '.jpg'}" for row, one in enumerate(files)]
    digest = file_sha256(path)
    stamp = folder / SOURCE
    if not (stamp.is_file() and stamp.read_text("ascii", "replace").strip() == digest):
        try:
            require_empty(folder)
        except FileExistsError as error:
            raise DatasetError(
                f"{folder}: expected a new folder for the pictures of {path}, or one they were unpacked to ({error})"
            ) from error
        with writing(folder, DatasetError), whole_folder(folder) as made:
            for name, one in zip(names, files, strict=True):
                (made / name).write_bytes(one)
            (made / SOURCE).write_text(digest + "\n", "ascii")
    return [folder / name for name in names], same


def plain_value(content: bytes) -> object:
    """Return the value of a pickle that is made of lists, tuples, bytes, whole numbers and truth values alone."""
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    try:
        for opcode, given, place in pickletools.genops(io.BytesIO(content)):
            if opcode.name == "STOP":
                [value] = stack
                return value
            _follow(opcode.name, given, stack, memory, place)
    except _BadError:
        raise
    except Exception as error:  # the reader of instructions raises what it likes on bytes that are none
        raise _BadError(f"which is cut off or damaged ({' '.join(str(error).split())[:100]})") from error
    raise _BadError("which has no end")


def _follow(name: str, given: Any, stack: list[Any], memory: dict[int, Any], place: int | None) -> None:
    if name in VALUES:
        stack.append(CONSTANTS.get(name, given.encode("latin-1") if isinstance(given, str) else given))
    elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append([] if name == "EMPTY_LIST" else ())
    elif name == "MARK":
        stack.append(MARK)
    elif name in ("LIST", "TUPLE"):
        items = _since_mark(stack)
        stack.append(items if name == "LIST" else tuple(items))
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
        if not isinstance(stack[-1], list) or any(item is stack[-1] or item is MARK for item in items):
            raise _BadError(f"which appends to no list at byte {place}")
        stack[-1].extend(items)
    elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
        memory[len(memory) if name == "MEMOIZE" else given] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memory[given])
    elif name not in ("PROTO", "FRAME"):
        what = f" ({str(given)[:60]!r})" if given is not None else ""
        raise _BadError(f"got the instruction {name}{what} at byte {place}")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take off the stack what lies above its last mark, and the mark."""
    at = len(stack) - 1
    while stack[at] is not MARK:
        at -= 1  # runs out of the stack where there is no mark
    items = stack[at + 1 :]
    del stack[at:]
    return items
