"""P-, R- and O-Net in torch: for training, and as the modules behind TorchRunner and the ONNX export.

Layers as in the authors' Caffe models. Pooling windows round up, so that a picture's last row and column
count; before the first full layer the map is read column by column, the order of the published weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OUTSIDE = 1e6  # taken from windows that leave the picture, so that no maximum picks them
BLOCK = 16  # channels of a block of ONNX Runtime's layout with AVX-512 (8 with AVX2)


class PReLU(nn.PReLU):
    """PReLU that is exported as convolutions: relu(x) has slope 1 above, so x = slope * x + (1 - slope) * relu(x).

    ONNX Runtime keeps convolutions of one channel each in its blocked layout, where a PReLU node would leave it twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x of the same shape; maps (B, C, H, W) of a whole number of blocks go through convolutions."""
        if self.training or x.ndim != 4 or x.shape[1] % 8:
            return super().forward(x)
        return each_channel(x, self.weight) + each_channel(F.relu(x), 1 - self.weight)


def each_channel(x: Tensor, factors: Tensor) -> Tensor:
    """Return (B, C, H, W) maps times (C,) factors, as a convolution."""
    return F.conv2d(x, factors[:, None, None, None], groups=len(factors))


class PNet(nn.Module):
    """Proposal network, fully convolutional: window 12, stride 2; 6,632 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
        self.points = nn.Conv2d(32, 10, 1)  # a training task only (the paper, section 3.1); dropped on export

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, 2, h, w), box offsets (B, 4, h, w) and landmarks (B, 10, h, w) for (B, 3, H, W)."""
        return self.after_pool(self.pool1(self.prelu1(self.conv1(pixels))))

    def after_pool(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go on from the first layer's maps, pooled: (B, C, h, w) with C >= 10, of which the first 10 count."""
        x = self.prelu3(self.conv3(self.prelu2(convolve_first(x, self.conv2))))
        return self.conv4_1(x), self.conv4_2(x), self.points(x)


class RNet(nn.Module):
    """Refinement network, 24x24; 100,178 parameters without the training-only landmark task."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        self.points = nn.Linear(128, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, 2), box offsets (B, 4), landmarks (B, 10) for (B, 3, 24, 24)."""
        return self.after_pool(self.pool1(self.prelu1(self.conv1(pixels))))

    def after_pool(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go on from the first layer's maps, pooled: (B, C, 11, 11) with C >= 28, of which the first 28 count."""
        x = self.pool2(self.prelu2(convolve_first(x, self.conv2)))
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)  # column by column
        x = self.prelu4(self.dense4(x))
        return self.dense5_1(x), self.dense5_2(x), self.points(x)


class ONet(nn.Module):
    """Output network, 48x48; 389,040 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, 2), box offsets (B, 4), landmarks (B, 10; five x, then five y) for (B, 3, 48, 48)."""
        return self.after_pool(self.pool1(self.prelu1(self.conv1(pixels))))

    def after_pool(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go on from the first layer's maps, pooled: (B, 32, 23, 23)."""
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)  # column by column
        x = self.prelu5(self.dense5(x))
        return self.dense6_1(x), self.dense6_2(x), self.dense6_3(x)


def convolve_first(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Return conv of the first of x's channels, as many as it has inputs."""
    spare = x.shape[1] - conv.in_channels
    return F.conv2d(x, F.pad(conv.weight, (0, 0, 0, 0, 0, spare)), conv.bias)


def first_layer(pixels: Tensor, conv: nn.Conv2d, prelu: nn.PReLU, pool: nn.MaxPool2d) -> Tensor:
    """Return pool(prelu(conv(scaled pixels))) for (B, C, H, W) of 0..255; a fourth channel marks what is outside.

    The scaling is folded into the weights. PReLU of y is the larger of y and slope * y (the smaller where the slope
    is over 1), and so is its maximum over a window: both are pooled first, and compared on a quarter of the maps.
    Channels are filled up to whole blocks with zeros.
    """
    weight = conv.weight / 128.0
    bias = conv.weight.new_zeros(len(weight)) if conv.bias is None else conv.bias
    bias = bias - 127.5 * weight.sum((1, 2, 3))
    sign = torch.where(prelu.weight > 1, -1.0, 1.0)
    spare = -len(weight) % BLOCK
    sign = F.pad(sign, (0, spare))

    def pooled(factors: Tensor) -> Tensor:
        scaled = factors[:, None, None, None] * weight
        if pixels.shape[1] == 4:
            scaled = torch.cat([scaled, torch.full_like(scaled[:, :1], -OUTSIDE)], 1)
        filters, shift = F.pad(scaled, (0, 0, 0, 0, 0, 0, 0, spare)), F.pad(factors * bias, (0, spare))
        maps: Tensor = pool(F.conv2d(pixels, filters, shift))
        return maps

    straight, bent = pooled(torch.ones_like(prelu.weight)), pooled(prelu.weight)
    above = F.relu(each_channel(straight, -sign) + each_channel(bent, sign))
    return straight + each_channel(above, sign)


def first_pooled(pixels: Tensor, network: PNet | RNet | ONet) -> Tensor:
    """Return the first layer's maps of a network, pooled."""
    return first_layer(pixels, network.conv1, network.prelu1, network.pool1)


def face_score(logits: Tensor) -> Tensor:
    """Return the softmax probability of the second of two classes, (B, ...) for (B, 2, ...).

    Not torch.sigmoid: ONNX Runtime approximates it, and scores near 1 then come in another order.
    """
    return 1 / (1 + torch.exp(logits[:, 0] - logits[:, 1]))


class DeployedPNet(nn.Module):
    """Canvases in, maps of scores and box offsets out."""

    def __init__(self, network: PNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, h, w) and offsets (B, 4, h, w) for (B, 4, H, W): RGB, and 1 outside the pictures."""
        logits, boxes, _ = self.network.after_pool(first_pooled(images, self.network))
        return face_score(logits), boxes


class DeployedRNet(nn.Module):
    """Crops in, scores and box offsets out."""

    def __init__(self, network: RNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B,) and offsets (B, 4) for (B, 3, 24, 24)."""
        logits, boxes, _ = self.network.after_pool(first_pooled(images, self.network))
        return face_score(logits), boxes


class DeployedONet(nn.Module):
    """Crops in, scores, box offsets and landmarks out."""

    def __init__(self, network: ONet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores (B,), offsets (B, 4), landmarks (B, 5, 2) for (B, 3, 48, 48)."""
        logits, boxes, points = self.network.after_pool(first_pooled(images, self.network))
        return face_score(logits), boxes, points.view(-1, 2, 5).permute(0, 2, 1)


def build_pnet() -> DeployedPNet:
    """Return the module behind `mtcnn-pnet`, without weights."""
    return DeployedPNet(PNet()).eval()


def build_rnet() -> DeployedRNet:
    """Return the module behind `mtcnn-rnet`, without weights."""
    return DeployedRNet(RNet()).eval()


def build_onet() -> DeployedONet:
    """Return the module behind `mtcnn-onet`, without weights."""
    return DeployedONet(ONet()).eval()


BUILDERS: dict[str, Callable[[], DeployedPNet | DeployedRNet | DeployedONet]] = {
    "pnet": build_pnet,
    "rnet": build_rnet,
    "onet": build_onet,
}
