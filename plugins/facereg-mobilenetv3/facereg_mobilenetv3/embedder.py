"""The embedder: one network, uint8 crops in, vectors out."""

from __future__ import annotations

from pathlib import Path

from facereg import EmbedderOpening, NetworkEmbedder, Opener


class MobileNetV3ArcFace(NetworkEmbedder):
    """MobileNetV3-small with a 128-d head (the paper, section 4.2.1)."""

    open = Opener("mobilenetv3-arcface", EmbedderOpening)
    crop_size = 112
    dim = 128
    answers = Path(__file__).with_name("weights") / "answers.npz"  # of the checkpoint, by torch
