"""Picture files through a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from facereg.errors import ImageError
from facereg.images import Picture, read_picture
from facereg.pipeline import Pipeline, Result
from facereg.types import Image

FIRST_OF_SEVERAL = "holds several frames or pages; the first is read"


def run_files(
    pipeline: Pipeline, paths: Sequence[Path], *, notice: Callable[[str], None] = lambda text: None
) -> Generator[tuple[Path, Result | ImageError], None, None]:
    """Yield each file with its result, or with what is wrong with the file, in order; one bad file stops nothing.

    Files are read while the stages work on those before, with memory bounded as in `Pipeline.stream`. Boxes and
    landmarks are in the pixels of the file, also where a huge JPEG was read at reduced size.

    Args:
        notice: called with a line about a file that was read in part: the first of several pages.
    Raises:
        FaceregError: at its place, if a stage fails.
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
            yield pixels.pop()  # kept by no name here: the flow alone decides how long the pixels are held

    row = 0
    with closing(pipeline.stream(read())) as results:
        for result in results:  # the bad files before it were met before it
            while row in unread:
                yield paths[row], unread.pop(row)
                row += 1
            if row in reduced:
                result = replace(result, faces=reduced.pop(row).in_file(result.faces))
            yield paths[row], result
            row += 1
    for row in sorted(unread):
        yield paths[row], unread[row]
