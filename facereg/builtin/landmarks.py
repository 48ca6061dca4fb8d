"""Aligners by a landmark network: from a box to points, to the five landmarks, to the crop of any embedder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from facereg.builtin.layouts import Layout
from facereg.errors import ContractError
from facereg.geometry import TEMPLATE_112, inverted, similarity_from_points, transform_points, warp
from facereg.networks.runner import Networks
from facereg.options import LandmarkOptions
from facereg.roles import Aligner
from facereg.types import MAX_PX, Crops, Faces, FloatArray, Image

BLOCK = 64  # faces whose crops are held at a time
LEAST_SIDE = 1.0  # px of a box
TINY = 1e-6  # the scale of what no turning and scaling makes a face of
# Mean distance of the five landmarks from the template, over that of its eyes: labelled faces have at most 0.28.
WORST_FIT = 0.4


class LandmarkAligner(Aligner):
    """Finds the points of each face in a square about its box; a subclass states its network and writes `_find`.

    A detector's box becomes the square of the points, `factor` times as long as the box's longer side and its centre
    lower by `shift` of that side; the network sees `margin` times as much. With several `passes`, the points of one
    say where the next one looks: upright, and about the points themselves.

    A face is refused, with the reason, where its box has no area or lies outside the picture, where the network is not
    sure enough, and where the points are those of no face.

    Args:
        networks: the network.
        options: see there.
    """

    needs_landmarks: ClassVar[bool] = False
    layout: Layout
    side: int  # px of the network's crops
    margin: float = 1.25  # the crop's side over the longer side of the box about all points, as in its training

    def __init__(self, networks: Networks | None = None, options: LandmarkOptions | None = None) -> None:
        super().__init__(networks)
        self.options = options or LandmarkOptions()

    @abstractmethod
    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Return points (N, P, 2) in px of the crops (N, S, S, 3) uint8 RGB, and how sure of each face, (N,) 0..1."""

    @final
    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        owners = [image for image, found in zip(images, faces, strict=True) for _ in range(len(found))]
        boxes = np.concatenate([np.empty((0, 4), np.float32), *(found.boxes for found in faces)])
        reasons = [_no_box(box, image) for box, image in zip(boxes, owners, strict=True)]
        points = np.zeros((len(boxes), self.layout.points, 2), np.float32)
        looked = np.array([row for row, reason in enumerate(reasons) if not reason], np.int64)
        for start in range(0, len(looked), BLOCK):
            rows = looked[start : start + BLOCK]
            points[rows], sure, moved = self._look([owners[row] for row in rows], boxes[rows])
            for row, confidence, move in zip(rows, sure.tolist(), moved.tolist(), strict=True):
                reasons[row] = self._no_face(points[row], confidence, move)
        kept = [row for row, reason in enumerate(reasons) if not reason]
        matrices = np.empty((0, 2, 3), np.float32)
        if kept:
            matrices = similarity_from_points(self.layout.five_of(points[kept]), template)
        pixels = np.empty((len(kept), size, size, 3), np.uint8)
        for place, row in enumerate(kept):
            pixels[place] = warp(owners[row], matrices[place], size)
        ends = np.cumsum([len(found) for found in faces], dtype=np.int64)
        counts = tuple(
            reasons[end - len(found) : end].count("") for end, found in zip(ends.tolist(), faces, strict=True)
        )
        return Crops(pixels, matrices, counts, points[kept], tuple(reasons) if any(reasons) else ())

    def _look(self, images: Sequence[Image], boxes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return points (N, P, 2) in px of the images, how sure of each face, and how far the last look moved them.

        That is (N,), the mean distance over the longer side of the points' box; 0 of a single look.
        """
        matrices = crops_of_boxes(boxes, self.options.factor * self.margin, self.options.shift, self.side)
        points, sure = self._find_in(images, matrices)
        moved = np.zeros(len(boxes), np.float32)
        for _ in range(self.options.passes - 1):
            before = points
            matrices = self._about(before, matrices)
            points, sure = self._find_in(images, matrices)
            sides = np.maximum(np.ptp(points, axis=1).max(1), LEAST_SIDE)
            moved = np.linalg.norm(points - before, axis=2).mean(1) / sides
        return points, sure, moved

    def _find_in(self, images: Sequence[Image], matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the points (N, P, 2) in px of the images, found in the crops that matrices (N, 2, 3) cut out."""
        crops = np.stack([warp(image, matrix, self.side) for image, matrix in zip(images, matrices, strict=True)])
        in_crops, sure = self._find(crops)
        expected = (len(crops), self.layout.points, 2)
        if in_crops.shape != expected or sure.shape != expected[:1]:
            raise ContractError(
                f"{self.name}: expected points {expected} and {expected[:1]} of how sure it is, "
                f"got {in_crops.shape} and {sure.shape}"
            )
        return transform_points(in_crops, inverted(matrices)), sure

    def _about(self, points: FloatArray, before: FloatArray) -> FloatArray:
        """Return the matrices (N, 2, 3) of upright crops about points (N, P, 2).

        Those before where the points show no upright: they lie on one another, or as in a mirror.
        """
        matrices, five = before.copy(), self.layout.five_of(points)
        rows = np.flatnonzero(np.ptp(five, axis=1).max(1) > LEAST_SIDE)
        linear = similarity_from_points(five[rows], TEMPLATE_112)[:, :, :2]  # (M, 2, 2)
        scales = np.hypot(linear[:, 0, 0], linear[:, 1, 0])
        rows, linear, scales = rows[scales > TINY], linear[scales > TINY], scales[scales > TINY]
        upright = linear / scales[:, None, None]
        turned = points[rows] @ upright.transpose(0, 2, 1)
        low, high = turned.min(1), turned.max(1)
        larger = self.side / (self.margin * (high - low).max(1))  # (M,)
        shifts = (self.side - 1) / 2 - larger[:, None] * (low + high) / 2
        matrices[rows] = np.concatenate([larger[:, None, None] * upright, shifts[:, :, None]], 2)
        return matrices

    def _no_face(self, points: FloatArray, sure: float, moved: float) -> str:
        """Return why points (P, 2) are those of no face; '' where they are a face's."""
        if sure < self.options.least:
            return f"no face: the network is sure to {sure:.2f}, expected at least {self.options.least:g}"
        if moved > self.options.moved:
            return f"no face: at a second look its points lay {moved:.2f} of its size away"
        five = self.layout.five_of(points)
        if np.ptp(five, axis=0).max() < LEAST_SIDE:
            return "no face: its points lie on one another"
        fitted = transform_points(five, similarity_from_points(five, TEMPLATE_112))
        away = float(
            np.linalg.norm(fitted - TEMPLATE_112, axis=1).mean() / np.linalg.norm(TEMPLATE_112[1] - TEMPLATE_112[0])
        )
        return f"no face: its points lie {away:.2f} eye distances from where a face's are" if away > WORST_FIT else ""


def crops_of_boxes(boxes: FloatArray, factor: float, shift: float, side: int) -> FloatArray:
    """Return what maps an image to a network's square crops of boxes: (N, 2, 3); crop ~ M @ [x, y, 1].

    Args:
        boxes: (N, 4) x1 y1 x2 y2 px, with area.
        factor: the square's side over the box's longer side.
        shift: how much lower the square's centre lies than the box's, over the box's longer side.
        side: px of the crop.
    """
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1)  # (N,)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres[:, 1] += shift * longer
    scales = side / (factor * longer)
    matrices = np.zeros((len(boxes), 2, 3), np.float32)
    matrices[:, 0, 0] = matrices[:, 1, 1] = scales
    matrices[:, :, 2] = (side - 1) / 2 - scales[:, None] * centres  # pixel centres are at integers
    return matrices


def _no_box(box: FloatArray, image: Image) -> str:
    """Return why a box (4,) holds no face of the image; '' where it may."""
    if np.abs(box).max() > MAX_PX:
        return f"its box reaches beyond any picture: {' '.join(f'{value:.3g}' for value in box)}"
    if (box[2:] - box[:2]).min() < LEAST_SIDE:
        return f"its box has no area: {' '.join(f'{value:.0f}' for value in box)}"
    height, width = image.shape[:2]
    if (box[2:] <= 0).any() or (box[:2] >= (width - 1, height - 1)).any():
        return f"its box lies outside the picture: {' '.join(f'{value:.0f}' for value in box)}"
    return ""
