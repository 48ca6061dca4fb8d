"""Paths made of names that others wrote, kept inside the folder they are meant for."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from facereg.errors import ContractError

MAX_PART = 255  # bytes of one part of a path: what ext4, APFS and NTFS hold
MAX_NAME = 1024  # bytes of a whole name: it stays under Linux's PATH_MAX (4096) in any usual folder


def inside(folder: str | Path, name: str | PurePosixPath) -> Path:
    """Return `folder / name`, of which is sure that it lies in the folder: to write a file by a foreign name.

    Args:
        folder: where files may be written; it need not exist yet.
        name: a relative name, its parts divided by `/`, as lists, archives and people give them.
    Raises:
        ContractError: if the name is empty, absolute, has `..`, a control character or too many letters, or if a
            link that lies in the folder already would lead out of it.
    """
    folder, parts = Path(folder), relative_parts(str(name))
    path = folder.joinpath(*parts)
    # links on the way, the last part too: writing through one that is there would land where it points
    if not _real(path).is_relative_to(_real(folder)):
        raise ContractError(f"{str(name)!r}: expected a name inside {folder}, got one that a link leads out of it")
    return path


def relative_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a relative name, in which `/` and `\\` both divide; none leads up or elsewhere.

    Raises:
        ContractError: if the name is not such a one.
    """
    shown = repr(name if len(name) <= 80 else name[:77] + "...")
    slashed = name.replace("\\", "/")  # a drive or a backslash means another place on Windows
    if slashed.startswith("/") or PureWindowsPath(name).drive or PureWindowsPath(name).root:
        raise ContractError(f"{shown}: expected a relative name, got an absolute one, which would lie outside")
    parts = PurePosixPath(slashed).parts
    if ".." in parts:
        raise ContractError(f"{shown}: expected a name without '..', which leads outside the folder")
    if not parts or any(unicodedata.category(letter) == "Cc" for letter in name):
        raise ContractError(f"{shown}: expected the name of a file, without control characters")
    try:
        sizes = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError as error:
        raise ContractError(
            f"{shown}: expected the name of a file, got letters that no file's name can have"
        ) from error
    if max(sizes) > MAX_PART or sum(sizes) + len(sizes) > MAX_NAME:
        raise ContractError(
            f"{shown}: expected at most {MAX_PART} bytes a part and {MAX_NAME} in all, got {sum(sizes)}"
        )
    return parts


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise ContractError(f"{path}: expected a path that can be followed, got a loop of links") from error
