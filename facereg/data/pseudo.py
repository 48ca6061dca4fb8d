"""Labels made by a detector, to teach another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facereg.data.boxes import PseudoLabels
from facereg.errors import ImageError
from facereg.pipeline.files import detect_files
from facereg.roles import Detector

CHUNK = 16  # pictures detected together


def label_images(detector: Detector, paths: Sequence[Path]) -> Iterator[PseudoLabels | ImageError]:
    """Yield what the detector finds in each picture, or what is wrong with the picture, in order."""
    for path, outcome in detect_files(detector, paths, chunk=CHUNK):
        if isinstance(outcome, ImageError):
            yield outcome
        else:
            picture, faces = outcome
            yield PseudoLabels(path, picture.in_file(faces))
