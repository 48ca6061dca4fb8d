"""The pairs that were judged wrongly, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facereg.data.pairs import Pair
from facereg.errors import ImageError
from facereg.evaluation.verification import REFUSED
from facereg.evaluation.worst import PICTURES, draw_ranked
from facereg.geometry import resize
from facereg.images import read_image
from facereg.types import BoolArray, FloatArray, Image

HEIGHT, STRIP = 240, 28  # px of each picture, and of the words above the two


def draw_worst_pairs(
    folder: Path,
    pairs: Sequence[Pair],
    similarities: FloatArray,
    right: BoolArray,
    threshold: float,
    *,
    most: int = PICTURES,
) -> list[Path]:
    """Draw the pairs farthest on the wrong side of the threshold into a folder, `01-NAME.jpg` the worst.

    A pair of which a picture cannot be read, or shows no face, is passed over.

    Args:
        similarities: (N,) of the pairs, REFUSED for one that lacks a face.
        right: (N,) which were judged rightly.
    Raises:
        ImageError: if the folder cannot be written.
    """
    judged = np.flatnonzero(~right & (similarities > REFUSED))
    order = judged[np.argsort(-np.abs(similarities[judged] - threshold), kind="stable")]

    def draw(row: int, image: Image) -> Image:
        who = "one person" if pairs[row].same else "two people"
        words = f"{who}, similarity {similarities[row]:.2f}, threshold {threshold:.2f}"
        try:
            second = read_image(pairs[row].second, whole=True)
        except ImageError:
            second = np.zeros_like(image)  # it was there when it was compared
        return side_by_side(image, second, words)

    return draw_ranked(folder, [pair.first for pair in pairs], order.tolist(), draw, most=most)


def side_by_side(first: Image, second: Image, words: str) -> Image:
    """Return two pictures of one height beside each other, with words above."""
    both = np.hstack([resize(image, HEIGHT / image.shape[0]).pixels[:HEIGHT] for image in (first, second)])
    strip = np.full((STRIP, both.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, words, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, both])
