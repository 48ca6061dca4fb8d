"""Inception-v2 as the paper's table 1 states it, for crops of 112 px, in torch.

The blocks are those of Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision"
(arXiv:1512.00567), section 6, figures 5, 6 and 7. Where the table is silent or contradicts itself:

- A row states its input, but for the pool and the second convolution of stride 2, which state the side that they give
  (28 px after the pool, 14 px after the convolution). Read so, all other rows hold.
- There are three blocks of figure 5, five of figure 6 and two of figure 7, as in Szegedy's table 1.
- The blocks of figure 6 begin with 14x14x768 and those of figure 7 with 7x7x1280, and no row tells how the maps before
  become these. Szegedy's grid reduction (figure 10) does it; before figure 6, where the side stays 14, its stride is 1.
- Widths of the branches are those that are usual for Inception-v3, which has four blocks of figure 6; the factorised
  branches of the five here are 128, 160, 160, 160 and 192 channels wide. n is 7, as on Szegedy's 17x17 grid.
- 128 logits and a further layer of 128 with no nonlinearity between them (section 4.2.2) are one linear map: one layer.
- A ConvBlock is a convolution without bias, a batch norm (eps 1e-3) and a ReLU, padded so that only its stride halves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facereg.training import DeployedEmbedder

EMBEDDING = 128  # table 1, its last row
FEATURES = 2048
SIZE = 112  # px; of the crops
FACTORISED = (128, 160, 160, 160, 192)  # channels in the blocks of figure 6


def conv_block(width: int, out: int, kernel: int | tuple[int, int], stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and ReLU; the map keeps its side, or half of it for a stride of 2."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(width, out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out, eps=1e-3),
        nn.ReLU(inplace=True),
    )


class Branches(nn.Module):
    """Branches over one map, their channels put together."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([branch(maps) for branch in self.branches], 1)


def figure_5(width: int) -> Branches:
    """Return the block that has two 3x3 convolutions where a 5x5 was: 288 channels out."""
    return Branches(
        conv_block(width, 64, 1),
        nn.Sequential(conv_block(width, 48, 1), conv_block(48, 64, 3)),
        nn.Sequential(conv_block(width, 64, 1), conv_block(64, 96, 3), conv_block(96, 96, 3)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv_block(width, 64, 1)),
    )


def figure_6(width: int, factorised: int) -> Branches:
    """Return the block of 1x7 and 7x1 convolutions: 768 channels out."""
    row, column = (1, 7), (7, 1)
    return Branches(
        conv_block(width, 192, 1),
        nn.Sequential(
            conv_block(width, factorised, 1),
            conv_block(factorised, factorised, row),
            conv_block(factorised, 192, column),
        ),
        nn.Sequential(
            conv_block(width, factorised, 1),
            conv_block(factorised, factorised, column),
            conv_block(factorised, factorised, row),
            conv_block(factorised, factorised, column),
            conv_block(factorised, 192, row),
        ),
        nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv_block(width, 192, 1)),
    )


def figure_7(width: int) -> Branches:
    """Return the block with the expanded filter bank: 2,048 channels out."""

    def expanded(width: int) -> Branches:
        return Branches(conv_block(width, 384, (1, 3)), conv_block(width, 384, (3, 1)))

    return Branches(
        conv_block(width, 320, 1),
        nn.Sequential(conv_block(width, 384, 1), expanded(384)),
        nn.Sequential(conv_block(width, 448, 1), conv_block(448, 384, 3), expanded(384)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv_block(width, 192, 1)),
    )


def to_figure_6(width: int) -> Branches:
    """Return what widens 288 channels to 768 and keeps the side."""
    return Branches(
        conv_block(width, 384, 3),
        nn.Sequential(conv_block(width, 64, 1), conv_block(64, 96, 3), conv_block(96, 96, 3)),
        nn.MaxPool2d(3, 1, 1),
    )


def to_figure_7(width: int) -> Branches:
    """Return what widens 768 channels to 1,280 and halves the side."""
    return Branches(
        nn.Sequential(conv_block(width, 192, 1), conv_block(192, 320, 3, 2)),
        nn.Sequential(
            conv_block(width, 192, 1),
            conv_block(192, 192, (1, 7)),
            conv_block(192, 192, (7, 1)),
            conv_block(192, 192, 3, 2),
        ),
        nn.MaxPool2d(3, 2, 1),
    )


class InceptionV2(nn.Module):
    """The rows of table 1, one child each but for the blocks that come several times, and the dropout of section 4.2.2.

    Args:
        dropout: share of features dropped in training.
    """

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.rows = nn.ModuleDict(
            {
                "conv1": conv_block(3, 32, 3, 2),
                "conv2": conv_block(32, 64, 3),
                "pool": nn.MaxPool2d(3, 2, 1),
                "conv3": conv_block(64, 80, 3),
                "conv4": conv_block(80, 192, 3, 2),
                "conv5": conv_block(192, 288, 3),
                "conv6": conv_block(288, 288, 3),
                "figure5": nn.Sequential(*(figure_5(288) for _ in range(3)), to_figure_6(288)),
                "figure6": nn.Sequential(*(figure_6(768, width) for width in FACTORISED), to_figure_7(768)),
                "figure7a": figure_7(1280),
                "figure7b": figure_7(2048),
                "average": nn.AdaptiveAvgPool2d(1),
            }
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(FEATURES, EMBEDDING))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, 128) vectors, not normalised, for (B, 3, 112, 112) float pixels in -1..1."""
        for row in self.rows.values():
            pixels = row(pixels)
        vectors: Tensor = self.head(pixels)
        return vectors


def build_deployed() -> DeployedEmbedder:
    """Return the module behind the network `inceptionv2-triplet`, without weights; a checkpoint brings its size."""
    return DeployedEmbedder(InceptionV2(), size=SIZE).eval()
