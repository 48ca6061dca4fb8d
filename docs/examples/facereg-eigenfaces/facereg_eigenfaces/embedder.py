"""Eigenfaces (Turk and Pentland 1991): one network, which `learning.py` writes."""

from __future__ import annotations

from pathlib import Path

from facereg import NetworkEmbedder

WEIGHTS = Path(__file__).with_name("weights")


class EigenfacesEmbedder(NetworkEmbedder):
    """Places of a grey 28x28 face along the 64 directions in which faces differ most."""

    crop_size = 112
    dim = 64
    answers = WEIGHTS / "answers.npz"  # by scikit-learn, not by the network
