"""Picture files through a pipeline, or through a detector alone; one bad file stops nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from facereg.errors import FaceregError, ImageError
from facereg.images import Picture, load_pictures, read_picture
from facereg.pipeline.composer import CHUNK_PIXELS, Outcome, Pipeline, Result
from facereg.pipeline.failures import NO_NETWORK
from facereg.roles import Detector
from facereg.types import Faces, Image

FIRST_OF_SEVERAL = "holds several frames or pages; the first is read"


def run_files(
    pipeline: Pipeline, paths: Sequence[Path], *, notice: Callable[[str], object] = lambda text: None
) -> Generator[tuple[Path, Result | ImageError], None, None]:
    """Yield each file with its result, or with what is wrong with the file, in order; one bad file stops nothing.

    Files are read while the stages work on those before, with memory bounded as in `Pipeline.stream`. Boxes and
    landmarks are in the pixels of the file, also where a huge JPEG was read at reduced size. Where a stage fails for
    one picture, that is what is wrong with its file.

    Args:
        notice: called with a line about a file that was read in part: the first of several pages.
    Raises:
        FaceregError: if a network cannot be reached or opened: no other picture would fare better.
    """
    unread: dict[int, ImageError] = {}
    reduced: dict[int, Picture] = {}

    def read() -> Iterator[Image]:
        for row, path in enumerate(paths):
            try:
                picture = read_picture(path)
            except ImageError as error:
                unread[row] = error
                continue
            if picture.several:
                notice(f"{path}: {FIRST_OF_SEVERAL}")
            if picture.reduction > 1:
                reduced[row] = replace(picture, image=np.empty((0, 0, 3), np.uint8))
            pixels = [picture.image]
            del picture
            yield pixels.pop()  # not bound to a local, which would keep the pixels alive

    row = 0
    with closing(pipeline.outcomes(read())) as outcomes:
        for outcome in outcomes:  # `read` came past the bad files before it already
            while row in unread:
                yield paths[row], unread.pop(row)
                row += 1
            yield paths[row], _of_file(paths[row], outcome, reduced.pop(row, None))
            row += 1
    for row in sorted(unread):
        yield paths[row], unread[row]


def detect_files(
    detector: Detector, paths: Iterable[Path], *, chunk: int = 1, notice: Callable[[str], object] = lambda text: None
) -> Iterator[tuple[Path, tuple[Picture, Faces] | ImageError]]:
    """Yield each file with its picture and the faces in the picture's pixels, or with what is wrong, in order.

    Args:
        chunk: most pictures of one call of the detector; where it fails for several, each is tried alone.
        notice: called with a line about a file that was read in part: the first of several pages.
    Raises:
        FaceregError: if a network cannot be reached or opened: no other picture would fare better.
    """
    loaded: list[tuple[Path, Picture | ImageError]] = []
    pixels = 0
    for path, picture in load_pictures(paths):
        if isinstance(picture, Picture) and picture.several:
            notice(f"{path}: {FIRST_OF_SEVERAL}")
        loaded.append((path, picture))
        pixels += 0 if isinstance(picture, ImageError) else picture.image[:, :, 0].size
        if len(loaded) == chunk or pixels >= CHUNK_PIXELS:
            yield from _detected(detector, loaded)
            loaded, pixels = [], 0
    yield from _detected(detector, loaded)


def _detected(
    detector: Detector, loaded: Sequence[tuple[Path, Picture | ImageError]]
) -> Iterator[tuple[Path, tuple[Picture, Faces] | ImageError]]:
    found = iter(_detect(detector, [(path, each) for path, each in loaded if isinstance(each, Picture)]))
    for path, each in loaded:
        yield path, each if isinstance(each, ImageError) else next(found)


def _detect(detector: Detector, good: Sequence[tuple[Path, Picture]]) -> Sequence[tuple[Picture, Faces] | ImageError]:
    """Return each picture with its faces, or with what went wrong."""
    if not good:
        return []
    pictures = [picture for _, picture in good]
    try:
        return list(zip(pictures, detector.detect([picture.image for picture in pictures]), strict=True))
    except FaceregError as error:
        if len(good) == 1 or isinstance(error, NO_NETWORK):
            return [error_of_file(good[0][0], error)]
        return [outcome for each in good for outcome in _detect(detector, [each])]


def _of_file(path: Path, outcome: Outcome, reduced: Picture | None) -> Result | ImageError:
    """Return the outcome of a file; the faces in the file's own pixels."""
    if not isinstance(outcome, Result):
        return error_of_file(path, outcome)
    if reduced is None:
        return outcome
    kept = outcome.faces[outcome.kept]
    points = reduced.in_file(Faces(kept.boxes, kept.scores, outcome.points)).landmarks
    return replace(outcome, faces=reduced.in_file(outcome.faces), points=points)


def error_of_file(path: Path, error: FaceregError) -> ImageError:
    """Return what a stage's error means for a file; raise it where it is that of all."""
    if isinstance(error, NO_NETWORK):
        raise error
    if isinstance(error, ImageError):
        return error
    # the file is named; its row among the images that could be read says nothing more
    failed = ImageError(path, re.sub(r"^images\[\d+\]: ", "", str(error)))
    failed.__cause__ = error
    return failed
