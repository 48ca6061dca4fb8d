"""Files and folders on the disk: written whole or not at all, with the rights they should have; checksums; locks."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from facereg.errors import FaceregError, ImageError

REMEDY = "check the folder's rights and space"
PRIVATE = 0o600  # of whatever holds vectors: they are biometric data


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part; see `whole_file`.

    Raises:
        OSError: if the folder cannot be written; the old file is unharmed.
    """
    with whole_file(path, private=private) as stream:
        stream.write(content)


def write_file(
    path: str | Path,
    content: bytes,
    error: type[FaceregError] = FaceregError,
    *,
    private: bool = False,
    remedy: str = REMEDY,
) -> None:
    """Write a file as `write_atomically`, and the folders above it where they are missing.

    Args:
        error, remedy: as of `writing`.
        private: as of `whole_file`.
    Raises:
        FaceregError: of the kind given, if it cannot be written.
    """
    with writing(path, error, remedy=remedy):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), content, private=private)


@contextmanager
def writing(path: str | Path, error: type[FaceregError] = FaceregError, *, remedy: str = REMEDY) -> Iterator[None]:
    """Make one error, of the kind given, of whatever keeps a file or folder from being written in the block.

    Args:
        remedy: what to do about it, for the message.
    """
    try:
        yield
    except OSError as cause:
        reason = f"cannot be written ({cause.strerror or cause}); {remedy}"
        raise (ImageError(path, reason) if error is ImageError else error(f"{path}: {reason}")) from cause


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a stream to fill; it becomes the file when the block ends well, and goes when it does not.

    A link is followed: the file that it leads to is replaced, and the link stays. The rights of a file that was there
    are kept; a new one has those that the umask leaves. What is no file (a pipe, /dev/null) is written to as it is.

    Args:
        private: a new file is its owner's alone (0600), as anything that holds vectors should be.
    Raises:
        OSError: if the folder cannot be written; the old file is unharmed.
    """
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as stream:  # a folder says that it is one
            yield stream
        return
    temporary = _beside(target)
    # made as any program makes a file, so that the umask counts, and folders' default rights too
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE if private or mode is not None else 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield stream
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `out` when the block ends well, and goes when it does not.

    A link to an empty folder is followed; the rights of an empty folder that was there are kept.

    Raises:
        FileExistsError: if `out` is there and no empty folder.
        OSError: if `out` cannot be written.
    """
    target = Path(os.path.realpath(out))
    mode = require_empty(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    inside = _beside(target)
    inside.mkdir()
    try:
        yield inside
        if mode is not None:
            inside.chmod(stat.S_IMODE(mode))
        os.replace(inside, target)
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def require_empty(out: Path) -> int | None:
    """Return the mode of an empty folder, None where there is nothing.

    Raises:
        FileExistsError: if `out` is there and no empty folder.
    """
    target = Path(os.path.realpath(out))
    mode = _mode(target)
    if mode is not None and (not stat.S_ISDIR(mode) or any(target.iterdir())):
        raise FileExistsError(f"{out}: expected a new or empty folder, which old files cannot mix with; name another")
    return mode


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs; another process or thread that asks for it waits.

    Args:
        path: of the lock's own file, which stays: were it removed, two could hold the lock.
    Raises:
        OSError: if the file cannot be made.
    """
    import fcntl  # not on Windows, where nothing else of this module needs to fail

    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _beside(target: Path) -> Path:
    """Return a name that nobody has, in the same folder, so that replacing is one step."""
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}")
