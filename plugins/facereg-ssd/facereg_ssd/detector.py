"""Pictures of any sizes stretched to 300 x 300, through the network together, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from facereg import Detector, Faces, FloatArray, Image, Networks, Opener, Where, non_maximum_suppression
from facereg_ssd.options import SsdOptions
from facereg_ssd.plugin import NETWORK, SIDE


@dataclass(frozen=True)
class Opening(SsdOptions, Where):
    """What `Ssd300.open` takes."""


class Ssd300(Detector):
    """SSD300-VGG16 for faces, without landmarks. Boxes end at the picture's edges, as torchvision's do.

    A pipeline that aligns by landmarks needs an aligner that finds its own.

    Args:
        networks: `ssd300-vgg16`.
        options: see there.
    """

    open = Opener("ssd300-vgg16", Opening)
    landmark_count: ClassVar[int] = 0

    def __init__(self, networks: Networks, options: SsdOptions | None = None) -> None:
        options = options or SsdOptions()
        super().__init__(networks)
        self.threshold, self.iou = options.threshold, options.iou
        self.candidates, self.most = options.candidates, options.most

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        heads = self.networks[NETWORK.name].infer({"images": np.stack([stretched(image) for image in images])})
        return [self._read(*row) for row in zip(images, heads["boxes"], heads["scores"], strict=True)]

    def _read(self, image: Image, boxes: FloatArray, scores: FloatArray) -> Faces:
        rows = np.flatnonzero(scores > self.threshold)
        rows = rows[np.argsort(-scores[rows], kind="stable")[: self.candidates]]
        kept = np.clip(boxes[rows], 0, SIDE)  # before suppression, as torchvision does
        best = non_maximum_suppression(kept, scores[rows], self.iou)[: self.most]
        scale = np.array([image.shape[1], image.shape[0]] * 2, np.float32) / SIDE
        # the network measures from the picture's corner; here pixel centres are at integers
        return Faces((kept[best] * scale - 0.5).astype(np.float32), scores[rows][best])


def stretched(image: Image) -> Image:
    """Return the picture at 300 x 300, whatever its shape."""
    height, width = image.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return image
    method = cv2.INTER_AREA if min(height, width) >= SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=method), np.uint8)
