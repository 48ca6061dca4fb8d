"""The faces whose points are farthest from their labels, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facereg.data.sheet import close_up
from facereg.evaluation.landmarks import LandmarkScores
from facereg.evaluation.worst import PICTURES, draw_ranked
from facereg.types import FloatArray, Image

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
        layers = ((labelled[row], LABELLED), (found[row], FOUND))
        return close_up(image, labelled[row], layers, side=SIDE)

    return draw_ranked(folder, paths, order.tolist(), draw, most=most)
