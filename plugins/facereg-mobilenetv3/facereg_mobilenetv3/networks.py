"""The network in torch: for training, and as the module behind TorchRunner and the ONNX export."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small

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


def freeze_norms(network: nn.Module) -> None:
    """Have batch norms use their running statistics, as in inference, and keep them."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.eval()


class DeployedEmbedder(nn.Module):
    """What is served: uint8 crops in, vectors out; scaling and enlarging happen inside.

    The crop stays 112x112, the size the training faces have, and is enlarged to the paper's 224x224 here,
    so that a quarter of the bytes cross the wire.
    """

    def __init__(self, network: MobileNetV3Embedder, *, size: int = SIZE) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 128) for (B, 112, 112, 3) uint8 RGB."""
        vectors: Tensor = self.network(enlarged(images, self.size))
        return vectors

    def checkpoint_metadata(self) -> dict[str, str]:
        """Return what a checkpoint says beside its tensors."""
        return {"size": str(self.size)}

    def read_checkpoint_metadata(self, metadata: Mapping[str, str]) -> None:
        """Enlarge to the size that the checkpoint was trained at; one that says none was trained at 224."""
        self.size = int(metadata.get("size", SIZE))


def enlarged(images: Tensor, size: int) -> Tensor:
    """Return (B, 3, size, size) float32 in -1..1 for (B, S, S, 3) uint8 RGB."""
    pixels = (images.permute(0, 3, 1, 2).float() - 127.5) / 127.5
    if pixels.shape[-1] == size:
        return pixels.contiguous(memory_format=torch.channels_last)
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)


def build_deployed() -> DeployedEmbedder:
    """Return the module behind the network `mobilenetv3-arcface`, without weights; a checkpoint brings its size."""
    return DeployedEmbedder(MobileNetV3Embedder()).eval()
