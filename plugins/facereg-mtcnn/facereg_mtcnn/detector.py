"""The cascade: P-Net proposes, R-Net refines, O-Net decides and places five landmarks.

The steps between the networks follow the authors' Matlab code, one-based inclusive boxes and all, so that
published weights give the published faces. Pictures of any sizes go through each network together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from facereg.errors import ContractError
from facereg.geometry import non_maximum_suppression
from facereg.interfaces import Detector
from facereg.runners.base import Networks, Tensor
from facereg.types import Faces, FloatArray, Image, IntArray
from facereg_mtcnn.pyramid import CELL, STRIDE, Level, Sums, crop_squares, draw_canvases, pack, plan_levels, summed_area

CANVAS_AREA = 200_000  # pixels of a P-Net canvas; its maps then stay in the processor's cache
GROUP_AREA = 8_000_000  # pixels of the pictures worked on together: their sums take 12 bytes each
Boxes = FloatArray  # (N, 4) x1 y1 x2 y2, one-based and inclusive between the stages


class MtcnnDetector(Detector):
    """MTCNN (Zhang et al. 2016).

    Args:
        networks: `mtcnn-pnet`, `mtcnn-rnet`, `mtcnn-onet`.
        min_face: side in px of the smallest face looked for.
        thresholds: least scores of the three stages.
        factor: ratio of neighbouring pyramid scales.
    Raises:
        ContractError: if an option is out of range.
    """

    landmark_count: ClassVar[int] = 5

    def __init__(
        self,
        networks: Networks,
        *,
        min_face: float = 20.0,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
    ) -> None:
        super().__init__(networks)
        if not (min_face >= CELL / 2 and 0.1 < factor < 0.95 and len(thresholds) == 3):
            raise ContractError(
                f"mtcnn: expected min_face >= {CELL // 2}, 0.1 < factor < 0.95 and three thresholds, "
                f"got {min_face}, {factor}, {tuple(thresholds)}"
            )
        self._networks = networks
        self.min_face, self.factor, self.thresholds = float(min_face), float(factor), tuple(map(float, thresholds))

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
        found = []
        for index in range(len(images)):
            rows = np.flatnonzero(owner == index)
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            found.append(Faces(boxes[rows], scores[rows], points[rows]))
        return found

    def propose(self, sums: Sequence[Sums]) -> tuple[Boxes, IntArray]:
        """Return P-Net's square proposals (N, 4) and the picture each belongs to (N,)."""
        shapes = [(s.shape[0] - 1, s.shape[1] - 1) for s in sums]
        levels, canvases = pack(plan_levels(shapes, min_face=self.min_face, factor=self.factor), area=CANVAS_AREA)
        parts: list[list[tuple[Boxes, FloatArray, FloatArray]]] = [[] for _ in sums]
        network = self._networks["mtcnn-pnet"]
        for canvas, mine in draw_canvases(sums, levels, canvases):
            maps = network.infer({"images": canvas[None]})
            for level in mine:
                parts[level.image].append(self._read_level(level, maps["scores"][0], maps["boxes"][0]))
        boxes, owner = [np.empty((0, 4), np.float32)], [np.empty(0, np.int64)]
        for index, levels_of_image in enumerate(parts):
            if not levels_of_image:
                continue
            windows, scores, offsets = (np.concatenate(values) for values in zip(*levels_of_image, strict=True))
            rows = non_maximum_suppression(windows, scores, 0.7)
            windows, offsets = windows[rows], offsets[rows]
            sides = np.tile(windows[:, 2:] - windows[:, :2], 2)  # here without + 1, unlike the later stages
            boxes.append(_squared(windows + offsets * sides))
            owner.append(np.full(len(rows), index))
        return np.concatenate(boxes), np.concatenate(owner)

    def _read_level(self, level: Level, scores: Tensor, offsets: Tensor) -> tuple[Boxes, FloatArray, FloatArray]:
        rows, columns = level.cells
        mine = scores[rows, columns]
        y, x = np.nonzero(mine >= self.thresholds[0])
        corner = np.stack([x, y], 1).astype(np.float32) * STRIDE  # (N, 2)
        windows = np.floor(np.concatenate([corner + 1, corner + CELL], 1) / np.float32(level.scale))
        kept = non_maximum_suppression(windows, mine[y, x], 0.5)
        return windows[kept], mine[y, x][kept], offsets[:, rows, columns][:, y, x].T[kept]

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
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        points = sides * outputs["landmarks"][passed] + boxes[:, None, :2] - 1
        boxes = _moved(boxes, offsets)
        grown = boxes + np.array([0, 0, 1, 1], np.float32)  # areas of inclusive boxes

        def best(rows: IntArray) -> IntArray:
            # Two proposals may be cut to one crop and score the same: which of them stays is up to NumPy's sort, which
            # is not stable. The same call as in facenet-pytorch decides here, so that its boxes come out.
            order = np.argsort(scores[rows])[::-1]
            return order[non_maximum_suppression(grown[rows[order]], scores[rows[order]], 0.7, over="min")]

        kept = _each(owner, best)
        return boxes[kept], scores[kept], points[kept], owner[kept]

    def _run(
        self, name: str, sums: Sequence[Sums], boxes: Boxes, owner: IntArray, size: int
    ) -> tuple[Boxes, IntArray, dict[str, Tensor]]:
        """Crop the boxes of all pictures and run one network on them in full batches."""
        network = self._networks[name]
        usable = np.zeros(len(boxes), np.bool_)
        parts = [np.empty((0, 3, size, size), np.float32)]
        for index in range(len(sums)):  # the owners ascend, so the crops come in the order of the boxes
            rows = np.flatnonzero(owner == index)
            crops, mine = crop_squares(sums[index], boxes[rows], size)
            usable[rows[mine]] = True
            parts.append(crops)
        crops = np.concatenate(parts)
        batch = network.spec.max_batch
        outputs = [network.infer({"images": crops[i : i + batch]}) for i in range(0, max(1, len(crops)), batch)]
        return boxes[usable], owner[usable], {key: np.concatenate([o[key] for o in outputs]) for key in outputs[0]}


def _each(owner: IntArray, keep: Callable[[IntArray], IntArray]) -> IntArray:
    """Return the rows that `keep` chooses among each owner's, owners in order."""
    groups = [np.flatnonzero(owner == index) for index in np.unique(owner)]
    return np.concatenate([np.empty(0, np.int64), *(rows[keep(rows)] for rows in groups)])


def _moved(boxes: Boxes, offsets: FloatArray) -> Boxes:
    """Apply box regression; sides are inclusive here."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _squared(boxes: Boxes) -> Boxes:
    """Grow each box about its centre to a square of its longer side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(1, keepdims=True)
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return np.concatenate([corner, corner + longest], 1)
