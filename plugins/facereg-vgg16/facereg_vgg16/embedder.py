"""The embedder: one network, uint8 crops in, vectors out."""

from __future__ import annotations

from facereg import EmbedderOpening, NetworkEmbedder, Opener


class Vgg16Triplet(NetworkEmbedder):
    """VGG16 with a 256-d head (the paper, section 4.2.3 and table 2)."""

    open = Opener("vgg16-online-triplet", EmbedderOpening)
    crop_size = 256  # ArcFace's template, scaled to it
    dim = 256
