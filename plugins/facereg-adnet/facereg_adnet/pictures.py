"""Pictures with points, and the crops that a step draws from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facereg import FloatArray, Image, Layout, crops_of_boxes, read_image, resize, transform_points, warp
from facereg.training import PointedImage, read_each
from facereg_adnet.plugin import MARGIN

# What an aligner takes for that box, from a detector's, lies so beside it: sides, and its centre's sigma and range. As
# measured on pictures with 68 points, with mtcnn, yolov5s-face and yunet.
BOX_SIDES = (0.88, 1.25)
BOX_LEFT, BOX_DOWN = 0.05, (-0.1, 0.1)
REACH = 1.2  # of that side, from the middle: what is kept of a picture


@dataclass(frozen=True, slots=True)
class Look:
    """How pictures are changed; shares are chances."""

    mirror: float = 0.5
    turn: float = 18.0  # degrees, sigma
    scale: float = 0.1  # sigma of the logarithm
    shift: float = 0.05  # sigma, of the box's longer side
    cover: float = 0.4  # a patch of noise over it
    blur: float = 0.3
    gamma: float = 0.2
    grey: float = 0.2
    background: float = 0.05  # a crop beside the face instead, from which to learn what is none


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A crop of a step.

    Args:
        pixels: (S, S, 3) uint8.
        points: (P, 2) px of the crop.
        face: False where the crop shows none, and has no points.
    """

    pixels: Image
    points: FloatArray
    face: bool


class Pictures:
    """Decoded pictures and their points: of each, what lies about its face, no larger than crops need it.

    Those that cannot be read are left out, see `read_each`.

    Args:
        known: the layout of the points.
        side: px of the crops.
    Raises:
        ImageError: if one cannot be read.
    """

    def __init__(self, items: Sequence[PointedImage], known: Layout, *, side: int) -> None:
        self.layout, self.side = known, side
        decode = lru_cache(1)(partial(read_image, whole=True))  # faces of one picture come one after another
        cuts = read_each(items, lambda item: _cut(decode(item.path), item.points, side))
        self.images = [pixels for pixels, _ in cuts]
        self.points = np.stack([points for _, points in cuts])  # (N, P, 2)
        self.boxes = np.concatenate([self.points.min(1), self.points.max(1)], 1)  # about all points

    def __len__(self) -> int:
        return len(self.images)

    def plain(self, row: int) -> Drawn:
        """Return the crop of the box about the points, as at inference."""
        side = self.side
        [matrix] = crops_of_boxes(self.boxes[row : row + 1], MARGIN, 0.0, side)
        return Drawn(warp(self.images[row], matrix, side), transform_points(self.points[row], matrix), True)

    def draw(self, row: int, look: Look, rng: np.random.Generator) -> Drawn:
        """Return a crop of a box as a detector may give it, mirrored, turned, relit and covered by chance."""
        side = self.side
        box, face = self._box(row, look, rng)
        [matrix] = crops_of_boxes(box, MARGIN, 0.0, side)
        mirrored = bool(rng.random() < look.mirror)
        turn = np.deg2rad(look.turn * rng.standard_normal())
        cosine, sine, middle = np.cos(turn), np.sin(turn), (side - 1) / 2
        flip = -1.0 if mirrored else 1.0
        linear = np.array([[cosine * flip, -sine], [sine * flip, cosine]], np.float32)
        shift = middle - linear @ np.full(2, middle, np.float32)
        matrix = np.concatenate([linear @ matrix[:, :2], (linear @ matrix[:, 2] + shift)[:, None]], 1)
        points = transform_points(self.points[row], matrix)
        pixels = _relit(warp(self.images[row], matrix, side), look, rng)
        return Drawn(pixels, points[self.layout.mirror] if mirrored else points, face)

    def _box(self, row: int, look: Look, rng: np.random.Generator) -> tuple[FloatArray, bool]:
        """Return a box (1, 4) about the face or, by chance and where there is room, one beside it."""
        x1, y1, x2, y2 = self.boxes[row]
        long = max(x2 - x1, y2 - y1)
        if rng.random() < look.background:
            height, width = self.images[row].shape[:2]
            for _ in range(8):
                half = long * rng.uniform(0.2, 0.6)
                x, y = rng.uniform(0, (width, height))
                reach = half * MARGIN + long * 0.1  # of the crop, which may show a cheek and no more
                if x + reach < x1 + long * 0.2 or x - reach > x2 - long * 0.2 or y + reach < y1 or y - reach > y2:
                    return _about(x, y, half), False
        x = (x1 + x2) / 2 + long * (BOX_LEFT * rng.standard_normal() + look.shift * rng.standard_normal())
        y = (y1 + y2) / 2 + long * (rng.uniform(*BOX_DOWN) + look.shift * rng.standard_normal())
        half = long * rng.uniform(*BOX_SIDES) / 2 * np.exp(look.scale * rng.standard_normal())
        return _about(x, y, half), True


def _cut(image: Image, points: FloatArray, side: int) -> tuple[Image, FloatArray]:
    """Return the part of an image that crops of a face may show, its face at most `side` px long, and the points."""
    low, high = points.min(0), points.max(0)
    long = float((high - low).max())
    middle, reach = (low + high) / 2, REACH * long
    first = np.maximum(np.floor(middle - reach), 0).astype(int)
    last = np.maximum(np.ceil(middle + reach), first + 1).astype(int)
    part = resize(image[first[1] : last[1], first[0] : last[0]], min(1.0, side / long))
    return np.ascontiguousarray(part.pixels), part.points_there(points - first.astype(np.float32))


def _about(x: float, y: float, half: float) -> FloatArray:
    return np.array([[x - half, y - half, x + half, y + half]], np.float32)


def _relit(crop: Image, look: Look, rng: np.random.Generator) -> Image:
    """Return a crop with other light, fewer details, or a patch over it, each by chance."""
    pixels: npt.NDArray[Any] = crop
    side = len(pixels)
    chances = rng.random(4)
    if chances[0] < look.blur:
        if rng.random() < 0.5:
            pixels = cv2.GaussianBlur(pixels, (0, 0), side / 128 * rng.uniform(0.3, 2.0))
        else:  # as an enlarged picture
            small = max(8, round(side * rng.uniform(0.2, 0.7)))
            few = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA)
            pixels = cv2.resize(few, (side, side), interpolation=cv2.INTER_LINEAR)
    if chances[1] < look.gamma:
        values = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.35, 3) * 0.3 + rng.normal(0, 0.4))
        pixels = cv2.LUT(pixels, np.round(values * rng.uniform(0.6, 1) * 255).astype(np.uint8)[None])
    if chances[2] < look.grey:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chances[3] < look.cover:
        width, height = (side * rng.uniform(0.1, 0.45, 2)).astype(int)
        left, top = (rng.uniform(0, 1, 2) * (side - width, side - height)).astype(int)
        pixels = pixels.copy()
        noise = rng.integers(0, 256, 3) + rng.normal(0, rng.uniform(0, 60), (height, width, 3))
        pixels[top : top + height, left : left + width] = noise.clip(0, 255)
    return pixels.astype(np.uint8, copy=False)


class EdgeMaps:
    """Draws the edges of a layout: Gaussians of the distance from cubic splines through their points.

    Each edge's spline is linear in its points: a matrix for each, made once.
    """

    def __init__(self, known: Layout, *, density: int = 5) -> None:
        self.edges = [(list(edge.points), _spline(len(edge.points), edge.closed, density)) for edge in known.edges]

    def __call__(self, points: FloatArray, *, cells: int, stride: int, sigma: float) -> FloatArray:
        """Return (E, cells, cells) float32 in 0..1 for points (P, 2) px.

        Args:
            stride: px to a cell.
            sigma: cells.
        """
        fine = 4  # canvas px to a cell
        canvas_points = (points + 0.5) * (fine / stride) - 0.5
        maps = np.empty((len(self.edges), cells, cells), np.float32)
        for number, (own, spline) in enumerate(self.edges):
            canvas = np.full((cells * fine, cells * fine), 255, np.uint8)
            curve = np.round(spline @ canvas_points[own] * 16).clip(-1e6, 1e6).astype(np.int32)  # 4 bits of fraction
            cv2.polylines(canvas, [curve], False, 0, 1, cv2.LINE_8, 4)
            far = cv2.distanceTransform(canvas, cv2.DIST_L2, 3)
            maps[number] = cv2.resize(far, (cells, cells), interpolation=cv2.INTER_AREA) / fine
        drawn: FloatArray = np.exp(-(maps**2) / (2 * sigma**2))
        return drawn


def _spline(count: int, closed: bool, density: int) -> npt.NDArray[np.float64]:
    """Return (N, count): what makes `density` points an interval of `count` points on an edge."""
    from scipy.interpolate import CubicSpline

    known = np.eye(count)
    if closed:
        known = np.concatenate([known, known[:1]])
    at = np.linspace(0, len(known) - 1, (len(known) - 1) * density + 1)
    spline = CubicSpline(np.arange(len(known)), known, bc_type="periodic" if closed else "natural")
    dense: npt.NDArray[np.float64] = spline(at)
    return dense
