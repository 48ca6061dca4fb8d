"""The bytes of a picture, from wherever it is: a path, a pipe, an open file, memory."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from facereg.decoding.containers import START, kind_of
from facereg.decoding.limits import MAX_BYTES, PIPE_S, SILENCE_S
from facereg.errors import ContractError, ImageError, words_of

Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
BLOCK = 1 << 20


def name_of(source: Source) -> str:
    """Return what messages call a source."""
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "bytes"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "open file"


def read_source(source: Source) -> bytes:
    """Return all bytes of a picture, at most MAX_BYTES.

    An open file is read from where it stands, as long as its own `read` takes; it is not closed. A pipe, a terminal
    or a device named by a path is given up after SILENCE_S without a byte and after PIPE_S in all.

    Raises:
        ImageError: if there is nothing, too much, nothing in time, or it cannot be read.
        ContractError: if it is no path, no bytes and no open binary file.
    """
    name = name_of(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        content = _read_path(Path(source))
    elif callable(getattr(source, "read", None)):
        content = _read_open(source, name)
    else:
        raise ContractError(
            f"read_image: expected a path, bytes or an open binary file, got {type(source).__name__}; pass one of them"
        )
    if not content:
        raise ImageError(name, "expected a picture, got a file of 0 bytes; copy it again")
    if len(content) > MAX_BYTES:
        raise _too_long(name)
    return content


def _read_path(path: Path) -> bytes:
    try:
        # nobody may ever write to a pipe: opening it does not wait, reading it does, for a stated time
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(number, "rb", buffering=0) as stream:
            status = os.fstat(number)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError
            if not stat.S_ISREG(status.st_mode):
                return _gather(_blocks_of_pipe(number, str(path)), str(path))
            if status.st_size > MAX_BYTES:
                raise _too_long(str(path))
            return _gather(_blocks_of(cast(BinaryIO, stream)), str(path))
    except IsADirectoryError as error:
        raise ImageError(path, "expected a picture, got a folder; name a file in it") from error
    except FileNotFoundError as error:
        raise ImageError(path, "expected a picture, found no such file; check the path") from error
    except PermissionError as error:
        raise ImageError(path, "no right to read it; change its permissions") from error
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(path, f"expected a picture, cannot be read ({reason}); check the path and the disk") from error


def _read_open(stream: BinaryIO, name: str) -> bytes:
    try:
        return _gather(_blocks_of(stream), name)
    except ImageError:
        raise
    except TypeError as error:
        raise ContractError(f"{name}: expected a file opened in binary mode, got text; open it with 'rb'") from error
    except Exception as error:  # whatever the caller's object raises is why there is no picture
        reason = words_of(error, 120)
        raise ImageError(name, f"expected a picture, cannot be read ({reason}); open it anew") from error


def _gather(blocks: Iterable[bytes], name: str) -> bytes:
    """Join blocks; stop as soon as they are no picture or too many: a device gives them without an end."""
    held = bytearray()
    for block in blocks:
        looked_at = len(held) >= START
        held += block
        if not looked_at and len(held) >= START and kind_of(bytes(held[:START])) is None:
            raise no_picture(name)
        if len(held) > MAX_BYTES:
            raise _too_long(name)
    return bytes(held)


def _blocks_of(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _blocks_of_pipe(number: int, name: str) -> Iterator[bytes]:
    poll, end = select.poll(), time.monotonic() + PIPE_S
    poll.register(number, select.POLLIN)
    while True:
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(min(left, SILENCE_S) * 1000):
            waited = SILENCE_S if left > 0 else PIPE_S
            raise ImageError(
                name, f"expected a picture, got no byte or no end in {waited:.0f} s; check what writes to the pipe"
            )
        block = os.read(number, BLOCK)
        if not block:
            return
        yield block


def no_picture(name: str) -> ImageError:
    """Return the error of bytes that begin as no picture does."""
    return ImageError(name, "expected a picture, got a file of another kind; check what it holds")


def _too_long(name: str) -> ImageError:
    return ImageError(name, f"expected at most {MAX_BYTES:,} bytes, got more; save it as JPEG or PNG first")
