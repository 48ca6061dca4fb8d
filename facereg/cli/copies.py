"""Where the drawn copy of a picture goes: beside those of its folder, over no other, inside the folder for them."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from facereg.disk.paths import inside
from facereg.disk.reading import kind_of
from facereg.disk.replacing import writing
from facereg.drawing import require_drawing
from facereg.errors import ContractError, ImageError
from facereg.names import shown
from facereg.types import Image

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})  # written in colour
LONGEST = 200  # bytes of a part of the name: there is room for an ending, and for a temporary file's


class Copies:
    """The paths of drawn copies below one folder, as the pictures lie below what was named.

    Args:
        folder: for the copies; None where none are drawn.
        named: files and folders that the pictures come from.
        pictures: all of them.
    Raises:
        ImageError: if the folder cannot be made or written: found out before hours of work.
        typer.BadParameter: if a copy would replace one of the pictures.
    """

    def __init__(self, folder: Path | None, named: Sequence[Path], pictures: Sequence[Path] = ()) -> None:
        self._folder = folder or Path()
        if folder is not None:
            require_drawing()
            require_folder(folder)
        bases = [os.path.abspath(path if os.path.isdir(path) else path.parent) for path in named]
        self._base = os.path.commonpath(bases) if bases else os.getcwd()
        self._source_of: dict[Path, Path] = {}
        if folder is not None:
            require_others("--draw", map(self.of, pictures), pictures)

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

    def draw(self, picture: Path, image: Image, *, done: str) -> None:
        """Write the copy of a picture.

        Args:
            done: what has been done with the picture, as `found`, for the message.
        Raises:
            ImageError: that names the picture, if the copy cannot be written.
        """
        from facereg.images import write_image

        try:
            write_image(self.of(picture), image)
        except ImageError as error:
            raise ImageError(picture, f"{done}, not drawn: {error}") from error

    def _inside(self, name: str) -> Path:
        try:
            if max(len(os.fsencode(part)) for part in name.split("/")) > LONGEST:
                raise ContractError("too long")
            return inside(self._folder, name)
        except (ContractError, UnicodeEncodeError):
            return inside(self._folder, f"{_digest(Path(name))}{Path(name).suffix}")


def require_folder(folder: Path) -> None:
    """Make a folder for files where there is none; raise ImageError where none could be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileExistsError as error:
        raise ImageError(folder, "expected a folder to write into, got a file; name another") from error
    except OSError as error:
        raise ImageError(folder, f"cannot be written into ({error.strerror}); check its rights and space") from error


def require_writable(path: Path) -> None:
    """Raise ImageError where a file could not be written: before the work whose result it is to hold."""
    with writing(path, ImageError):
        if path.is_dir():
            raise ImageError(path, "expected the name of a file to write, got a folder; add a name")
        if (found := kind_of(path.parent)) != "a folder":
            raise ImageError(path, f"expected it in a folder that is there, found {found}; make the folder")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def require_others(option: str, written: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs, by whatever path: bad usage, before anything is written.

    Raises:
        typer.BadParameter: naming the option and the input.
    """
    places = {place: path for path in read if (place := _place(path)) is not None}
    for path in written:
        if (place := _place(path)) in places:
            raise typer.BadParameter(
                f"expected another place than that of what is read, got {path}, which would replace "
                f"{shown(str(places[place]))}; name another",
                param_hint=option,
            )


def _place(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
