"""Where the drawn copy of a picture goes: beside those of its folder, over no other, inside the folder for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from facereg.disk.paths import inside
from facereg.errors import ContractError
from facereg.names import shown

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})  # written in colour
LONGEST = 200  # bytes of a part of the name: there is room for an ending, and for a temporary file's


class Copies:
    """The paths of drawn copies below one folder, as the pictures lie below what was named.

    Args:
        folder: for the copies; None where none are drawn.
        named: files and folders that the pictures come from.
    """

    def __init__(self, folder: Path | None, named: Sequence[Path]) -> None:
        self._folder = folder or Path()
        bases = [os.path.abspath(path if path.is_dir() else path.parent) for path in named]
        self._base = os.path.commonpath(bases) if bases else os.getcwd()
        self._source_of: dict[Path, Path] = {}

    def of(self, picture: Path) -> Path:
        """Return where the copy of a picture goes: its relative path, ending kept; `.jpg` is added to other endings.

        A name that has a copy of another picture already, or that no file can have, is told apart by a number.
        """
        relative = os.path.relpath(os.path.abspath(picture), self._base)
        # a backslash divides names elsewhere, and codes that a terminal obeys help nobody
        name = shown(relative).replace("\\", "_")
        if Path(name).suffix.lower() not in ENDINGS:
            name += ".jpg"
        path = self._inside(name)
        if self._source_of.setdefault(path, picture) != picture:
            path = self._inside(f"{_digest(picture)}-{Path(name).name}")
            self._source_of[path] = picture
        return path

    def _inside(self, name: str) -> Path:
        try:
            if max(len(os.fsencode(part)) for part in name.split("/")) > LONGEST:
                raise ContractError("too long")
            return inside(self._folder, name)
        except (ContractError, UnicodeEncodeError):
            return inside(self._folder, f"{_digest(Path(name))}{Path(name).suffix}")


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
