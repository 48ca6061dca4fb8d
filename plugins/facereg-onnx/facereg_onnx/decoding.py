"""What the heads of published detectors mean, each kind by a function from published layouts.

Each takes the outputs for one picture, (A, C) or (C, A) float32, and the sides of the picture that went in, px, and
gives every anchor's box (N, 4) as x1 y1 x2 y2, score (N,) and points (N, 5, 2) in px of that picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from facereg import ContractError, FloatArray

STRIDES = (8, 16, 32)  # px between the cells of three heads
PRIORS = ((16, 32), (64, 128), (256, 512))  # px, RetinaFace's anchors at each stride
VARIANCES = (0.1, 0.2)  # of SSD (Liu et al. 2016), which RetinaFace's offsets are divided by
Decoded: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
Decoder: TypeAlias = Callable[[Sequence[FloatArray], int, int], Decoded]


def yunet(heads: Sequence[FloatArray], height: int, width: int) -> Decoded:
    """Decode classes, objects, boxes and points of three strides, one anchor a cell (Wu et al. 2023)."""
    parts = []
    for stride, classes, objects, offsets, points in zip(
        STRIDES, heads[:3], heads[3:6], heads[6:9], heads[9:], strict=True
    ):
        cells = _cells(height, width, stride)
        scores = np.sqrt(np.clip(classes[:, 0] * objects[:, 0], 0, 1))
        centres, halves = (cells + offsets[:, :2]) * stride, np.exp(offsets[:, 2:]) * stride / 2
        boxes = np.concatenate([centres - halves, centres + halves], 1)
        parts.append((boxes, scores, (cells[:, None] + points.reshape(-1, 5, 2)) * stride))
    return _joined(parts)


def scrfd(heads: Sequence[FloatArray], height: int, width: int) -> Decoded:
    """Decode scores, distances and points of three strides, anchors of a cell side by side (Guo et al. 2021).

    Distances are those from an anchor to the four sides of the box, in strides. Heads may come in any order: widths
    tell them apart, and the number of rows tells the stride.
    """
    scores, distances, points = (
        sorted((head for head in heads if head.shape[1] == n), key=len, reverse=True) for n in (1, 4, 10)
    )
    if not len(scores) == len(distances) == len(points) == len(STRIDES):
        raise _unexpected("three outputs of each width of 1, 4 and 10", heads)
    parts = []
    for stride, score, distance, point in zip(STRIDES, scores, distances, points, strict=True):
        cells = _cells(height, width, stride) * stride
        anchors = cells.repeat(len(score) // len(cells), 0)  # (A, 2)
        boxes = np.concatenate([anchors - distance[:, :2] * stride, anchors + distance[:, 2:] * stride], 1)
        parts.append((boxes, score[:, 0], anchors[:, None] + point.reshape(-1, 5, 2) * stride))
    return _joined(parts)


def retinaface(heads: Sequence[FloatArray], height: int, width: int) -> Decoded:
    """Decode offsets, two classes and points by two square anchors a cell (Deng et al. 2019, arXiv:1905.00641).

    Outputs may come in any order: widths tell them apart.
    """
    by_width = {head.shape[1]: head for head in heads}
    if set(by_width) != {2, 4, 10}:
        raise _unexpected("outputs of widths 4, 2 and 10", heads)
    centres, sides = [], []
    for stride, both in zip(STRIDES, PRIORS, strict=True):
        cells = (_cells(height, width, stride) + 0.5) * stride
        centres.append(cells.repeat(len(both), 0))
        sides.append(np.tile(np.array(both, np.float32), len(cells)))
    centre, side = np.concatenate(centres), np.concatenate(sides)[:, None]  # (A, 2), (A, 1)
    near, large = VARIANCES
    middles = centre + by_width[4][:, :2] * near * side
    halves = side * np.exp(by_width[4][:, 2:] * large) / 2
    points = centre[:, None] + by_width[10].reshape(-1, 5, 2) * near * side[:, None]
    return np.concatenate([middles - halves, middles + halves], 1), by_width[2][:, 1], points


def yolov5_face(heads: Sequence[FloatArray], height: int, width: int) -> Decoded:
    """Decode rows of x y w h, object, five points, class, all decoded by the file (Qi et al. 2021)."""
    rows = _rows(heads, 16)
    return _corners(rows), rows[:, 4] * rows[:, 15], rows[:, 5:15].reshape(-1, 5, 2)


def yolov8_face(heads: Sequence[FloatArray], height: int, width: int) -> Decoded:
    """Decode rows, or columns, of x y w h, score, five points with how visible each is, all decoded by the file."""
    rows = _rows(heads, 20)
    return _corners(rows), rows[:, 4], rows[:, 5:].reshape(-1, 5, 3)[:, :, :2]


def _cells(height: int, width: int, stride: int) -> FloatArray:
    """Return x and y of each cell of a head, row by row, in cells: (N, 2)."""
    rows, columns = -(-height // stride), -(-width // stride)
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x, y], 1).astype(np.float32)


def _rows(heads: Sequence[FloatArray], width: int) -> FloatArray:
    """Return the one output with an anchor a row."""
    [head] = heads
    if width not in head.shape:
        raise _unexpected(f"anchors of {width} numbers", heads)
    return head if head.shape[1] == width else head.T


def _corners(rows: FloatArray) -> FloatArray:
    """Return the boxes of rows that begin with centre, width and height."""
    return np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)


def _joined(parts: Sequence[Decoded]) -> Decoded:
    boxes, scores, points = (np.concatenate(part) for part in zip(*parts, strict=True))
    return boxes, scores, points


def _unexpected(expected: str, heads: Sequence[FloatArray]) -> ContractError:
    return ContractError(f"expected {expected}, got {[head.shape for head in heads]}; is the file of another kind?")
