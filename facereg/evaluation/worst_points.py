"""The faces whose points are farthest from their labels, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facereg.drawing import draw_points
from facereg.evaluation.landmarks import LandmarkScores
from facereg.evaluation.worst import PICTURES, draw_ranked
from facereg.geometry import resize
from facereg.types import FloatArray, Image

AROUND = 0.4  # of the longer side of the labelled points, shown on each side of them
SIDE = 480  # px of a drawn face's longer side
LABELLED, FOUND = "#2ca02c", "#d62728"


def draw_worst_points(
    folder: Path,
    paths: Sequence[Path],
    labelled: FloatArray,
    found: FloatArray,
    scores: LandmarkScores,
    *,
    most: int = PICTURES,
) -> list[Path]:
    """Draw the faces with the largest errors, then those missed, into a folder, `01-NAME.jpg` the worst.

    Labelled points are green, those found red. A picture that cannot be read in its own size is passed over.

    Args:
        paths: of N pictures.
        labelled, found: (N, P, 2) float32; NaN where a face was missed.
        scores: of these.
    Raises:
        ImageError: if the folder cannot be written.
    """
    order = np.argsort(-np.where(np.isfinite(scores.errors), scores.errors, -1), kind="stable")

    def draw(row: int, image: Image) -> Image:
        return _face(image, labelled[row], found[row])

    return draw_ranked(folder, paths, order.tolist(), draw, most=most)


def _face(image: Image, labelled: FloatArray, found: FloatArray) -> Image:
    """Return the part of a picture about the labelled points (P, 2), with these and those found."""
    low, high = labelled.min(0), labelled.max(0)
    margin = AROUND * float((high - low).max())
    left, top = np.clip(np.floor(low - margin), 0, np.array(image.shape[1::-1]) - 1).astype(int)
    right, bottom = np.ceil(high + margin).astype(int) + 1
    part = image[top : max(top + 1, bottom), left : max(left + 1, right)]
    larger = resize(part, SIDE / max(part.shape[:2]))
    drawn = larger.pixels
    for points, colour in ((labelled, LABELLED), (found, FOUND)):
        if np.isfinite(points).all():
            drawn = draw_points(drawn, larger.points_there(points - np.array([left, top], np.float32)), colour)
    return drawn
