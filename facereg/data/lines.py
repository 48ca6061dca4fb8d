"""Lines of annotation files, with errors that name file and line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.disk.paths import relative_parts
from facereg.disk.reading import MAX_LIST, read_text, require_folder
from facereg.errors import ContractError, DatasetError
from facereg.names import shown
from facereg.types import MAX_PX, FloatArray


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, right-stripped.

    Raises:
        DatasetError: if the file cannot be read as text.
    """
    return [line.rstrip() for line in read_text(path, expected="a list of labels", limit=MAX_LIST).splitlines()]


def listed(images: Path, name: str, *, path: Path, line: int | None) -> Path:
    """Return where a picture that a list names lies, which is below the folder of its pictures.

    Args:
        path, line: of the list, where the name stands; no line in a file without lines.
    Raises:
        DatasetError: naming them, where the name is absolute, leads up, or is none that a file has.
    """
    try:
        return images.joinpath(*relative_parts(name))
    except ContractError as error:
        raise DatasetError(f"{_place(path, line)}: {error}") from error


def require_images(images: Path, *, there: bool = False) -> None:
    """Refuse a file in place of the folder of pictures, before a list finds each of them missing.

    Args:
        there: refuse a missing folder too.
    Raises:
        DatasetError: saying what is there.
    """
    if there or os.path.lexists(images):
        require_folder(images, expected="a folder of pictures")


def whole_number(word: str) -> int | None:
    """Return a count of at most nine plain digits; None where the word is none, as a superscript two."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else None


def numbers(words: Sequence[str], *, path: Path, line: int | None, expected: str, strict: bool = True) -> FloatArray:
    """Return the words as (N,) float32.

    Args:
        line: where they stand; None in a file without lines.

    Raises:
        DatasetError: naming the line, where a word is no number; and as `finite`.
    """
    place = _place(path, line)
    try:
        values = np.array([float(word.replace("_", "no")) for word in words], np.float64)  # 1_0 is Python's, no list's
    except ValueError:
        raise DatasetError(f"{place}: expected {expected}, got {' '.join(words)[:80]!r}") from None
    return finite(values, place=place, expected=expected, strict=strict)


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def finite(values: npt.NDArray[np.float64], *, place: str, expected: str, strict: bool = True) -> FloatArray:
    """Return the values as float32.

    Args:
        strict: False lets all pass, for `facereg.data.check` to name.
    Raises:
        DatasetError: naming the place, where a value is NaN, infinite or beyond MAX_PX.
    """
    bad = ~(np.abs(values) <= MAX_PX)
    if strict and bad.any():
        raise DatasetError(f"{place}: expected {expected}, finite and within {MAX_PX:,.0f}, got {values[bad][0]:g}")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def require_files(paths: list[Path], *, listed_in: Path) -> None:
    """Check that every listed file is there: a list whose files are not in the folder is not that folder's.

    What is there and is no picture, as a folder, a pipe or a link to nothing, is named by whoever reads it.

    Raises:
        DatasetError: giving the count and the first few that are missing.
    """
    missing = absent(paths)
    if missing:
        names = ", ".join(shown(str(path))[:200] for path in missing[:3])
        raise DatasetError(f"{listed_in}: {len(missing)} of the files it lists are missing, such as {names}")


def absent(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are not there, each once."""
    return [path for path in dict.fromkeys(paths) if not os.path.lexists(path)]  # Path's own raises for long names
