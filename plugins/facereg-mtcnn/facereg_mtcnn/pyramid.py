"""Pictures of any sizes as few canvases, and crops of them, without a loop over pixels.

Every level of every picture's pyramid is laid on shared canvases, so that P-Net runs a handful of times
whatever the sizes are. A fourth channel tells the network where a picture ends, which makes a level's
scores those of the level alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from facereg import FloatArray, Image, IntArray

CELL = 12  # P-Net's window
STRIDE = 2
LEAST_STRIP = 64  # rows; a tenth of a strip or less is then shared with the next
SUMMED_AREA = 2_000_000  # pixels summed at once: a whole photograph's fourth channel and copy would take 20 bytes each
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
    height, width = image.shape[:2]
    rows = max(1, SUMMED_AREA // width)
    if rows >= height:
        whole = cv2.integral(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA))
        return np.ascontiguousarray(whole, np.int32).view(np.complex128)[..., 0]
    sums = np.empty((height + 1, width + 1, 4), np.int32)
    sums[0] = 0
    for top in range(0, height, rows):
        strip = cv2.integral(cv2.cvtColor(image[top : top + rows], cv2.COLOR_RGB2RGBA))[1:]
        np.add(strip, sums[top], out=sums[top + 1 : top + 1 + len(strip)])
    return sums.view(np.complex128)[..., 0]


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
    means = totals[..., :3].transpose(0, 3, 1, 2).astype(np.float32, order="C")
    means /= ((bottoms - tops)[:, None, :, None] * (rights - lefts)[:, None, None, :]).astype(np.float32)
    return means


def window_edges(start: IntArray, length: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Cut `length` pixels from `start` into `count` windows that may overlap by one pixel (area interpolation).

    Window i covers floor(i * length / count) up to ceil((i + 1) * length / count).
    """
    steps = np.arange(count)
    first = steps * length[..., None] // count
    last = -(-(steps + 1) * length[..., None] // count)
    return start[..., None] + first, start[..., None] + last


def resize_level(sums: Sums, height: int, width: int, *, rows: slice = slice(None)) -> FloatArray:
    """Return rows of the picture at height x width by area interpolation, (3, rows, width) float32."""
    full_height, full_width = sums.shape[0] - 1, sums.shape[1] - 1
    tops, bottoms = (edge[rows] for edge in window_edges(np.array(0), np.array(full_height), height))
    lefts, rights = window_edges(np.array(0), np.array(full_width), width)
    bands = _channels(sums.take(bottoms, 0))  # (h, W + 1, 4)
    bands -= _channels(sums.take(tops, 0))
    packed: Sums = bands.reshape(len(tops), -1).view(np.complex128)
    totals = _channels(packed.take(rights, 1))
    totals -= _channels(packed.take(lefts, 1))
    means = totals[..., :3].transpose(2, 0, 1).astype(np.float32, order="C")
    means /= ((bottoms - tops)[:, None] * (rights - lefts)[None, :]).astype(np.float32)
    return means


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
    """A strip of one scale of one picture, mostly all of it, and where it lies on its canvas.

    `height` and `width` are the strip's own; it starts at row `first` of the `whole` rows of the scale.
    """

    image: int
    scale: float
    height: int
    width: int
    first: int
    whole: int
    canvas: int = 0
    top: int = 0
    left: int = 0

    @property
    def cells(self) -> tuple[slice, slice]:
        """The rows and columns of the score map that are this strip's."""
        rows, columns = _cells(self.height), _cells(self.width)
        y, x = self.top // STRIDE, self.left // STRIDE
        return slice(y, y + max(rows, 0)), slice(x, x + max(columns, 0))


def _cells(length: int) -> int:
    return -(-(length - 2) // 2) - 4


def plan_levels(shapes: Sequence[tuple[int, int]], *, min_face: float, factor: float, area: int) -> list[Level]:
    """Return the levels of pictures of (height, width), cut into strips of at most about `area` pixels.

    Neighbouring strips share the rows that a window needs, so that together they have the cells of the whole level.
    """
    levels = []
    for index, (full_height, full_width) in enumerate(shapes):
        for scale in pyramid_scales(full_height, full_width, min_face=min_face, factor=factor):
            height, width = int(full_height * scale + 1), int(full_width * scale + 1)
            most = max(LEAST_STRIP, area // width // STRIDE * STRIDE)
            levels += [
                Level(index, scale, min(most, height - first), width, first, height)
                for first in range(0, max(1, STRIDE * _cells(height)), most - CELL + STRIDE)
            ]
    return levels


def pack(levels: Sequence[Level], *, area: int) -> tuple[list[Level], list[tuple[int, int]]]:
    """Place levels on canvases in shelves, tallest first; a canvas takes about `area` pixels.

    Returns:
        The placed levels and each canvas's (height, width). Tops and lefts are even: P-Net's stride is 2.
    """
    placed: list[Level] = []
    canvases: list[tuple[int, int]] = []
    waiting = sorted(levels, key=lambda level: (-level.height, -level.width, level.image))
    while waiting:
        least = waiting[0].width
        beside = _even(least + GAP) + max((level.width for level in waiting[1:4]), default=0)
        widths = {least, *(width for width in (beside, round(area**0.5)) if least < width <= area / waiting[0].height)}
        tries = [_shelve(waiting, width, area) for width in sorted(widths)]
        places, size = max(tries, key=lambda tried: _filled(waiting, *tried))
        placed += [replace(waiting[row], canvas=len(canvases), top=y, left=x) for row, (y, x) in places.items()]
        canvases.append(size)
        waiting = [level for row, level in enumerate(waiting) if row not in places]
    return placed, canvases


Places = dict[int, tuple[int, int]]  # row of the level: its top and left


def _shelve(levels: Sequence[Level], width: int, area: int) -> tuple[Places, tuple[int, int]]:
    """Lay levels, tallest first, each on the first shelf with room; return the places and the canvas's size."""
    limit = max(levels[0].height, area // width)
    shelves: list[list[int]] = []  # top and next free column
    places: Places = {}
    floor = height = used = 0
    for row, level in enumerate(levels):
        shelf = next((shelf for shelf in shelves if shelf[1] + level.width <= width), None)
        if shelf is None:
            if floor + level.height > limit or level.width > width:
                continue
            shelf = [floor, 0]
            shelves.append(shelf)
            height, floor = floor + level.height, floor + _even(level.height + GAP)
        places[row] = (shelf[0], shelf[1])
        used = max(used, shelf[1] + level.width)
        shelf[1] += _even(level.width + GAP)
    return places, (height, used)


def _filled(levels: Sequence[Level], places: Places, size: tuple[int, int]) -> float:
    """Return the share of a canvas that levels cover."""
    return sum(levels[row].height * levels[row].width for row in places) / (size[0] * size[1])


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
            rows = slice(level.first, level.first + level.height)
            place[:3] = resize_level(sums[level.image], level.whole, level.width, rows=rows)
            place[3] = 0.0
        yield canvas, mine
