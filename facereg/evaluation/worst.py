"""The pictures on which a detector does worst, drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.drawing import draw_faces
from facereg.errors import ImageError
from facereg.evaluation.detection import Outcome, match_faces
from facereg.images import read_image, write_image
from facereg.types import Faces, Image

PICTURES = 20  # pictures drawn


def worst_pictures(items: Sequence[LabelledImage], found: Sequence[Faces], *, most: int = PICTURES) -> list[int]:
    """Return the rows with most missed faces and false alarms together, worst first; rows without any are left out."""
    outcomes = [match_faces(item, faces) for item, faces in zip(items, found, strict=True)]
    mistakes = np.array([outcome.missed.sum() + outcome.false.sum() for outcome in outcomes], np.int64)
    order = np.argsort(-mistakes, kind="stable")[:most]
    return [int(row) for row in order if mistakes[row]]


def draw_worst(
    folder: Path, items: Sequence[LabelledImage], found: Sequence[Faces], *, most: int = PICTURES
) -> list[Path]:
    """Draw the worst pictures into a folder, `01-NAME.jpg` the worst, and return their files.

    Found faces are green; false alarms, with their score, and missed faces are red. A picture that cannot be read in
    its own size is passed over.

    Raises:
        ImageError: if the folder cannot be written.
    """

    def drawn(row: int, image: Image) -> Image:
        return _draw(image, items[row], found[row], match_faces(items[row], found[row]))

    return draw_ranked(
        folder, [item.path for item in items], worst_pictures(items, found, most=len(items)), drawn, most=most
    )


def draw_ranked(
    folder: Path, paths: Sequence[Path], order: Sequence[int], draw: Callable[[int, Image], Image], *, most: int
) -> list[Path]:
    """Draw the first pictures of an order into a folder, `01-NAME.jpg` the first, and return their files.

    A picture that cannot be read in its own size is passed over.

    Args:
        order: rows of `paths`.
        draw: called with a row and its picture.
    Raises:
        ImageError: if the folder cannot be written.
    """
    drawn = list[Path]()
    for row in order:
        if len(drawn) == most:
            break
        try:
            image = read_image(paths[row], whole=True)
        except ImageError:  # whoever detected in it has said so
            continue
        path = folder / f"{len(drawn) + 1:02}-{paths[row].stem[:60]}.jpg"  # no file has a longer name than 255 bytes
        write_image(path, draw(row, image))
        drawn.append(path)
    return drawn


def _draw(image: Image, item: LabelledImage, faces: Faces, outcome: Outcome) -> Image:
    shown = faces[outcome.judged]
    false = outcome.false[outcome.judged]
    missed = item.boxes[outcome.missed]
    words = np.where(false, "false ", "")
    labels = [f"{word}{score:.2f}" for word, score in zip(words, shown.scores, strict=True)]
    boxes = np.concatenate([shown.boxes, missed])
    scores = np.concatenate([shown.scores, np.full(len(missed), shown.scores.min(initial=0.0), np.float32)])
    known = [*(~false).tolist(), *[False] * len(missed)]
    return draw_faces(image, Faces(boxes, scores), [*labels, *["missed"] * len(missed)], known)
