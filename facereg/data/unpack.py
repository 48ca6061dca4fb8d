"""Archives unpacked so that nothing lands outside the folder asked for, and a folder is whole or not there."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from facereg.data.writing import folder_in_one_piece
from facereg.errors import DatasetError


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a zip or tar file (plain, gz, bz2, xz) and return how many files it held.

    Args:
        folder: new or empty.
    Raises:
        DatasetError: if the file is no such archive or is damaged; if a member would land outside, is a link out of
            the folder or a device; if it needs more space than is free; if the folder is not empty.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _unpack_zip(archive, folder)
        if tarfile.is_tarfile(archive):
            return _unpack_tar(archive, folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise DatasetError(f"{archive}: cannot be unpacked ({error})") from error
    except NotImplementedError as error:
        raise DatasetError(f"{archive}: compressed in a way that Python cannot read ({error})") from error
    raise DatasetError(f"{archive}: expected a zip or tar file; check what it holds, or leave out --unpack")


def _unpack_zip(archive: Path, folder: Path) -> int:
    with zipfile.ZipFile(archive) as held, folder_in_one_piece(folder) as inside:
        for member in held.infolist():
            name = PurePosixPath(member.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise DatasetError(f"{archive}: member {member.filename!r} would land outside the folder")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DatasetError(f"{archive}: member {member.filename!r} is a link, which is not unpacked")
        _require_space(archive, inside, sum(member.file_size for member in held.infolist()))
        held.extractall(inside)
        return sum(not member.is_dir() for member in held.infolist())


def _unpack_tar(archive: Path, folder: Path) -> int:
    with tarfile.open(archive) as held, folder_in_one_piece(folder) as inside:
        members = held.getmembers()
        _require_space(archive, inside, sum(member.size for member in members))
        held.extractall(inside, filter="data")  # refuses what lands outside, devices, and links that lead out
        return sum(member.isfile() for member in members)


def _require_space(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DatasetError(f"{archive}: needs {size:,} bytes unpacked, {free:,} are free; make space")
