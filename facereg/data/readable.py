"""Training pictures that can be read; the others are left out, said, and counted by whoever listens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from facereg.errors import DatasetError, ImageError
from facereg.images import read_image

Item = TypeVar("Item")
Listener = Callable[[ImageError], None]
_listener: ContextVar[Listener] = ContextVar("_listener")


@contextmanager
def left_out(tell: Listener) -> Iterator[None]:
    """Have `tell` called, within, for each picture that `readable` leaves out."""
    token = _listener.set(tell)
    try:
        yield
    finally:
        _listener.reset(token)


def readable(items: Sequence[Item], *, path: Callable[[Item], Path]) -> list[Item]:
    """Return the items whose picture can be read: one that cannot must not end a training of hours.

    Every picture is decoded once for it. Where nobody listens (`left_out`), the first bad picture is an error.

    Raises:
        ImageError: for a picture that cannot be read, where nobody listens.
        DatasetError: if there are items, and no picture of them can be read.
    """
    kept = []
    for item in track(items, "looking at pictures", console=Console(file=sys.stderr), transient=True):
        try:
            read_image(path(item), whole=True)
        except ImageError as error:
            tell = _listener.get(None)
            if tell is None:
                raise
            tell(error)
        else:
            kept.append(item)
    if items and not kept:
        raise DatasetError(f"pictures: expected some that can be read, got {len(items)} that cannot; see above")
    return kept
