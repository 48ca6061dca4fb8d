"""Labels made by a detector, to teach another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facereg.data.boxes import PseudoLabels
from facereg.errors import ImageError
from facereg.images import load_images
from facereg.interfaces import Detector

CHUNK = 16  # pictures detected together


def label_images(detector: Detector, paths: Sequence[Path]) -> Iterator[PseudoLabels | ImageError]:
    """Yield what the detector finds in each picture, or what is wrong with the picture, in order."""
    for start in range(0, len(paths), CHUNK):
        loaded = list(load_images(paths[start : start + CHUNK]))
        found = iter(detector.detect([image for _, image in loaded if not isinstance(image, ImageError)]))
        for path, image in loaded:
            yield image if isinstance(image, ImageError) else PseudoLabels(path, next(found))
