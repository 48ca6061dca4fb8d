"""YOLOv5s in torch: for training, and as the module behind TorchRunner and the ONNX export.

The layers of version 6: a 6x6 stem, C3 blocks, pooling in sequence (SPPF), a path aggregation neck and an
anchor head at three strides. The face head adds five landmarks an anchor, as in YOLO5Face (Qi et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facereg_yolov5.anchors import FACE_ANCHORS, Anchors

STRIDES = (8, 16, 32)
CHANNELS = (32, 64, 128, 256, 512)  # of the five stages; width 0.5
BACKBONE_DEPTHS = (1, 2, 3, 1)  # bottlenecks; 3, 6, 9, 3 at depth 0.33
NECK_DEPTH = 1
LANDMARKS = 5
PRIOR_FACES = 8.0  # faces expected in a picture of 640 px, for the bias that training starts from


class Conv(nn.Sequential):
    """Convolution without bias, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, padding: int | None = None) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2 if padding is None else padding, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )


class Bottleneck(nn.Module):
    """1x1, then 3x3, with the input added where `shortcut`."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(Conv(channels, channels), Conv(channels, channels, 3))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Half of the channels through bottlenecks, half past them, then one 1x1 over both."""

    def __init__(self, inputs: int, outputs: int, depth: int, *, shortcut: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.through, self.past = Conv(inputs, half), Conv(inputs, half)
        self.blocks = nn.Sequential(*(Bottleneck(half, shortcut=shortcut) for _ in range(depth)))
        self.join = Conv(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([self.blocks(self.through(x)), self.past(x)], 1))
        return joined


class SPPF(nn.Module):
    """The map and its maxima over 5x5, 9x9 and 13x13, each pooled from the one before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.join = Conv(channels, channels // 2), Conv(channels * 2, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.reduce(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        joined: Tensor = self.join(torch.cat(maps, 1))
        return joined


class YoloV5s(nn.Module):
    """YOLOv5s for one class: 7,022,326 parameters without landmarks, 7,049,296 with five.

    Args:
        landmarks: points an anchor.
        anchors: three (width, height) pairs in px for each of the three strides.
    """

    anchors: Tensor  # (3, 3, 2): stride, anchor, width and height in px

    def __init__(self, *, landmarks: int = LANDMARKS, anchors: Anchors = FACE_ANCHORS) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = CHANNELS
        d2, d3, d4, d5 = BACKBONE_DEPTHS
        self.landmarks = landmarks
        self.outputs = 4 + 1 + 2 * landmarks + 1  # box, objectness, points, class
        self.stage2 = nn.Sequential(Conv(3, c1, 6, 2, 2), Conv(c1, c2, 3, 2), C3(c2, c2, d2, shortcut=True))
        self.stage3 = nn.Sequential(Conv(c2, c3, 3, 2), C3(c3, c3, d3, shortcut=True))
        self.stage4 = nn.Sequential(Conv(c3, c4, 3, 2), C3(c4, c4, d4, shortcut=True))
        self.stage5 = nn.Sequential(Conv(c4, c5, 3, 2), C3(c5, c5, d5, shortcut=True), SPPF(c5))
        self.lateral5, self.up4 = Conv(c5, c4), C3(2 * c4, c4, NECK_DEPTH, shortcut=False)
        self.lateral4, self.up3 = Conv(c4, c3), C3(2 * c3, c3, NECK_DEPTH, shortcut=False)
        self.down3, self.down4 = Conv(c3, c3, 3, 2), Conv(c4, c4, 3, 2)
        self.out4, self.out5 = (C3(c, c, NECK_DEPTH, shortcut=False) for c in (c4, c5))
        self.heads = nn.ModuleList(nn.Conv2d(c, 3 * self.outputs, 1) for c in (c3, c4, c5))
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32).reshape(3, 3, 2))
        self._start_biases()

    def _start_biases(self) -> None:
        """Begin with as few faces as a picture is likely to have, or background drowns the first steps."""
        for head, stride in zip(self.heads, STRIDES, strict=True):
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            bias = head.bias.detach().view(3, self.outputs)
            bias[:, 4] = torch.log(torch.tensor(PRIOR_FACES / (640 / stride) ** 2))
            bias[:, -1] = 0.0

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the raw maps (B, 3, h, w, outputs) at strides 8, 16 and 32 for (B, 3, H, W) in 0..1."""
        p3 = self.stage3(self.stage2(pixels))
        p4 = self.stage4(p3)
        p5 = self.lateral5(self.stage5(p4))
        q4 = self.lateral4(self.up4(torch.cat([enlarged_to(p5, p4), p4], 1)))
        out3 = self.up3(torch.cat([enlarged_to(q4, p3), p3], 1))
        out4 = self.out4(torch.cat([self.down3(out3), q4], 1))
        out5 = self.out5(torch.cat([self.down4(out4), p5], 1))
        first, second, third = (
            head(x).unflatten(1, (3, self.outputs)).permute(0, 1, 3, 4, 2)
            for head, x in zip(self.heads, (out3, out4, out5), strict=True)
        )
        return first, second, third


def enlarged_to(x: Tensor, like: Tensor) -> Tensor:
    """Return `x` at the height and width of `like`, each pixel repeated.

    By size and not by a factor of 2: sides that are multiples of 32 then need no proof when the graph is exported.
    """
    enlarged: Tensor = F.interpolate(x, size=like.shape[2:], mode="nearest")
    return enlarged


def decode(maps: Sequence[Tensor], anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn raw maps into faces, all strides one after another.

    Args:
        maps: (B, 3, h, w, outputs) for each stride.
        anchors: (3, 3, 2) px.
    Returns:
        boxes (B, A, 4) x1 y1 x2 y2 in px of the input, scores (B, A), landmarks (B, A, points, 2).
    """
    boxes, scores, points = [], [], []
    for raw, anchor, stride in zip(maps, anchors, STRIDES, strict=True):
        corner = cell_corners(raw) * stride  # (h, w, 2)
        size = anchor[:, None, None]  # (3, 1, 1, 2)
        centre = corner + (2 * raw[..., :2].sigmoid() - 0.5) * stride
        half = (2 * raw[..., 2:4].sigmoid()) ** 2 * size / 2
        boxes.append(torch.cat([centre - half, centre + half], -1).flatten(1, 3))
        # With one class the objectness is the score: the class output is never trained.
        scores.append(raw[..., 4].sigmoid().flatten(1, 3))
        offsets = raw[..., 5:-1].reshape(*raw.shape[:-1], (raw.shape[-1] - 6) // 2, 2)  # (B, 3, h, w, points, 2)
        points.append((offsets * size[..., None, :] + corner[..., None, :]).flatten(1, 3))
    return torch.cat(boxes, 1), torch.cat(scores, 1), torch.cat(points, 1)


def cell_corners(raw: Tensor) -> Tensor:
    """Return (h, w, 2): column and row of each cell of a map (B, 3, h, w, outputs)."""
    rows = torch.arange(raw.shape[2], dtype=torch.float32, device=raw.device)
    columns = torch.arange(raw.shape[3], dtype=torch.float32, device=raw.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], -1)


class DeployedYolo(nn.Module):
    """Letterboxed pixels in, faces of all anchors out; sides must be multiples of 32."""

    def __init__(self, network: YoloV5s) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (B, A, 4), scores (B, A), landmarks (B, A, 5, 2) for (B, H, W, 3) uint8 RGB."""
        pixels = images.permute(0, 3, 1, 2).float() / 255
        return decode(self.network(pixels), self.network.anchors)


def build_deployed() -> DeployedYolo:
    """Return the module behind `yolov5s-face`, without weights."""
    return DeployedYolo(YoloV5s()).eval()
