"""The embedder: one network, uint8 crops in, vectors out."""

from __future__ import annotations

from facereg import EmbedderOpening, NetworkEmbedder, Opener


class InceptionV2Triplet(NetworkEmbedder):
    """Inception-v2 with a 128-d head (the paper, section 4.2.2 and table 1)."""

    open = Opener("inceptionv2-triplet", EmbedderOpening)
    crop_size = 112
    dim = 128
