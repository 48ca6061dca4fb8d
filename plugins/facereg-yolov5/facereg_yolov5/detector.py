"""Pictures of any sizes onto squares or rectangles, through the network together, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from facereg import (
    BoolArray,
    Detector,
    Faces,
    FloatArray,
    Image,
    Networks,
    Opener,
    Resized,
    Where,
    box_areas,
    box_overlap,
    grey_levels,
    non_maximum_suppression,
    resize,
)
from facereg_yolov5.options import MULTIPLE, YoloOptions

Candidates: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]  # boxes (N, 4), scores (N,), landmarks (N, 5, 2)
GREY = 114  # where a letterbox is empty; of YOLOv5
CLOSE = 1 / 3  # of the small square: the side from which a face found there counts
MOSTLY = 0.7  # share of a box
SURE = 0.6  # least score of a face seen in grey alone: of portraits 0.74 and more, of textures and noise to 0.7


@dataclass(frozen=True)
class Opening(YoloOptions, Where):
    """What `YoloV5Face.open` takes."""


class YoloV5Face(Detector):
    """YOLOv5s with five landmarks.

    Args:
        networks: one, `yolov5s-face`.
        options: see there.
    """

    open = Opener("yolov5s-face", Opening)
    open_int8 = Opener("yolov5s-face:int8", Opening)
    landmark_count: ClassVar[int] = 5

    def __init__(self, networks: Networks, options: YoloOptions | None = None) -> None:
        options = options or YoloOptions()
        super().__init__(networks)
        [self._name] = networks.specs
        self.size, self.square, self.close_up = options.size, options.square, options.close_up
        self.threshold, self.iou, self.candidates = options.threshold, options.iou, options.candidates
        self.enlarge, self.fallback = options.enlarge, options.fallback

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = self._find(images)
        empty = [index for index, faces in enumerate(found) if len(faces) == 0]
        if self.fallback and empty:
            for index, faces in zip(empty, self._find([grey_levels(images[index]) for index in empty]), strict=True):
                found[index] = faces[faces.scores >= SURE]
        return found

    def _find(self, images: Sequence[Image]) -> list[Faces]:
        most = [math.ceil(self.enlarge * max(image.shape[:2]) / MULTIPLE) * MULTIPLE for image in images]
        looks = [self._look(images, [min(self.size, one) for one in most], least=0.0)]
        if self.close_up:
            looks.append(self._look(images, [self.close_up] * len(images), least=CLOSE * self.close_up))
        return [self._joined(several) for several in zip(*looks, strict=True)]

    def _look(self, images: Sequence[Image], sizes: Sequence[int], *, least: float) -> list[Candidates]:
        """Return what is seen in letterboxes of these px, `least` px there or longer."""
        boxed = [letterbox(image, size, square=self.square) for image, size in zip(images, sizes, strict=True)]
        alike: dict[tuple[int, ...], list[int]] = {}  # pictures by the shape of their letterbox
        for index, one in enumerate(boxed):
            alike.setdefault(one.pixels.shape, []).append(index)
        seen: dict[int, Candidates] = {}
        for group in alike.values():
            heads = self.networks[self._name].infer({"images": np.stack([boxed[index].pixels for index in group])})
            for index, boxes, scores, landmarks in zip(
                group, heads["boxes"], heads["scores"], heads["landmarks"], strict=True
            ):
                rows = np.flatnonzero((scores >= self.threshold) & ((boxes[:, 2:] - boxes[:, :2]).max(1) >= least))
                rows = rows[np.argsort(-scores[rows], kind="stable")[: self.candidates]]
                corners = boxed[index].points_back(boxes[rows].reshape(-1, 2, 2)).reshape(-1, 4)
                seen[index] = corners, scores[rows], boxed[index].points_back(landmarks[rows])
        return [seen[index] for index in range(len(images))]

    def _joined(self, looks: Sequence[Candidates]) -> Faces:
        boxes, scores, landmarks = (np.concatenate(part) for part in zip(*looks, strict=True))
        rows = non_maximum_suppression(boxes, scores, self.iou)
        near = rows[rows >= len(looks[0][0])]
        # Eyes and ears of a face that fills the picture are taken for faces in the large square.
        parts = parts_of(boxes[rows], boxes[near]) & (scores[rows, None] < scores[near])  # (N, M)
        rows = rows[~parts.any(1)]
        return Faces(boxes[rows], scores[rows], landmarks[rows])


def parts_of(boxes: FloatArray, faces: FloatArray) -> BoolArray:
    """Return (N, M): which of `boxes` (N, 4) is mostly inside which of `faces` (M, 4), and at most half as large."""
    smaller = box_areas(boxes)[:, None] <= box_areas(faces) / 2
    return np.asarray(smaller & (box_overlap(boxes, faces, over="first") >= MOSTLY), np.bool_)


def letterbox(image: Image, size: int, *, square: bool = True) -> Resized:
    """Return the picture, its longer side made `size` px, in the top left corner of a grey canvas.

    Args:
        square: of the canvas; else it is the smallest rectangle with sides that the network takes.
    """
    small = resize(image, size / max(image.shape[:2]))
    height, width = (size if square else -(-side // MULTIPLE) * MULTIPLE for side in small.pixels.shape[:2])
    return small.letterboxed(height, width, empty=GREY)
