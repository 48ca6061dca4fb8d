"""Which cells and anchors learn which face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facereg_yolov5.anchors import MATCHED_RATIO

MOVES = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))  # the cell of the centre, and its neighbours in x and y


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """P places of one map, each with a face to learn; all (P,) int64."""

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    face: Tensor  # row of the faces given


def assign(boxes: Tensor, image: Tensor, anchors: Tensor, *, stride: int, height: int, width: int) -> Assigned:
    """Give each face to every anchor near its shape, in its own cell and the two cells nearest to its centre.

    Args:
        boxes: (T, 4) x1 y1 x2 y2 in px of the input.
        image: (T,) int64, which picture each belongs to.
        anchors: (A, 2) px.
        height, width: of the map.
    Source: YOLOv5: sides within a ratio of 4, and neighbours within 0.5 cells of the centre.
    """
    quotient = (boxes[:, 2:] - boxes[:, :2])[:, None] / anchors[None]  # (T, A, 2)
    fits = torch.maximum(quotient, 1 / quotient).amax(2) < MATCHED_RATIO  # (T, A)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / stride  # (T, 2) cells
    last = torch.tensor([width - 1, height - 1], device=boxes.device)
    cell = torch.minimum(centre.floor().long().clamp(min=0), last)
    share = centre - cell
    before = (share < 0.5) & (centre > 1)
    after = (share > 0.5) & (centre < last)
    taken = torch.stack([torch.ones_like(before[:, 0]), *before.unbind(1), *after.unbind(1)], 1)  # (T, 5)
    face, anchor, move = (fits[:, :, None] & taken[:, None]).nonzero(as_tuple=True)
    place = cell[face] + torch.tensor(MOVES, device=boxes.device)[move]
    return Assigned(image[face], anchor, place[:, 1], place[:, 0], face)
