"""Small files that others wrote: opened only where they are files, read to a stated limit, parsed without surprises."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

from facereg.errors import DatasetError, FaceregError

MAX_LIST = 256 << 20  # bytes of a list of labels: CelebA's largest has 25 MB
MAX_SETTINGS = 1 << 20  # bytes of a file of settings, which people write by hand
MAX_DEPTH = 64  # tables or lists in one another
MAX_DOTS = 256  # in a line of TOML: tomllib's time grows with the square of a dotted key's parts
KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: Path, *, expected: str, error: type[FaceregError] = DatasetError) -> BinaryIO:
    """Open a file to read; a folder, a pipe, a socket or a device is none, and nothing waits for one.

    Args:
        expected: what the file should be, for the message, as 'a list of pairs'.
        error: class of what is raised.
    Raises:
        FaceregError: of the class given, if the file is missing, no file, or not ours to read.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as cause:
        raise error(f"{path}: expected {expected}, but the file is missing; check the path") from cause
    except NotADirectoryError as cause:
        raise error(f"{path}: expected {expected}, found {kind_of(path)}; check the path") from cause
    except (OSError, ValueError) as cause:  # a NUL in the name is a ValueError
        reason = getattr(cause, "strerror", None) or cause
        raise error(f"{path}: expected {expected}, but it cannot be read ({reason}); check its rights") from cause
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        raise error(f"{path}: expected {expected}, got {_kind(mode)}; name a file")
    return os.fdopen(number, "rb")


def require_folder(path: Path, *, expected: str, error: type[FaceregError] = DatasetError) -> None:
    """Refuse what is no folder.

    Args:
        expected: what the folder should be, for the message, as 'a folder of pictures'.
    Raises:
        FaceregError: of the class given, saying what is there instead.
    """
    if (found := kind_of(path)) != "a folder":
        raise error(f"{path}: expected {expected}, found {found}; check the path")


def kind_of(path: Path) -> str:
    """Return what is at a path, for messages: 'a file', 'a folder', ..., or 'none', and why where that is odd."""
    try:
        return _kind(os.stat(path).st_mode)
    except NotADirectoryError:
        above = next((folder for folder in path.parents if folder.is_file()), path.parent)
        return f"none, as {above} is a file and no folder"
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(path) else "none"
    except (OSError, ValueError) as error:  # no right, a loop of links, a NUL in the name
        return f"what cannot be looked at ({getattr(error, 'strerror', None) or error})"


def _kind(mode: int) -> str:
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), "something else")


def read_bytes(path: Path, *, expected: str, limit: int, error: type[FaceregError] = DatasetError) -> bytes:
    """Return what a file holds.

    Args:
        limit: of bytes; a longer file is refused, not cut.
    Raises:
        FaceregError: as `open_file`, and if the file is longer.
    """
    with open_file(path, expected=expected, error=error) as stream:
        try:
            content = stream.read(limit + 1)
        except OSError as cause:
            raise error(
                f"{path}: expected {expected}, but it cannot be read ({cause.strerror}); copy it anew"
            ) from cause
    if len(content) > limit:
        raise error(f"{path}: expected {expected} of at most {limit:,} bytes, got more; is it the right file?")
    return content


def read_text(path: Path, *, expected: str, limit: int, error: type[FaceregError] = DatasetError) -> str:
    """Return what a file of UTF-8 text holds, without a byte order mark.

    Raises:
        FaceregError: as `read_bytes`, and if the bytes are no UTF-8.
    """
    content = read_bytes(path, expected=expected, limit=limit, error=error)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(
            f"{path}: expected {expected} in UTF-8, got other bytes at {cause.start}; save it as UTF-8"
        ) from cause


def parse_toml(text: str, *, place: str, expected: str, error: type[FaceregError] = DatasetError) -> dict[str, Any]:
    """Return the tables of TOML text.

    Raises:
        FaceregError: of the class given, naming `place`, if it is no TOML or nested more than MAX_DEPTH deep.
    """
    if any(line.count(".") > MAX_DOTS for line in text.split("\n")):  # no key goes on in the next line
        raise error(_too_deep(place, expected))
    try:
        document = tomllib.loads(text)
    except ValueError as cause:
        raise error(f"{place}: expected {expected} in TOML ({cause})") from cause
    except RecursionError as cause:
        raise error(_too_deep(place, expected)) from cause
    _require_shallow(document, place, expected, error)
    return document


def parse_json(text: str, *, place: str, expected: str, error: type[FaceregError] = DatasetError) -> Any:
    """Return the value of JSON text; NaN and infinity, which JSON does not have, are refused.

    Raises:
        FaceregError: as `parse_toml`.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as cause:
        raise error(f"{place}: expected {expected} in JSON ({cause})") from cause
    except RecursionError as cause:
        raise error(_too_deep(place, expected)) from cause
    _require_shallow(document, place, expected, error)
    return document


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _too_deep(place: str, expected: str) -> str:
    return f"{place}: expected {expected}, got values nested more than {MAX_DEPTH} deep"


def _require_shallow(document: object, place: str, expected: str, error: type[FaceregError]) -> None:
    """Refuse what messages and comparisons could not go through without running out of stack."""
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise error(_too_deep(place, expected))
