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
Made = TypeVar("Made")
Listener = Callable[[ImageError], None]
_listener: ContextVar[Listener] = ContextVar("_listener")


@contextmanager
def left_out(tell: Listener) -> Iterator[None]:
    """Have `tell` called, within, for each picture that `read_each` leaves out."""
    token = _listener.set(tell)
    try:
        yield
    finally:
        _listener.reset(token)


def read_each(items: Sequence[Item], read: Callable[[Item], Made], *, doing: str = "reading pictures") -> list[Made]:
    """Return what `read` makes of each item, but for those whose picture cannot be read.

    One bad picture must not end a training of hours. Where nobody listens (`left_out`), the first is an error.

    Args:
        read: raises ImageError for a picture that cannot be read.
        doing: shown while it goes on.
    Raises:
        ImageError: for a picture that cannot be read, where nobody listens.
        DatasetError: if there are items, and no picture of them can be read.
    """
    made = []
    for item in track(items, doing, console=Console(file=sys.stderr), transient=True):
        try:
            made.append(read(item))
        except ImageError as error:
            tell = _listener.get(None)
            if tell is None:
                raise
            tell(error)
    if items and not made:
        raise DatasetError(f"pictures: expected some that can be read, got {len(items)} that cannot; see above")
    return made


def readable(items: Sequence[Item], *, path: Callable[[Item], Path]) -> list[Item]:
    """Return the items whose picture can be read; as `read_each`, for recipes that read pictures later, or often.

    Raises:
        ImageError: for a picture that cannot be read, where nobody listens.
        DatasetError: if there are items, and no picture of them can be read.
    """

    def look(item: Item) -> Item:
        read_image(path(item), whole=True)
        return item

    return read_each(items, look, doing="looking at pictures")
