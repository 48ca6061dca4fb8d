"""VGG16 as the paper's table 2 states it: torchvision's, whose last layer gives 256 numbers.

The table gives Conv2d-4 64 channels; its 73,856 parameters, and the layer after it, are those of VGG16's 128.
Its adaptive pool to 7x7 takes maps of any side, and so the network takes crops of any side of 32 or more.
"""

from __future__ import annotations

from torchvision.models import VGG, vgg16

from facereg.training import DeployedEmbedder

EMBEDDING = 256  # table 2, Linear-22
SIZE = 256  # px; the paper, section 4.2.3


def build_network(*, dropout: float = 0.0) -> VGG:
    """Return the network, its weights random: (B, 3, H, W) float pixels in -1..1 to (B, 256) vectors, not normalised.

    Args:
        dropout: share of the 4,096 numbers after each of the first two linear layers that is dropped in training.
    """
    network: VGG = vgg16(weights=None, num_classes=EMBEDDING, dropout=dropout)
    return network


def build_deployed() -> DeployedEmbedder:
    """Return the module behind the network `vgg16-online-triplet`, without weights; a checkpoint brings its size."""
    return DeployedEmbedder(build_network(), size=SIZE).eval()
