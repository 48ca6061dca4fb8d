"""Anchor boxes: those published for faces, and fitting them to a data set."""

from __future__ import annotations

import numpy as np

from facereg import ContractError, DatasetError, FloatArray

Anchors = tuple[tuple[tuple[float, float], ...], ...]  # per stride, three (width, height) in px
FACE_ANCHORS: Anchors = (  # YOLO5Face (Qi et al. 2021), fitted to WIDER FACE at 640 px
    ((4, 5), (8, 10), (13, 16)),
    ((23, 29), (43, 55), (73, 105)),
    ((146, 217), (231, 300), (335, 433)),
)
MATCHED_RATIO = 4.0  # largest ratio of sides at which an anchor learns a box (YOLOv5)


def parse_anchors(text: str) -> Anchors:
    """Read nine `width,height` pairs, smallest first, as `facereg yolov5-anchors` prints them.

    Raises:
        ContractError: if there are not nine positive pairs.
    """
    try:
        pairs = [tuple(float(side) for side in pair.split(",")) for pair in text.split()]
    except ValueError:
        pairs = []
    if len(pairs) != 9 or any(len(pair) != 2 or min(pair) <= 0 for pair in pairs):
        raise ContractError(f"anchors: expected nine pairs such as '4,5 8,10', smallest first, got {text!r}")
    flat = [(pair[0], pair[1]) for pair in pairs]
    return tuple(tuple(flat[start : start + 3]) for start in (0, 3, 6))


def shape_overlap(sides: FloatArray, anchors: FloatArray) -> FloatArray:
    """Return the (N, A) IoU of boxes (N, 2) and anchors (A, 2), all laid on one centre."""
    inside = np.minimum(sides[:, None], anchors[None]).prod(2)
    overlap: FloatArray = inside / (sides.prod(1)[:, None] + anchors.prod(1)[None] - inside)
    return overlap


def best_recall(sides: FloatArray, anchors: FloatArray, *, ratio: float = MATCHED_RATIO) -> float:
    """Return the share of boxes (N, 2) that some anchor (A, 2) may learn: both sides within `ratio` of it."""
    quotient = sides[:, None] / anchors[None]  # (N, A, 2)
    worst = np.maximum(quotient, 1 / quotient).max(2)
    return float((worst.min(1) < ratio).mean())


def fit_anchors(sides: FloatArray, *, count: int = 9, rounds: int = 300, seed: int = 0) -> FloatArray:
    """Return `count` anchors (count, 2), smallest area first, by k-means under 1 - IoU; centres are medians.

    Args:
        sides: (N, 2) widths and heights in px of the letterbox.
    Raises:
        DatasetError: if there are fewer different boxes than anchors.
    Source: Redmon and Farhadi 2017, YOLO9000, section 2 (dimension clusters).
    """
    different = np.unique(sides, axis=0)
    if len(different) < count:
        raise DatasetError(f"boxes: expected at least {count} different sizes to fit anchors, got {len(different)}")
    order = different[np.argsort(different.prod(1))]
    # evenly among the sizes there are, so that the first centres are neither equal nor all small
    anchors = order[np.linspace(0, len(order) - 1, count).round().astype(int)].astype(np.float32)
    rng = np.random.default_rng(seed)
    nearest = np.full(len(sides), -1)
    for _ in range(rounds):
        closest = shape_overlap(sides, anchors).argmax(1)
        if (closest == nearest).all():
            break
        nearest = closest
        for index in range(count):
            mine = sides[nearest == index]
            anchors[index] = np.median(mine, 0) if len(mine) else sides[rng.integers(len(sides))]
    fitted: FloatArray = anchors[np.argsort(anchors.prod(1))]
    return fitted
