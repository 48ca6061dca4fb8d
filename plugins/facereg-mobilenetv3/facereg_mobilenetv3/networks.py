"""The network in torch: for training, and as the module behind TorchRunner and the ONNX export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small

from facereg.training import DeployedEmbedder, freeze_norms, load_embedder

EMBEDDING = 128  # the paper, section 3.2.1
FEATURES = 576  # channels before torchvision's classifier
SIZE = 224  # px; the paper, section 4.2.1


class MobileNetV3Embedder(nn.Module):
    """MobileNetV3-small whose classifier is the paper's head: batch norm, dropout, linear to 128.

    Args:
        dropout: share of features dropped in training.
    """

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        backbone = mobilenet_v3_small(weights=None)
        self.features = backbone.features
        self.head = make_head(EMBEDDING, dropout=dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, 128) vectors, not normalised, for (B, 3, H, W) float pixels in -1..1."""
        vectors: Tensor = self.head(self.pooled(pixels))
        return vectors

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the (B, 576) features that the head reads."""
        maps: Tensor = self.features(pixels)  # (B, 576, H / 32, W / 32)
        return maps.mean((2, 3))


def make_head(dim: int, *, dropout: float) -> nn.Sequential:
    """Return the paper's head: batch norm, dropout, linear."""
    return nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Dropout(dropout), nn.Linear(FEATURES, dim))


def begin_network(*, dropout: float, init: str, freeze_norm: bool) -> MobileNetV3Embedder:
    """Return the network that a run of either recipe starts from, channels last.

    Raises:
        WeightsError: if `init` is missing or of another network.
    """
    network = MobileNetV3Embedder(dropout=dropout)
    if init:
        load_embedder(network, Path(init))
    if freeze_norm:
        freeze_norms(network)
    return network.to(memory_format=torch.channels_last)


def build_deployed() -> DeployedEmbedder:
    """Return the module behind the network `mobilenetv3-arcface`, without weights; a checkpoint brings its size."""
    return DeployedEmbedder(MobileNetV3Embedder(), size=SIZE).eval()
