"""Pictures of any sizes as few canvases, and crops of them, without a loop over pixels.

Every level of every picture's pyramid is laid on shared canvases, so that P-Net runs a handful of times
whatever the sizes are. A fourth channel tells the network where a picture ends, which makes a level's
scores those of the level alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facereg.types import FloatArray, Image, IntArray

CELL = 12  # P-Net's window
STRIDE = 2
GAP = 2  # columns between pictures, so that no window of conv1 touches two
Sums = npt.NDArray[np.complex128]
IntArray32 = npt.NDArray[np.int32]


def pyramid_scales(height: int, width: int, *, min_face: float, factor: float) -> list[float]:
    """Return the scales at which a face of `min_face` px and over fills P-Net's window at one of them."""
    scale = CELL / min_face
    scales = []
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale *= factor
    return scales


def summed_area(image: Image) -> Sums:
    """Return (H + 1, W + 1) sums of all pixels above and to the left.

    An element is four int32 (R, G, B, unused) read as one 16-byte number, which numpy gathers several times
    faster than rows of three. A large sum wraps; differences hold.
    """
    sums = cv2.integral(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA))
    return np.ascontiguousarray(sums, np.int32).view(np.complex128)[..., 0]


def _channels(sums: Sums) -> IntArray32:
    return sums.view(np.int32).reshape(*sums.shape, 4)


def average_windows(sums: Sums, tops: IntArray, bottoms: IntArray, lefts: IntArray, rights: IntArray) -> FloatArray:
    """Return (N, 3, h, w) means of the windows between tops and bottoms (N, h) and lefts and rights (N, w)."""
    width, flat = sums.shape[1], sums.ravel()

    def corner(rows: IntArray, columns: IntArray) -> IntArray32:
        return _channels(flat.take(rows[:, :, None] * width + columns[:, None, :]))

    totals = corner(bottoms, rights)
    totals -= corner(tops, rights)
    totals -= corner(bottoms, lefts)
    totals += corner(tops, lefts)
    areas = (bottoms - tops)[:, None, :, None] * (rights - lefts)[:, None, None, :]
    return (totals[..., :3].transpose(0, 3, 1, 2) / areas).astype(np.float32)


def window_edges(start: IntArray, length: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Cut `length` pixels from `start` into `count` windows that may overlap by one pixel (area interpolation).

    Window i covers floor(i * length / count) up to ceil((i + 1) * length / count).
    """
    steps = np.arange(count)
    first = steps * length[..., None] // count
    last = -(-(steps + 1) * length[..., None] // count)
    return start[..., None] + first, start[..., None] + last


def resize_level(sums: Sums, height: int, width: int) -> FloatArray:
    """Return the picture at height x width, (3, height, width) float32, by area interpolation."""
    full_height, full_width = sums.shape[0] - 1, sums.shape[1] - 1
    tops, bottoms = window_edges(np.array(0), np.array(full_height), height)
    lefts, rights = window_edges(np.array(0), np.array(full_width), width)
    rows = _channels(sums.take(bottoms, 0)) - _channels(sums.take(tops, 0))  # (h, W + 1, 4)
    packed: Sums = np.ascontiguousarray(rows).view(np.complex128)[..., 0]
    totals = _channels(packed.take(rights, 1)) - _channels(packed.take(lefts, 1))
    areas = (bottoms - tops)[:, None] * (rights - lefts)[None, :]
    return (totals[..., :3].transpose(2, 0, 1) / areas).astype(np.float32)


def crop_squares(sums: Sums, boxes: FloatArray, size: int) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Cut boxes out of a picture and bring each to size x size; what lies outside the picture is left off.

    Args:
        sums: of `summed_area`.
        boxes: (N, 4) x1 y1 x2 y2, one-based and inclusive as in the authors' Matlab code.
    Returns:
        (M, 3, size, size) float32 crops and (N,) bool: which boxes gave one.
    """
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    corners = boxes.astype(np.int64)  # towards zero
    left, top = np.maximum(corners[:, 0], 1) - 1, np.maximum(corners[:, 1], 1) - 1
    right, bottom = np.minimum(corners[:, 2], width), np.minimum(corners[:, 3], height)
    usable = (right > left) & (bottom > top)
    tops, bottoms = window_edges(top[usable], (bottom - top)[usable], size)
    lefts, rights = window_edges(left[usable], (right - left)[usable], size)
    return average_windows(sums, tops, bottoms, lefts, rights), usable


@dataclass(frozen=True, slots=True)
class Level:
    """One scale of one picture and where it lies on its canvas."""

    image: int
    scale: float
    height: int
    width: int
    canvas: int = 0
    top: int = 0
    left: int = 0

    @property
    def cells(self) -> tuple[slice, slice]:
        """The rows and columns of the score map that are this level's."""
        rows, columns = -(-(self.height - 2) // 2) - 4, -(-(self.width - 2) // 2) - 4
        y, x = self.top // STRIDE, self.left // STRIDE
        return slice(y, y + max(rows, 0)), slice(x, x + max(columns, 0))


def plan_levels(shapes: Sequence[tuple[int, int]], *, min_face: float, factor: float) -> list[Level]:
    """Return the levels of pictures of (height, width)."""
    return [
        Level(index, scale, int(height * scale + 1), int(width * scale + 1))
        for index, (height, width) in enumerate(shapes)
        for scale in pyramid_scales(height, width, min_face=min_face, factor=factor)
    ]


def pack(levels: Sequence[Level], *, area: int) -> tuple[list[Level], list[tuple[int, int]]]:
    """Place levels on canvases in shelves, tallest first; a canvas takes about `area` pixels.

    Returns:
        The placed levels and each canvas's (height, width). Tops and lefts are even: P-Net's stride is 2.
    """
    placed: list[Level] = []
    canvases: list[tuple[int, int]] = []
    waiting = sorted(levels, key=lambda level: (-level.height, -level.width, level.image))
    while waiting:
        width = max(waiting[0].width, *(level.width for level in waiting), round(area**0.5))
        limit = max(waiting[0].height, area // width)
        used = shelf_top = shelf_height = left = 0
        rest = []
        for level in waiting:
            if left and left + level.width > width:
                shelf_top, left, shelf_height = shelf_top + _even(shelf_height + GAP), 0, 0
            if shelf_top + level.height > limit:
                rest.append(level)
                continue
            placed.append(Level(level.image, level.scale, level.height, level.width, len(canvases), shelf_top, left))
            shelf_height = max(shelf_height, level.height)
            left += _even(level.width + GAP)
            used = max(used, left - GAP)
        height = max(level.top + level.height for level in placed if level.canvas == len(canvases))
        canvases.append((height, used))
        waiting = rest
    return placed, canvases


def _even(length: int) -> int:
    return length + length % 2


def draw_canvases(
    sums: Sequence[Sums], levels: Sequence[Level], canvases: Sequence[tuple[int, int]]
) -> Iterator[tuple[FloatArray, list[Level]]]:
    """Yield each canvas, (4, H, W) float32, with its levels; one at a time, to bound memory."""
    for index, (height, width) in enumerate(canvases):
        # never smaller than one window of P-Net, or the network would have no output
        canvas = np.zeros((4, max(height, CELL), max(width, CELL)), np.float32)
        canvas[3] = 1.0
        mine = [level for level in levels if level.canvas == index]
        for level in mine:
            place = canvas[:, level.top : level.top + level.height, level.left : level.left + level.width]
            place[:3] = resize_level(sums[level.image], level.height, level.width)
            place[3] = 0.0
        yield canvas, mine
