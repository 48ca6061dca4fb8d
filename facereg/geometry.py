"""Boxes and similarities, as whole-array code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import cv2
import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError
from facereg.types import Faces, FloatArray, Image, IntArray

SUPPRESS_BLOCK = 256  # boxes compared at a time: bounds memory where thousands compete

SPREAD = (2, 98)  # percent of the pixels, see `grey_levels`
LEAST_SPREAD = 8  # levels that are made 255, at least: fewer hold a picture's noise alone

# ArcFace's template for a 112x112 crop, in landmark order (Deng et al. 2019).
TEMPLATE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
MIRRORED = [1, 0, 2, 4, 3]  # the landmark that each becomes in a mirrored face


def template(size: int) -> FloatArray:
    """Return the five-point template of a size x size crop, (5, 2) float32.

    Pixel centres are at integers, so the corner of the picture, not the centre of its first pixel, stays put.
    """
    return ((TEMPLATE_112 + 0.5) * (size / 112) - 0.5).astype(np.float32)


def require_template(points: object, *, size: int) -> FloatArray:
    """Return five landmarks of a size x size crop as (5, 2) float32.

    Raises:
        ContractError: if they are no five finite points that lie in the crop, or lie within a pixel of each other, as
            shares of its sides would.
    """
    try:
        array = np.array(points, np.float32)
    except (TypeError, ValueError):
        array = np.empty(0, np.float32)
    if array.shape != (5, 2):
        raise ContractError(f"template: expected five (x, y) in pixels of the crop, (5, 2), got shape {array.shape}")
    inside = (array >= -0.5).all() and (array <= size - 0.5).all()  # NaN is not inside
    if not inside or (np.ptp(array, axis=0) < 1).any():
        raise ContractError(
            f"template: expected five (x, y) apart from each other in pixels of a {size} px crop, got {array.tolist()}"
        )
    array.setflags(write=False)
    return array


def similarity_from_points(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return the least-squares similarities that map source to target.

    Args:
        source: (..., N, 2) float32 xy pixels, N >= 2, not all equal.
        target: (..., N, 2) float32 xy pixels, of a shape that broadcasts with source.
    Returns:
        (..., 2, 3) float32 matrices; target ~ M @ [x, y, 1].
    Raises:
        ContractError: if shapes differ or the points of one face coincide.
    Source: Umeyama 1991, doi:10.1109/34.88573, eqs. 40-43 (no reflection).
    """
    source64, target64 = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source64.shape[-2:] != target64.shape[-2:] or source64.shape[-1] != 2 or source64.shape[-2] < 2:
        raise ContractError(
            f"points: expected two arrays (..., N, 2) with N >= 2, got {source64.shape} and {target64.shape}"
        )
    source_mean, target_mean = source64.mean(-2, keepdims=True), target64.mean(-2, keepdims=True)
    s, t = source64 - source_mean, target64 - target_mean
    variance = (s**2).sum((-2, -1))
    if (variance < 1e-12).any():
        raise ContractError("points: expected points that do not all coincide; the landmarks of a face are degenerate")
    # In the plane the optimum has a closed form: the rotation by the angle of the summed complex products.
    a = (s * t).sum((-2, -1)) / variance
    b = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(-1) / variance
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
    shift = target_mean[..., 0, :] - np.einsum("...ij,...j->...i", linear, source_mean[..., 0, :])
    return np.concatenate([linear, shift[..., None]], -1).astype(np.float32)


def warp(image: Image, matrix: FloatArray, size: int) -> Image:
    """Return the size x size crop that `matrix` (2, 3; crop from image) cuts out, black outside the image.

    Large faces are smoothed first, so that a crop never skips pixels (aliasing).
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:  # bilinear sampling reads 2x2 pixels: below one half it would step over some
        small = resize(image, 2.0 * scale)
        image, (fx, fy) = small.pixels, small.scale
        # original = (small + 0.5) / f - 0.5, with centres at integers
        matrix = matrix @ np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1]])
    return cv2.warpAffine(image, np.asarray(matrix, np.float64), (size, size), flags=cv2.INTER_LINEAR).astype(
        np.uint8, copy=False
    )


@dataclass(frozen=True, slots=True, eq=False)
class Resized:
    """An image made smaller or larger, and the way of its points there and back.

    Pixel centres are at integers in both: the corner of the picture, at (-0.5, -0.5), stays put.

    Args:
        pixels: (H, W, 3) uint8.
        scale: (2,) float64, width and height there over those of the original.
    """

    pixels: Image
    scale: npt.NDArray[np.float64]

    def points_there(self, points: FloatArray) -> FloatArray:
        """Return points (..., 2) of the original in pixels of the resized image."""
        moved: FloatArray = ((points + 0.5) * self.scale - 0.5).astype(np.float32)
        return moved

    def points_back(self, points: FloatArray) -> FloatArray:
        """Return points (..., 2) of the resized image in pixels of the original."""
        moved: FloatArray = ((points + 0.5) / self.scale - 0.5).astype(np.float32)
        return moved

    def faces_back(self, faces: Faces) -> Faces:
        """Return faces found in the resized image in pixels of the original."""
        boxes = self.points_back(faces.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        return Faces(boxes, faces.scores, self.points_back(faces.landmarks))

    def letterboxed(self, height: int, width: int, *, empty: int = 0) -> Self:
        """Return it in the top left corner of a canvas of these px, of the level `empty` elsewhere."""
        canvas = np.full((height, width, 3), empty, np.uint8)
        canvas[: self.pixels.shape[0], : self.pixels.shape[1]] = self.pixels
        return replace(self, pixels=canvas)


def resize(image: Image, ratio: float, *, enlarging: int = cv2.INTER_LINEAR) -> Resized:
    """Return an image with sides `ratio` times as long, to the next whole pixel, each at least one.

    Args:
        image: (H, W, 3) uint8.
        ratio: above 0; below 1, pixels are averaged, so that none is skipped (aliasing).
        enlarging: OpenCV's method for ratios above 1.
    """
    height, width = image.shape[:2]
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    method = cv2.INTER_AREA if ratio < 1 else enlarging
    pixels = image if size == (width, height) else cv2.resize(image, size, interpolation=method)
    return Resized(pixels.astype(np.uint8, copy=False), np.array([size[0] / width, size[1] / height]))


def grey_levels(image: Image) -> Image:
    """Return a picture (H, W, 3) in grey, its levels spread from black to white: what coloured light or dark hid.

    Between the levels below which 2 and 98 % of the pixels lie, so that neither a lamp nor a black frame holds them
    together.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(grey, SPREAD)
    levels = np.clip((np.arange(256) - low) * (255 / max(high - low, LEAST_SPREAD)), 0, 255).astype(np.uint8)
    return np.stack([levels[grey]] * 3, axis=2)


def transform_points(points: FloatArray, matrix: FloatArray) -> FloatArray:
    """Map (..., N, 2) points by (2, 3) matrices that broadcast with them."""
    linear, shift = matrix[..., :2], matrix[..., None, :, 2]
    mapped: FloatArray = (np.einsum("...ij,...nj->...ni", linear, points) + shift).astype(np.float32)
    return mapped


def inverted(matrices: FloatArray) -> FloatArray:
    """Return the way back of transforms (..., 2, 3), which must not be degenerate."""
    linear = np.linalg.inv(matrices[..., :2].astype(np.float64))
    shift = -np.einsum("...ij,...j->...i", linear, matrices[..., 2])
    return np.concatenate([linear, shift[..., None]], -1).astype(np.float32)


def box_areas(boxes: FloatArray) -> FloatArray:
    """Return (N,) areas of (N, 4) boxes; width is x2 - x1."""
    areas: FloatArray = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return areas


def box_overlap(
    first: FloatArray, second: FloatArray, *, over: Literal["union", "min", "first"] = "union"
) -> FloatArray:
    """Return the (N, M) overlap of every pair of boxes.

    Args:
        over: what the intersection is divided by: the union (IoU), the smaller area, or the first's area.
    """
    # Column by column: whole (N, M) matrices, where the last axis of (N, M, 2) would be two long.
    (x1, y1, x2, y2), (left, top, right, bottom) = first.T[:, :, None], second.T[:, None, :]
    widths = np.maximum(np.minimum(x2, right) - np.maximum(x1, left), 0)
    heights = np.maximum(np.minimum(y2, bottom) - np.maximum(y1, top), 0)
    intersection = widths * heights  # (N, M)
    a, b = box_areas(first)[:, None], box_areas(second)[None, :]
    if over == "union":
        divisor = a + b - intersection
    elif over == "min":
        divisor = np.minimum(a, b)
    else:
        divisor = np.broadcast_to(a, intersection.shape)
    overlap: FloatArray = (intersection / np.maximum(divisor, 1e-12)).astype(np.float32)
    return overlap


def non_maximum_suppression(
    boxes: FloatArray, scores: FloatArray, threshold: float, *, over: Literal["union", "min"] = "union"
) -> IntArray:
    """Return the rows to keep, best first: none overlaps a better kept one by more than `threshold`."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for start in range(0, len(order), SUPPRESS_BLOCK):
        block = order[start : start + SUPPRESS_BLOCK]
        if kept:
            block = block[(box_overlap(boxes[block], boxes[kept], over=over) <= threshold).all(1)]
        # Within a block each box is asked once, against all: rows of one matrix instead of a call for each.
        clear = box_overlap(boxes[block], boxes[block], over=over) <= threshold  # (B, B)
        open_rows = np.ones(len(block), np.bool_)
        for row in range(len(block)):
            if open_rows[row]:
                kept.append(int(block[row]))
                open_rows &= clear[row]
    return np.array(kept, np.int64)
