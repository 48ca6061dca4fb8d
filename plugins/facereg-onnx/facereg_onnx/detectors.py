"""Published detectors: one way in and out, a decoder a kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from facereg import (
    Detector,
    Faces,
    FloatArray,
    Image,
    Networks,
    Opener,
    Resized,
    Where,
    non_maximum_suppression,
    resize,
)
from facereg_onnx import decoding
from facereg_onnx.options import DetectorOptions, RetinaFaceOptions, ScrfdOptions, YoloFaceOptions, YuNetOptions
from facereg_onnx.pixels import scaled

MULTIPLE = 32  # px; sides of what goes in, of files that take any: the coarsest stride
GREY = 114  # where a letterbox is empty; of YOLOv5


class OnnxDetector(Detector):
    """Finds faces with a published file; a subclass states its decoder.

    Args:
        networks: the one network.
        options: see there.
    """

    options_class: ClassVar[type[DetectorOptions]]
    empty: ClassVar[int] = 0  # value of pixels around the picture

    def __init__(self, networks: Networks, options: DetectorOptions | None = None) -> None:
        super().__init__(networks)
        [self._spec] = networks.specs.values()
        self.options = options or self.options_class()

    @staticmethod
    @abstractmethod
    def decode(heads: Sequence[FloatArray], height: int, width: int) -> decoding.Decoded:
        """Return boxes, scores and points; see `facereg_onnx.decoding`."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Faces:
        boxed = self._letterbox(image)
        given = self.networks[self._spec.key].infer({"input": scaled(boxed.pixels[None], self.options)})
        heads = [given[tensor.name][0] for tensor in self._spec.outputs]
        boxes, scores, points = self.decode(heads, *boxed.pixels.shape[:2])
        rows = np.flatnonzero(scores >= self.options.threshold)
        rows = rows[non_maximum_suppression(boxes[rows], scores[rows], self.options.overlap)]
        return boxed.faces_back(Faces(boxes[rows], np.minimum(scores[rows], 1), points[rows]))

    def _letterbox(self, image: Image) -> Resized:
        """Return the picture in the top left corner of what goes in."""
        height, width = image.shape[:2]
        if self.options.canvas is not None:
            across, down = self.options.canvas
            small = resize(image, min(across / width, down / height))
        else:
            longest = max(height, width)
            small = resize(image, min(1.0, (self.options.longest or longest) / longest))
            down, across = (-(-side // MULTIPLE) * MULTIPLE for side in small.pixels.shape[:2])
        return small.letterboxed(down, across, empty=self.empty)


@dataclass(frozen=True)
class YuNetOpening(YuNetOptions, Where):
    """What `YuNet.open` takes."""


class YuNet(OnnxDetector):
    """Finds faces of about 10 to 300 px with a YuNet file."""

    open = Opener("yunet", YuNetOpening)
    options_class, decode = YuNetOptions, staticmethod(decoding.yunet)


@dataclass(frozen=True)
class ScrfdOpening(ScrfdOptions, Where):
    """What `Scrfd.open` takes."""


class Scrfd(OnnxDetector):
    """Finds faces with an SCRFD file with points, as InsightFace's packs have."""

    open = Opener("onnx-scrfd", ScrfdOpening)
    options_class, decode = ScrfdOptions, staticmethod(decoding.scrfd)


@dataclass(frozen=True)
class RetinaFaceOpening(RetinaFaceOptions, Where):
    """What `RetinaFace.open` takes."""


class RetinaFace(OnnxDetector):
    """Finds faces with a RetinaFace file of offsets, classes and points."""

    open = Opener("onnx-retinaface", RetinaFaceOpening)
    options_class, decode = RetinaFaceOptions, staticmethod(decoding.retinaface)


@dataclass(frozen=True)
class YoloFaceOpening(YoloFaceOptions, Where):
    """What `open` of the two takes."""


class YoloV5FaceFile(OnnxDetector):
    """Finds faces with a YOLOv5-face file whose rows are decoded."""

    open = Opener("onnx-yolov5-face", YoloFaceOpening)
    options_class, decode, empty = YoloFaceOptions, staticmethod(decoding.yolov5_face), GREY


class YoloV8FaceFile(OnnxDetector):
    """Finds faces with a YOLOv8-face file whose columns are decoded."""

    open = Opener("onnx-yolov8-face", YoloFaceOpening)
    options_class, decode, empty = YoloFaceOptions, staticmethod(decoding.yolov8_face), GREY
