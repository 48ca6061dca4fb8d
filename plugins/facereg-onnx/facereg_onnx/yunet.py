"""YuNet: anchor-free heads at three strides, decoded on the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facereg import Detector, Faces, FloatArray, Image, Networks, Opener, Tensor, Where, non_maximum_suppression, resize
from facereg_onnx.options import YuNetOptions
from facereg_onnx.plugin import STRIDES, YUNET

MULTIPLE = 32  # px; sides of the network's input


@dataclass(frozen=True)
class Opening(YuNetOptions, Where):
    """What `YuNet.open` takes."""


class YuNet(Detector):
    """Finds faces of about 10 to 300 px with a YuNet file.

    Args:
        networks: the one network.
        options: see there.
    """

    open = Opener("yunet", Opening)

    def __init__(self, networks: Networks, options: YuNetOptions | None = None) -> None:
        options = options or YuNetOptions()
        super().__init__(networks)
        self.threshold, self.overlap, self.longest = options.threshold, options.overlap, options.longest

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Faces:
        longest = max(image.shape[:2])
        small = resize(image, min(1.0, (self.longest or longest) / longest))
        height, width = small.pixels.shape[:2]
        canvas = np.zeros((-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE, 3), np.float32)
        canvas[:height, :width] = small.pixels[..., ::-1]  # the network was trained on BGR
        heads = self.networks[YUNET.name].infer({"input": np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])})
        boxes, scores, points = decode(heads, canvas.shape[1], self.threshold)
        keep = non_maximum_suppression(boxes, scores, self.overlap)
        return small.faces_back(Faces(boxes[keep], scores[keep], points[keep]))


def decode(heads: Mapping[str, Tensor], width: int, threshold: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return boxes (N, 4), scores (N,) and points (N, 5, 2) over `threshold`, in px of an input `width` wide."""
    boxes, scores, points = [], [], []
    for stride in STRIDES:
        score = np.sqrt(np.clip(heads[f"cls_{stride}"][0, :, 0] * heads[f"obj_{stride}"][0, :, 0], 0, 1))
        rows = np.flatnonzero(score >= threshold)
        cell = np.stack([rows % (width // stride), rows // (width // stride)], 1).astype(np.float32)  # (N, 2)
        box = heads[f"bbox_{stride}"][0, rows]
        centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
        boxes.append(np.concatenate([centre - half, centre + half], 1))
        scores.append(score[rows])
        points.append((cell[:, None] + heads[f"kps_{stride}"][0, rows].reshape(-1, 5, 2)) * stride)
    return np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
