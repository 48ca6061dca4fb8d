"""Many labelled pictures on one: to see at a glance whether boxes sit on faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.drawing import POINTS, draw_faces, draw_points
from facereg.errors import ContractError, ImageError
from facereg.geometry import resize
from facereg.images import read_image
from facereg.pipeline.points import FacePoints
from facereg.types import Faces, FloatArray, Image

GAP = 4  # px between pictures
LEAST_SIDE = 16  # px of a picture's square
AROUND = 0.4  # of the longer side of what a close-up shows, shown on each side of it
GREY = 128  # of the place of a picture that cannot be read


def _refuse(error: ImageError) -> None:
    raise error


def contact_sheet(
    items: Sequence[LabelledImage],
    *,
    columns: int = 6,
    side: int = 240,
    failed: Callable[[ImageError], object] = _refuse,
) -> Image:
    """Return the pictures in rows, their boxes and points drawn: green, and red for ignored faces.

    Args:
        columns: pictures in a row.
        side: px of the square that each picture is fitted into.
        failed: called with what is wrong with each picture that cannot be read, whose place is a grey square; by
            default it is raised.
    Raises:
        ContractError: if there is no picture, or columns or side are too small.
        ImageError: if a picture cannot be read.
    """
    if not items or columns < 1 or side < LEAST_SIDE:
        raise ContractError(
            f"expected a picture, a column and {LEAST_SIDE} px a side or more, got {len(items)}, {columns} and {side}"
        )
    cells = list[Image]()
    for item in items:
        try:
            cells.append(_fitted(item, side))
        except ImageError as error:
            failed(error)
            cells.append(np.full((side, side, 3), GREY, np.uint8))
    return in_rows(cells, columns=columns, side=side)


def in_rows(cells: Sequence[Image], *, columns: int = 6, side: int = 240) -> Image:
    """Return pictures of at most `side` px a side in rows, each in the middle of its square; white where none is."""
    columns = max(1, min(columns, len(cells)))
    step = side + GAP
    sheet = np.full((max(1, -(-len(cells) // columns)) * step + GAP, columns * step + GAP, 3), 255, np.uint8)
    for place, cell in enumerate(cells):
        top = GAP + place // columns * step + (side - cell.shape[0]) // 2
        left = GAP + place % columns * step + (side - cell.shape[1]) // 2
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return sheet


def faces_close_up(image: Image, faces: Faces, found: FacePoints, *, side: int) -> list[Image]:
    """Return each face of a picture close up, its points drawn; the box alone of one that the aligner refused."""
    return [
        close_up(image, face.box.reshape(2, 2) if reason else points, ((points, POINTS),), side=side)
        for face, points, reason in zip(faces, found.points, found.refused, strict=True)
    ]


def close_up(image: Image, about: FloatArray, drawn: Sequence[tuple[FloatArray, str]], *, side: int) -> Image:
    """Return the part of a picture about some points, its longer side `side` px, with points in colours drawn on it.

    Args:
        about: (N, 2) px, what is shown with a margin.
        drawn: points (P, 2) px, each with a colour as `#d62728`; those that are NaN are left out.
    """
    low, high = about.min(0), about.max(0)
    margin = AROUND * float((high - low).max())
    first = np.clip(np.floor(low - margin), 0, np.array(image.shape[1::-1]) - 1).astype(int)
    last = np.maximum(np.ceil(high + margin).astype(int), first) + 1
    part = image[first[1] : last[1], first[0] : last[0]]
    larger = resize(part, side / max(part.shape[:2]))
    pixels = larger.pixels
    for points, colour in drawn:
        if np.isfinite(points).all():
            pixels = draw_points(pixels, larger.points_there(points - first.astype(np.float32)), colour)
    return pixels


def _fitted(item: LabelledImage, side: int) -> Image:
    """Return the picture at most `side` px wide and high, drawn at that size so that lines stay visible."""
    image = read_image(item.path, whole=True)
    fitted = resize(image, side / max(image.shape[:2]))
    shown = (item.boxes[:, 2:] > item.boxes[:, :2]).all(1)
    boxes = fitted.points_there(item.boxes[shown].reshape(-1, 2, 2)).reshape(-1, 4)
    small = draw_faces(fitted.pixels, _faces(boxes), known=(~item.ignored[shown]).tolist())
    points = fitted.points_there(item.points[shown][np.isfinite(item.points[shown]).all((1, 2))])
    for x, y in points.reshape(-1, 2):
        cv2.circle(small, (round(float(x)), round(float(y))), 1, (255, 220, 0), -1)
    return small


def _faces(boxes: FloatArray) -> Faces:
    return Faces(boxes, np.ones(len(boxes), np.float32))
