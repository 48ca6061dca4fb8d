"""P-, R- and O-Net in torch: for training, and as the modules behind TorchRunner and the ONNX export.

Layers as in the authors' Caffe models. Pooling windows round up, so that a picture's last row and column
count; before the first full layer the map is read column by column, the order of the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OUTSIDE = -1e6  # a value no window maximum picks when a real one is beside it


class PNet(nn.Module):
    """Proposal network, fully convolutional: window 12, stride 2; 6,632 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
        self.points = nn.Conv2d(32, 10, 1)  # a training task only (the paper, section 3.1); dropped on export

    def forward(self, pixels: Tensor, shown: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, 2, h, w), box offsets (B, 4, h, w) and landmarks (B, 10, h, w).

        Args:
            pixels: (B, 3, H, W) in -1..1.
            shown: (B, 1, H, W), 1 where the canvas shows a picture; None where all of it does.
        """
        x = self.prelu1(self.conv1(pixels))  # (B, 10, H - 2, W - 2)
        if shown is not None:
            whole = shown[:, :, :-2, :-2] * shown[:, :, 2:, 2:]  # windows of conv1 that lie in one picture
            x = torch.where(whole > 0, x, OUTSIDE)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(self.pool1(x)))))
        return self.conv4_1(x), self.conv4_2(x), self.points(x)


class RNet(nn.Module):
    """Refinement network, 24x24; 100,178 parameters without the training-only landmark task."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        self.points = nn.Linear(128, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, 2), box offsets (B, 4), landmarks (B, 10) for (B, 3, 24, 24)."""
        x = self.pool1(self.prelu1(self.conv1(pixels)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)  # column by column
        x = self.prelu4(self.dense4(x))
        return self.dense5_1(x), self.dense5_2(x), self.points(x)


class ONet(nn.Module):
    """Output network, 48x48; 389,040 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, 2), box offsets (B, 4), landmarks (B, 10; five x, then five y) for (B, 3, 48, 48)."""
        x = self.pool1(self.prelu1(self.conv1(pixels)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)  # column by column
        x = self.prelu5(self.dense5(x))
        return self.dense6_1(x), self.dense6_2(x), self.dense6_3(x)


def scaled(images: Tensor) -> Tensor:
    """Return (B, C, H, W) in -1..1 for (B, H, W, C) of 0..255."""
    return (images.permute(0, 3, 1, 2).float() - 127.5) / 128.0


class DeployedPNet(nn.Module):
    """Canvases in, maps of scores and box offsets out; scaling and softmax inside."""

    def __init__(self, network: PNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, h, w) and offsets (B, h, w, 4) for (B, H, W, 4)."""
        shown = images[..., 3:].permute(0, 3, 1, 2)
        logits, boxes, _ = self.network(scaled(images[..., :3]), shown)
        return logits.softmax(1)[:, 1], boxes.permute(0, 2, 3, 1)


class DeployedRNet(nn.Module):
    """Crops in, scores and box offsets out."""

    def __init__(self, network: RNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B,) and offsets (B, 4) for (B, 24, 24, 3)."""
        logits, boxes, _ = self.network(scaled(images))
        return logits.softmax(1)[:, 1], boxes


class DeployedONet(nn.Module):
    """Crops in, scores, box offsets and landmarks out."""

    def __init__(self, network: ONet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores (B,), offsets (B, 4), landmarks (B, 5, 2) for (B, 48, 48, 3)."""
        logits, boxes, points = self.network(scaled(images))
        return logits.softmax(1)[:, 1], boxes, points.view(-1, 2, 5).permute(0, 2, 1)


def build_pnet() -> DeployedPNet:
    """Return the module behind `mtcnn-pnet`, without weights."""
    return DeployedPNet(PNet()).eval()


def build_rnet() -> DeployedRNet:
    """Return the module behind `mtcnn-rnet`, without weights."""
    return DeployedRNet(RNet()).eval()


def build_onet() -> DeployedONet:
    """Return the module behind `mtcnn-onet`, without weights."""
    return DeployedONet(ONet()).eval()
