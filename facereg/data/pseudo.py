"""Labels made by a detector, to teach another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facereg.data.boxes import PseudoLabels
from facereg.errors import ImageError
from facereg.images import Picture, load_pictures
from facereg.interfaces import Detector

CHUNK = 16  # pictures detected together
CHUNK_PIXELS = 24_000_000  # of them together


def label_images(detector: Detector, paths: Sequence[Path]) -> Iterator[PseudoLabels | ImageError]:
    """Yield what the detector finds in each picture, or what is wrong with the picture, in order."""
    loaded: list[tuple[Path, Picture | ImageError]] = []
    pixels = 0
    for path, picture in load_pictures(paths):
        loaded.append((path, picture))
        pixels += 0 if isinstance(picture, ImageError) else picture.image[:, :, 0].size
        if len(loaded) == CHUNK or pixels >= CHUNK_PIXELS:
            yield from _labels(detector, loaded)
            loaded, pixels = [], 0
    yield from _labels(detector, loaded)


def _labels(
    detector: Detector, loaded: Sequence[tuple[Path, Picture | ImageError]]
) -> Iterator[PseudoLabels | ImageError]:
    found = iter(detector.detect([picture.image for _, picture in loaded if not isinstance(picture, ImageError)]))
    for path, picture in loaded:
        if isinstance(picture, ImageError):
            yield picture
        else:
            yield PseudoLabels(path, picture.in_file(next(found)))
