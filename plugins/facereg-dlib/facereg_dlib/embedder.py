"""The embedder: one network, uint8 chips in, vectors out."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from facereg import EmbedderOpening, FloatArray, NetworkEmbedder, Opener

# Where the five landmarks lie in dlib's chip of 150 px with padding 0.25, which it cuts by landmarks of its own:
# eye, eye, nose, mouth corner, mouth corner; the median over 395 faces.
TEMPLATE = ((48.23, 45.41), (101.45, 45.86), (74.70, 78.98), (50.77, 100.51), (98.09, 100.74))  # px


class DlibResNet(NetworkEmbedder):
    """dlib's face recognition ResNet: 128 numbers a face (Davis King 2017).

    It was trained for Euclidean distances between vectors that are not of unit length; the cosine serves as well. All
    vectors have a large part in common, so cosines are high: two people are at 0.83 rather than at 0.
    """

    open = Opener("dlib-resnet", EmbedderOpening)
    crop_size = 150
    dim = 128
    answers = Path(__file__).with_name("answers.npz")  # dlib's own, by tests/dlib_answers.cpp

    @cached_property
    def template(self) -> FloatArray:
        """Return where the five landmarks lie in dlib's chip."""
        return np.array(TEMPLATE, np.float32)
