"""What is wrong with a set of labelled pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.boxes import LabelledImage, without_area
from facereg.errors import ImageError
from facereg.images import read_image
from facereg.types import MAX_PX

EDGE = 0.5  # px that a box may lie outside the picture: rounding of the layouts, not an error


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Args:
        path: of the picture.
        kind: missing, unreadable, outside, no-number, empty, duplicate-box, listed-twice or same-picture.
        reason: what was expected and what was got.
    """

    path: Path
    kind: str
    reason: str


def check_boxes(
    items: Sequence[LabelledImage], *, progress: Callable[[int], None] = lambda done: None
) -> Iterator[Problem]:
    """Yield what is wrong with labelled pictures, picture after picture; every picture is read whole.

    Args:
        items: as a reader gives them with `strict=False`.
        progress: called with the number of pictures done since the last call.
    """
    listed: set[Path] = set()
    first_with: dict[bytes, Path] = {}
    for item in items:
        if item.path in listed:
            yield Problem(item.path, "listed-twice", "expected one entry a picture, got a second")
        yield from _box_problems(item)
        if item.path not in listed:
            yield from _picture_problems(item, first_with)
        listed.add(item.path)
        progress(1)


def _picture_problems(item: LabelledImage, first_with: dict[bytes, Path]) -> Iterator[Problem]:
    if not os.path.exists(item.path):  # Path's own raises for names that are too long
        yield Problem(item.path, "missing", "the annotations name this picture, which is not there")
        return
    try:
        height, width = read_image(item.path, whole=True).shape[:2]
    except ImageError as error:
        yield Problem(item.path, "unreadable", error.reason)
        return
    digest = hashlib.sha256(item.path.read_bytes()).digest()
    if digest in first_with:
        yield Problem(item.path, "same-picture", f"the same file as {first_with[digest]}, byte for byte")
    else:
        first_with[digest] = item.path
    beyond = np.maximum(-item.boxes[:, :2], item.boxes[:, 2:] - np.array([width, height])).max(1, initial=-np.inf)
    for row in np.flatnonzero((beyond > EDGE) & (np.abs(item.boxes) <= MAX_PX).all(1)).tolist():
        reason = f"face {row + 1} ({_numbers(item, row)}) lies outside the {width} x {height} picture"
        yield Problem(item.path, "outside", f"{reason} by {beyond[row]:.1f} px")


def _box_problems(item: LabelledImage) -> Iterator[Problem]:
    numbers = (np.abs(item.boxes) <= MAX_PX).all(1)
    for row in np.flatnonzero(~numbers).tolist():
        reason = f"expected finite numbers within {MAX_PX:,.0f}"
        yield Problem(item.path, "no-number", f"face {row + 1} ({_numbers(item, row)}): {reason}")
    for row in np.flatnonzero(numbers & without_area(item.boxes)).tolist():
        yield Problem(item.path, "empty", f"face {row + 1} ({_numbers(item, row)}) has no width or no height")
    seen: dict[bytes, int] = {}
    for row, box in enumerate(item.boxes):
        first = seen.setdefault(box.tobytes(), row)
        if first != row:
            yield Problem(
                item.path, "duplicate-box", f"face {row + 1} ({_numbers(item, row)}) is face {first + 1} again"
            )


def _numbers(item: LabelledImage, row: int) -> str:
    return " ".join(f"{value:g}" for value in item.boxes[row])
