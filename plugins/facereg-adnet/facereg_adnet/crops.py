"""What part of a picture the network sees: one rule, in training and at inference."""

from __future__ import annotations

import numpy as np

from facereg import FloatArray

# Of the box's longer side. Our detectors' boxes have sides of 0.95 to 1.25 of the longer side of the box around the
# points, and centres within 0.1 of it: all points lie in the crop then, and the face fills about 0.7 of it.
FACTOR = 1.25


def crop_from_image(boxes: FloatArray, side: int) -> FloatArray:
    """Return what maps a picture to the network's crops: (N, 2, 3) float32; crop ~ M @ [x, y, 1].

    A crop is a square around the box's centre, FACTOR times as long as the box's longer side.

    Args:
        boxes: (N, 4) float32 x1 y1 x2 y2 px, with area.
        side: px of the crop.
    """
    scale = side / (FACTOR * (boxes[:, 2:] - boxes[:, :2]).max(1))  # (N,)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    matrices = np.zeros((len(boxes), 2, 3), np.float32)
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    matrices[:, :, 2] = (side - 1) / 2 - scale[:, None] * centre  # pixel centres are at integers
    return matrices
