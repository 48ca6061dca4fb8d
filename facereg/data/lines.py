"""Lines of annotation files, with errors that name file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facereg.errors import DatasetError
from facereg.types import FloatArray


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, right-stripped.

    Raises:
        DatasetError: if the file cannot be read as text.
    """
    try:
        return [line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise DatasetError(f"{path}: this annotation file {reason}; check the path") from error


def numbers(words: list[str], *, path: Path, line: int, expected: str) -> FloatArray:
    """Return the words as (N,) float32.

    Raises:
        DatasetError: naming the line, where a word is no finite number.
    """
    try:
        values = np.array([float(word) for word in words], np.float32)
    except ValueError:
        raise DatasetError(f"{path}, line {line}: expected {expected}, got {' '.join(words)[:80]!r}") from None
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}, line {line}: expected {expected}, got NaN or infinity")
    return values


def require_files(paths: list[Path], *, listed_in: Path) -> None:
    """Check that every listed file is there; a figure over the rest would not be comparable.

    Raises:
        DatasetError: giving the count and the first few that are missing.
    """
    missing = [path for path in dict.fromkeys(paths) if not path.is_file()]
    if missing:
        names = ", ".join(str(path) for path in missing[:3])
        raise DatasetError(f"{listed_in}: {len(missing)} of the files it lists are missing, such as {names}")
