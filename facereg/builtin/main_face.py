"""Which face a picture is about: one rule for everything that takes one face of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facereg.images import image_size
from facereg.types import Faces

ODDS_WEIGHT = 0.1  # of 0.02, 0.05, 0.1, 0.2 and 0.5 the least of the three that name the most of celeba-wild
NO_FACE = "expected a face, found none; use a larger or sharper picture"  # of a picture that is about none
HIGHEST_SCORE = 0.999  # two faces scored higher differ by size and place alone


def main_face(faces: Faces, height: int, width: int) -> int | None:
    """Return the row of the face that a photograph is about: large, near the centre, surely one; None: there is none.

    One rule for all that take one face of a picture: enrolment, verification, and what is measured.

    The side in px, less the distance to the centre, plus a tenth of the picture's longer side for each unit of the
    score's log-odds: a shirt taken for a face is often larger than the face above it, and scored lower.
    """
    if len(faces) == 0:
        return None
    scores = np.clip(faces.scores, 1 - HIGHEST_SCORE, HIGHEST_SCORE)
    odds = np.log(scores / (1 - scores))
    sides = np.sqrt(np.prod(np.maximum(faces.boxes[:, 2:] - faces.boxes[:, :2], 0), axis=1))
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    distances = np.linalg.norm(centres - np.array([(width - 1) / 2, (height - 1) / 2]), axis=1)
    return int((sides - distances + ODDS_WEIGHT * max(height, width) * odds).argmax())


def main_face_of(path: Path, faces: Faces) -> int | None:
    """Return the row of the face that a picture file is about, as `main_face`; the file is opened for its size alone.

    Of a pipe, which gives a picture once, it is the first.

    Args:
        faces: in the file's pixels.
    Raises:
        ImageError: if the file cannot be read any more.
    """
    if len(faces) < 2 or not path.is_file():
        return 0 if len(faces) else None
    width, height = image_size(path)
    return main_face(faces, height, width)
