"""The cascade: P-Net proposes, R-Net refines, O-Net decides and places five landmarks.

The steps between the networks follow the authors' Matlab code, one-based inclusive boxes and all, so that
published weights give the published faces. Pictures of any sizes go through each network together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from facereg import (
    MIRRORED,
    Detector,
    Faces,
    FloatArray,
    Image,
    IntArray,
    Networks,
    Opener,
    Tensor,
    Where,
    non_maximum_suppression,
)
from facereg_mtcnn.options import MtcnnOptions
from facereg_mtcnn.pyramid import CELL, STRIDE, Level, Sums, crop_squares, draw_canvases, pack, plan_levels, summed_area

CANVAS_AREA = 60_000  # pixels of a P-Net canvas: bounds memory whatever the pictures' sizes
GROUP_AREA = 2_000_000  # pixels of the pictures worked on together: their sums take 16 bytes each
# Of the second look. Chosen on celeba-wild, whose every picture holds a person; see the README.
SECOND_FACTOR, SECOND_THRESHOLDS = 0.9, (0.5, 0.3, 0.5)
# Of the looks that landmarks are averaged over: shifts of the crop, as shares of its side.
SHIFTS = np.array([[0, 0], [0.06, 0], [-0.06, 0], [0, 0.06], [0, -0.06]], np.float32)
Boxes = FloatArray  # (N, 4) x1 y1 x2 y2, one-based and inclusive between the stages
Windows = tuple[Boxes, FloatArray, FloatArray]  # boxes (N, 4), scores (N,), offsets (N, 4)


@dataclass(frozen=True)
class Opening(MtcnnOptions, Where):
    """What `MtcnnDetector.open` takes."""


class MtcnnDetector(Detector):
    """MTCNN (Zhang et al. 2016).

    Args:
        networks: `mtcnn-pnet`, `mtcnn-rnet`, `mtcnn-onet`.
        options: see there.
    """

    open = Opener("mtcnn", Opening)
    landmark_count: ClassVar[int] = 5

    def __init__(self, networks: Networks, options: MtcnnOptions | None = None) -> None:
        options = options or MtcnnOptions()
        super().__init__(networks)
        self.min_face, self.factor, self.thresholds = options.min_face, options.factor, options.thresholds
        self.steady = networks.own_weights if options.steady is None else options.steady
        self._second = (
            MtcnnDetector(
                networks,
                replace(
                    options,
                    thresholds=cast(tuple[float, float, float], tuple(map(min, self.thresholds, SECOND_THRESHOLDS))),
                    factor=max(self.factor, SECOND_FACTOR),
                    fallback=False,
                ),
            )
            if options.fallback
            else None
        )

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found: list[Faces] = []
        group: list[Image] = []
        for image in images:
            if group and sum(i.shape[0] * i.shape[1] for i in (*group, image)) > GROUP_AREA:
                found += self._detect_group(group)
                group = []
            group.append(image)
        return found + self._detect_group(group)

    def _detect_group(self, images: Sequence[Image]) -> list[Faces]:
        sums = [summed_area(image) for image in images]
        boxes, owner = self.propose(sums)
        boxes, _, owner = self.refine(sums, boxes, owner)
        boxes, scores, points, owner = self.decide(sums, boxes, owner)
        if self.steady:
            points = self._steadied(sums, boxes, points, owner)
        found = []
        for index in range(len(images)):
            rows = np.flatnonzero(owner == index)
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            found.append(Faces(boxes[rows], scores[rows], points[rows]))
        empty = [index for index, faces in enumerate(found) if len(faces) == 0]
        if self._second is not None and empty:
            again = self._second._detect_group([images[index] for index in empty])
            for index, faces in zip(empty, again, strict=True):
                found[index] = faces
        return found

    def propose(self, sums: Sequence[Sums]) -> tuple[Boxes, IntArray]:
        """Return P-Net's square proposals (N, 4) and the picture each belongs to (N,)."""
        shapes = [(s.shape[0] - 1, s.shape[1] - 1) for s in sums]
        strips = plan_levels(shapes, min_face=self.min_face, factor=self.factor, area=CANVAS_AREA)
        found: dict[tuple[int, float], list[Windows]] = {(s.image, s.scale): [] for s in strips}
        network = self.networks["mtcnn-pnet"]
        for canvas, mine in draw_canvases(sums, *pack(strips, area=CANVAS_AREA)):
            maps = network.infer({"images": canvas[None]})
            for strip in mine:
                found[strip.image, strip.scale].append(self._read(strip, maps["scores"][0], maps["boxes"][0]))
        boxes, owner = [np.empty((0, 4), np.float32)], [np.empty(0, np.int64)]
        for index in range(len(sums)):
            levels = [_kept(_joined(parts), 0.5) for (image, _), parts in found.items() if image == index]
            if not levels:
                continue
            windows, _, offsets = _kept(_joined(levels), 0.7)
            sides = np.tile(windows[:, 2:] - windows[:, :2], 2)  # here without + 1, unlike the later stages
            boxes.append(_squared(windows + offsets * sides))
            owner.append(np.full(len(windows), index))
        return np.concatenate(boxes), np.concatenate(owner)

    def _read(self, strip: Level, scores: Tensor, offsets: Tensor) -> Windows:
        """Return the windows of a strip whose scores pass."""
        rows, columns = strip.cells
        mine = scores[rows, columns]
        y, x = np.nonzero(mine >= self.thresholds[0])
        corner = np.stack([x, y + strip.first // STRIDE], 1).astype(np.float32) * STRIDE  # (N, 2)
        windows = np.floor(np.concatenate([corner + 1, corner + CELL], 1) / np.float32(strip.scale))
        return windows, mine[y, x], offsets[:, rows, columns][:, y, x].T

    def refine(self, sums: Sequence[Sums], boxes: Boxes, owner: IntArray) -> tuple[Boxes, FloatArray, IntArray]:
        """Return R-Net's square boxes (N, 4), their scores (N,) and owners (N,)."""
        boxes, owner, outputs = self._run("mtcnn-rnet", sums, boxes, owner, 24)
        passed = outputs["scores"] > self.thresholds[1]
        boxes, owner = boxes[passed], owner[passed]
        scores, offsets = outputs["scores"][passed], outputs["boxes"][passed]
        kept = _each(owner, lambda rows: non_maximum_suppression(boxes[rows], scores[rows], 0.7))
        return _squared(_moved(boxes[kept], offsets[kept])), scores[kept], owner[kept]

    def decide(
        self, sums: Sequence[Sums], boxes: Boxes, owner: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
        """Return O-Net's boxes (N, 4) in the picture, scores (N,), landmarks (N, 5, 2) and owners (N,)."""
        boxes, owner, outputs = self._run("mtcnn-onet", sums, boxes, owner, 48)
        passed = outputs["scores"] > self.thresholds[2]
        boxes, owner = boxes[passed], owner[passed]
        scores, offsets = outputs["scores"][passed], outputs["boxes"][passed]
        points = _points_in(boxes, outputs["landmarks"][passed])
        boxes = _moved(boxes, offsets)
        grown = boxes + np.array([0, 0, 1, 1], np.float32)  # areas of inclusive boxes

        def best(rows: IntArray) -> IntArray:
            # Two proposals may be cut to one crop and score the same: which of them stays is up to NumPy's sort, which
            # is not stable. The same call as in facenet-pytorch decides here, so that its boxes come out.
            order = np.argsort(scores[rows])[::-1]
            return order[non_maximum_suppression(grown[rows[order]], scores[rows[order]], 0.7, over="min")]

        kept = _each(owner, best)
        return boxes[kept], scores[kept], points[kept], owner[kept]

    def _steadied(self, sums: Sequence[Sums], boxes: Boxes, points: FloatArray, owner: IntArray) -> FloatArray:
        """Return the landmarks (N, 5, 2) averaged over those given and those of more looks."""
        squares = _squared(boxes)
        shifts = SHIFTS * (squares[:, None, 2:] - squares[:, None, :2])  # (N, shifts, 2)
        looked = (squares[:, None] + np.tile(shifts, 2)).reshape(-1, 4)
        faces = np.repeat(np.arange(len(boxes)), len(SHIFTS))
        total, count = points.copy(), np.ones((len(points), 1, 1), np.float32)
        network, rows, as_is, mirrored = self.networks["mtcnn-onet"], [], [], []
        for mine, crops in self._crops(sums, looked, owner[faces], 48, batch=network.spec.max_batch):
            rows.append(mine)
            as_is.append(network.infer({"images": crops})["landmarks"])
            mirrored.append(network.infer({"images": np.ascontiguousarray(crops[..., ::-1])})["landmarks"])
        back = np.array([1, 0], np.float32) + np.array([-1, 1], np.float32) * np.concatenate(mirrored)[:, MIRRORED]
        usable = np.concatenate(rows)
        for landmarks in (np.concatenate(as_is), back):
            np.add.at(total, faces[usable], _points_in(looked[usable], landmarks))
            np.add.at(count, faces[usable], 1)
        return total / count

    def _run(
        self, name: str, sums: Sequence[Sums], boxes: Boxes, owner: IntArray, size: int
    ) -> tuple[Boxes, IntArray, dict[str, Tensor]]:
        """Crop the boxes of all pictures and run one network on them, one batch at a time to bound memory."""
        network = self.networks[name]
        rows, outputs = [], []
        for mine, crops in self._crops(sums, boxes, owner, size, batch=network.spec.max_batch):
            rows.append(mine)
            outputs.append(network.infer({"images": crops}))
        usable = np.concatenate(rows)
        return boxes[usable], owner[usable], {key: np.concatenate([o[key] for o in outputs]) for key in outputs[0]}

    @staticmethod
    def _crops(
        sums: Sequence[Sums], boxes: Boxes, owner: IntArray, size: int, *, batch: int
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield the crops of each batch, one at least, and the rows of their boxes: those that lie in their picture."""
        for start in range(0, max(1, len(boxes)), batch):
            part = owner[start : start + batch]
            usable, parts = [np.empty(0, np.int64)], [np.empty((0, 3, size, size), np.float32)]
            for index in np.unique(part):  # the owners ascend, so the crops come in the order of the boxes
                rows = start + np.flatnonzero(part == index)
                crops, mine = crop_squares(sums[index], boxes[rows], size)
                usable.append(rows[mine])
                parts.append(crops)
            yield np.concatenate(usable), np.concatenate(parts)


def _joined(parts: Sequence[Windows]) -> Windows:
    boxes, scores, offsets = zip(*parts, strict=True)
    return np.concatenate(boxes), np.concatenate(scores), np.concatenate(offsets)


def _kept(windows: Windows, threshold: float) -> Windows:
    rows = non_maximum_suppression(windows[0], windows[1], threshold)
    return windows[0][rows], windows[1][rows], windows[2][rows]


def _each(owner: IntArray, keep: Callable[[IntArray], IntArray]) -> IntArray:
    """Return the rows that `keep` chooses among each owner's, owners in order."""
    groups = [np.flatnonzero(owner == index) for index in np.unique(owner)]
    return np.concatenate([np.empty(0, np.int64), *(rows[keep(rows)] for rows in groups)])


def _points_in(boxes: Boxes, landmarks: FloatArray) -> FloatArray:
    """Return landmarks (N, 5, 2), shares of their boxes, in pixels of the picture."""
    points: FloatArray = (boxes[:, None, 2:] - boxes[:, None, :2] + 1) * landmarks + boxes[:, None, :2] - 1
    return points


def _moved(boxes: Boxes, offsets: FloatArray) -> Boxes:
    """Apply box regression; sides are inclusive here."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _squared(boxes: Boxes) -> Boxes:
    """Grow each box about its centre to a square of its longer side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(1, keepdims=True)
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return np.concatenate([corner, corner + longest], 1)
