"""Labels made by a detector, and an aligner, to teach others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facereg.builtin.alignment import FivePointAligner
from facereg.data.boxes import PseudoLabels
from facereg.errors import ImageError
from facereg.pipeline.files import detect_files
from facereg.pipeline.points import find_points
from facereg.roles import Aligner, Detector
from facereg.types import Faces

CHUNK = 16  # pictures detected together


def label_images(
    detector: Detector, paths: Sequence[Path], *, aligner: Aligner | None = None
) -> Iterator[PseudoLabels | ImageError]:
    """Yield what the detector finds in each picture, or what is wrong with the picture, in order.

    Args:
        aligner: its points stand for the detector's landmarks, and faces that it refuses are left out; None, and the
            one that takes the detector's five, leave what was found as it is.
    """
    if aligner is None or type(aligner) is FivePointAligner:
        for path, outcome in detect_files(detector, paths, chunk=CHUNK):
            if isinstance(outcome, ImageError):
                yield outcome
            else:
                picture, faces = outcome
                yield PseudoLabels(path, picture.in_file(faces))
        return
    for path, pointed in find_points(detector, aligner, paths):
        if isinstance(pointed, ImageError):
            yield pointed
        else:
            picture, faces, own = pointed
            kept = own.kept
            labels = Faces(faces.boxes[kept], faces.scores[kept], own.points[kept])
            yield PseudoLabels(path, picture.in_file(labels))
