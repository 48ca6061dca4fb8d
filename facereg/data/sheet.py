"""Many labelled pictures on one: to see at a glance whether boxes sit on faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.drawing import draw_faces
from facereg.errors import ContractError, ImageError
from facereg.geometry import resize
from facereg.images import read_image
from facereg.types import Faces, FloatArray, Image

GAP = 4  # px between pictures
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
    if not items or columns < 1 or side < 16:
        raise ContractError(
            f"expected a picture, a column and 16 px a side or more, got {len(items)}, {columns} and {side}"
        )
    rows = -(-len(items) // columns)
    columns = min(columns, len(items))
    step = side + GAP
    sheet = np.full((rows * step + GAP, columns * step + GAP, 3), 255, np.uint8)
    for place, item in enumerate(items):
        try:
            cell = _fitted(item, side)
        except ImageError as error:
            failed(error)
            cell = np.full((side, side, 3), GREY, np.uint8)
        top = GAP + place // columns * step + (side - cell.shape[0]) // 2
        left = GAP + place % columns * step + (side - cell.shape[1]) // 2
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return sheet


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
