"""SSD300-VGG16 of torchvision for one class, and what is exported of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from facereg_ssd.plugin import SIDE

GRIDS = (38, 19, 10, 5, 3, 1)  # sides of the six maps (Liu et al. 2016, figure 2)
VGG_CONVOLUTIONS = 13
LARGEST = math.log(1000 / 16)  # of the logarithms of widths and heights, as in torchvision


def build_network() -> SSD:
    """Return torchvision's network for background and faces, its weights random."""
    network: SSD = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=2)
    return network


def vgg_convolutions(network: SSD) -> list[nn.Conv2d]:
    """Return the 13 convolutions of VGG16, in order; those that SSD adds come after them."""
    return [module for module in network.backbone.modules() if isinstance(module, nn.Conv2d)][:VGG_CONVOLUTIONS]


class DeployedSsd(nn.Module):
    """Stretched pixels in, a box and a score for each default box out."""

    mean: Tensor
    defaults: Tensor  # (8732, 4) x1 y1 x2 y2 px

    def __init__(self, network: SSD) -> None:
        super().__init__()
        self.network = network
        transform = network.transform
        # torchvision divides pixels by 255 and then by 1/255
        mean = torch.tensor(transform.image_mean) / torch.tensor(transform.image_std)
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("defaults", default_boxes(network), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, 8732, 4) and scores (B, 8732) for (B, 300, 300, 3) uint8 RGB.

        Boxes are x1 y1 x2 y2 in px from the picture's corner, not from the centre of its first pixel.
        """
        pixels = images.permute(0, 3, 1, 2).float() - self.mean
        heads = self.network.head(list(self.network.backbone(pixels).values()))
        scores = heads["cls_logits"].softmax(-1)[..., 1]
        return decode(heads["bbox_regression"], self.defaults), scores


def default_boxes(network: SSD) -> Tensor:
    """Return the default boxes (8732, 4) x1 y1 x2 y2 in px of the 300 x 300 input."""
    pictures = ImageList(torch.zeros(1, 3, SIDE, SIDE), [(SIDE, SIDE)])
    boxes: Tensor = network.anchor_generator(pictures, [torch.zeros(1, 1, side, side) for side in GRIDS])[0]
    return boxes


def decode(offsets: Tensor, defaults: Tensor) -> Tensor:
    """Return boxes (B, A, 4) for offsets (B, A, 4) to default boxes (A, 4).

    Source: Liu et al. 2016, section 2.2; variances 0.1 and 0.2 as in the authors' code.
    """
    sides = defaults[:, 2:] - defaults[:, :2]
    centre = defaults[:, :2] + sides / 2 + offsets[..., :2] / 10 * sides
    half = (offsets[..., 2:] / 5).clamp(max=LARGEST).exp() * sides / 2
    return torch.cat([centre - half, centre + half], -1)


def build_deployed() -> DeployedSsd:
    """Return the module behind `ssd300-vgg16`, without weights."""
    return DeployedSsd(build_network()).eval()
