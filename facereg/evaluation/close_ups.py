"""Pictures that a face nearly fills: detectors made for crowds are known to miss them."""

from __future__ import annotations

import math

import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.errors import ContractError
from facereg.types import Image


def close_ups(
    item: LabelledImage, image: Image, *, share: float, least: float = 0.0
) -> list[tuple[LabelledImage, Image]]:
    """Cut a picture about each face, which fills `share` of its area, or more where the picture ends before.

    Args:
        item: the labels; ignored faces get no picture of their own, and in each the other faces are ignored ones.
        image: (H, W, 3) uint8, what is labelled.
        share: of the area, 0 to 1.
        least: px; faces less than this high are left out, as what is cut would be only a few pixels.
    Returns:
        The labels of each new picture, whose `path` is still that of the whole, and its pixels.
    Raises:
        ContractError: if `share` is out of range.
    """
    if not 0 < share < 1:
        raise ContractError(f"share: expected more than 0 and less than 1, got {share}")
    margin = (1 / math.sqrt(share) - 1) / 2  # of a face's side, on each of its two ends
    cut = []
    for row, (x1, y1, x2, y2) in enumerate(item.boxes.tolist()):
        if not is_cut(item, row, least):
            continue
        left, right = x1 - margin * (x2 - x1), x2 + margin * (x2 - x1)
        top, bottom = y1 - margin * (y2 - y1), y2 + margin * (y2 - y1)
        left, top = max(0, math.ceil(left)), max(0, math.ceil(top))
        part = image[top : max(top + 1, math.floor(bottom)), left : max(left + 1, math.floor(right))]
        ignored = np.ones(len(item.boxes), np.bool_)
        ignored[row] = False
        corner = np.array([left, top], np.float32)
        moved = LabelledImage(item.path, item.boxes - np.tile(corner, 2), ignored, item.points - corner)
        cut.append((moved, np.ascontiguousarray(part)))
    return cut


def is_cut(item: LabelledImage, row: int, least: float) -> bool:
    """Tell whether a face gets a picture of its own: it counts, and is at least so high."""
    x1, y1, x2, y2 = item.boxes[row].tolist()
    return not (item.ignored[row] or y2 - y1 < max(least, 1) or x2 - x1 < 1)
