"""What a batch costs: boxes by CIoU, objectness by its IoU target, landmarks by the wing loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from facereg_yolov5.assignment import Assigned, assign
from facereg_yolov5.networks import STRIDES

BALANCE = (4.0, 1.0, 0.4)  # of objectness at strides 8, 16, 32 (YOLOv5)
BOX, OBJECTNESS, LANDMARK = 0.05, 1.0, 0.005  # gains (YOLO5Face); that of landmarks is a setting
WING, CURVATURE = 10.0, 2.0  # cells; wing loss (Feng et al. 2018), as YOLO5Face sets it


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The faces of a batch, in px of the input.

    Args:
        boxes: (T, 4) float32.
        points: (T, 5, 2) float32, NaN where unknown.
        image: (T,) int64, which picture each belongs to.
        ignored: (U, 4) float32; neither faces to find nor background.
        ignored_image: (U,) int64.
    """

    boxes: Tensor
    points: Tensor
    image: Tensor
    ignored: Tensor
    ignored_image: Tensor


def losses(
    maps: Sequence[Tensor], anchors: Tensor, labels: Labels, *, landmark_gain: float = LANDMARK
) -> dict[str, Tensor]:
    """Return `loss`, the weighted sum, and its parts `box`, `objectness` and `landmark`, before their gains.

    Args:
        maps: (B, 3, h, w, outputs) raw, for each stride.
        anchors: (3, 3, 2) px.
    """
    box, objectness, landmark = (maps[0].new_zeros((), dtype=torch.float32) for _ in range(3))
    for raw, anchor, stride, balance in zip(maps, anchors, STRIDES, BALANCE, strict=True):
        height, width = raw.shape[2:4]
        mine = assign(labels.boxes, labels.image, anchor, stride=stride, height=height, width=width)
        chosen = raw[mine.image, mine.anchor, mine.row, mine.column].float()  # (P, outputs)
        sides = anchor[mine.anchor] / stride  # (P, 2) cells
        corner = torch.stack([mine.column, mine.row], 1)  # (P, 2)
        overlap = box_overlaps(chosen, sides, labels.boxes[mine.face] / stride - corner.repeat(1, 2))
        box = box + _mean(1 - overlap)
        objectness = objectness + balance * _objectness(
            raw[..., 4].float().contiguous(), mine, overlap.detach(), labels, stride
        )
        points = labels.points[mine.face] / stride - corner[:, None]  # (P, points, 2) cells
        landmark = landmark + wing_loss(chosen[:, 5:-1].reshape(points.shape) * sides[:, None], points)
    loss = BOX * box + OBJECTNESS * objectness + landmark_gain * landmark
    return {"loss": loss, "box": box, "objectness": objectness, "landmark": landmark}


def box_overlaps(chosen: Tensor, sides: Tensor, target: Tensor) -> Tensor:
    """Return the complete IoU (P,) of raw boxes (P, 4 or more) and targets (P, 4), both from the cell's corner."""
    centre = 2 * chosen[:, :2].sigmoid() - 0.5
    half = (2 * chosen[:, 2:4].sigmoid()) ** 2 * sides / 2
    cost: Tensor = complete_box_iou_loss(torch.cat([centre - half, centre + half], 1), target, reduction="none")
    return 1 - cost


def _objectness(raw: Tensor, mine: Assigned, overlap: Tensor, labels: Labels, stride: int) -> Tensor:
    """Return the mean binary cross-entropy of (B, 3, h, w) logits; places in ignored boxes do not count."""
    target = torch.zeros_like(raw)
    _, anchors, height, width = raw.shape
    place = ((mine.image * anchors + mine.anchor) * height + mine.row) * width + mine.column
    # where two faces share a place, the better box sets the target: the same on every device
    target.view(-1).scatter_reduce_(0, place, overlap.clamp(min=0), "amax")
    taken = torch.zeros_like(raw, dtype=torch.bool)
    taken.view(-1)[place] = True
    counts = taken | ~covered(labels, raw, stride)[:, None]
    each = F.binary_cross_entropy_with_logits(raw, target, reduction="none")
    return (each * counts).sum() / counts.sum().clamp(min=1)


def covered(labels: Labels, raw: Tensor, stride: int) -> Tensor:
    """Return (B, h, w) bool for a map (B, 3, h, w): whether the middle of a cell lies in an ignored box."""
    batch, _, height, width = raw.shape
    x = (torch.arange(width, device=raw.device) + 0.5) * stride
    y = (torch.arange(height, device=raw.device) + 0.5) * stride
    x1, y1, x2, y2 = labels.ignored.unbind(1)
    inside = ((y >= y1[:, None]) & (y <= y2[:, None]))[:, :, None] & ((x >= x1[:, None]) & (x <= x2[:, None]))[:, None]
    hits = raw.new_zeros((batch, height, width))
    return hits.index_add_(0, labels.ignored_image, inside.to(hits.dtype)) > 0  # inside: (U, h, w)


def wing_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean wing loss of points (P, points, 2); coordinates whose target is NaN do not count."""
    known = ~target.isnan()
    distance = (predicted[known] - target[known]).abs()  # chosen first: NaN * 0 is NaN going back
    beyond = WING - WING * math.log(1 + WING / CURVATURE)
    return _mean(torch.where(distance < WING, WING * torch.log(1 + distance / CURVATURE), distance - beyond))


def _mean(values: Tensor) -> Tensor:
    return values.mean() if len(values) else values.sum()
