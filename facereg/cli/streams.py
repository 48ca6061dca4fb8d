"""stdout and stderr that no name can break, and that end without a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from facereg.errors import FaceregError
from facereg.names import shown, without_credentials


def say(line: str) -> None:
    """Write one line to stdout, for people; an end of line in a name does not end it."""
    print(shown(line), flush=True)


def complain(message: str) -> None:
    """Write one line to stderr: something that does not stop the rest."""
    with suppress(OSError):  # nobody to tell
        print(f"facereg: {shown(without_credentials(message))}", file=sys.stderr, flush=True)


class PlainText(io.TextIOWrapper):
    """Text for people: what a terminal would obey, and what its encoding lacks, is written escaped."""

    failed = False  # it could not be written

    def __init__(self, stream: TextIO) -> None:
        self._encoding = stream.encoding
        # not ASCII itself: click would open the stream anew, past this one; the letters are ASCII all the same
        wide = "utf-8" if stream.encoding.lower().replace("_", "-") in ("ascii", "us-ascii", "646") else stream.encoding
        super().__init__(
            stream.buffer, encoding=wide, errors="backslashreplace", line_buffering=bool(stream.line_buffering)
        )

    def write(self, text: str) -> int:
        """Write text; a name that holds an end of line must be escaped before."""
        if not isinstance(text, str):  # click finds out by this whether a stream takes bytes
            raise TypeError(f"expected text, got {type(text).__name__}")
        plain = shown(text, lines=True).encode(self._encoding, "backslashreplace").decode(self._encoding)
        with self._noting():
            return super().write(plain)

    def flush(self) -> None:
        """Write what is held."""
        with self._noting():
            super().flush()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.failed = True
            raise


@contextmanager
def plain_streams() -> Iterator[None]:
    """Write stdout as `PlainText` meanwhile.

    A disk that is full, and whatever else keeps stdout from being written, is one error; a reader that has gone away,
    as `head` does, is none that is worth a line.

    Raises:
        FaceregError: if stdout cannot be written.
        BrokenPipeError: if its reader has gone.
    """
    before = sys.stdout
    if before is None:  # closed by whoever started this: nobody asks for the results
        own: TextIO = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    else:
        own = PlainText(before) if hasattr(before, "buffer") else before
    sys.stdout = own
    try:
        yield
        own.flush()
    except OSError as error:
        if not getattr(own, "failed", False) or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise  # of another file
        reason = (
            f"stdout: cannot be written ({error.strerror}); make room, or write elsewhere; what was left is not done"
        )
        raise FaceregError(reason) from error
    finally:
        _end(own)
        sys.stdout = before


def _end(stream: TextIO) -> None:
    """Let go of stdout; where it cannot be written, what it holds goes nowhere, so that no later flush fails again."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    if isinstance(stream, PlainText):
        with suppress(OSError, ValueError):
            stream.detach()
