"""Picture files through a pipeline."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from facereg.errors import ImageError
from facereg.images import load_images
from facereg.pipeline import Pipeline, Result
from facereg.types import Image


def run_files(pipeline: Pipeline, paths: Sequence[Path]) -> Generator[tuple[Path, Result | ImageError], None, None]:
    """Yield each file with its result, or with what is wrong with the file, in order; one bad file stops nothing.

    Files are read while the stages work on those before, with memory bounded as in `Pipeline.stream`.

    Raises:
        FaceregError: at its place, if a stage fails.
    """
    unread: dict[int, ImageError] = {}

    def read() -> Iterator[Image]:
        for row, (_, image) in enumerate(load_images(paths)):
            if isinstance(image, ImageError):
                unread[row] = image
            else:
                yield image

    row = 0
    with closing(pipeline.stream(read())) as results:
        for result in results:  # the bad files before it were met before it
            while row in unread:
                yield paths[row], unread.pop(row)
                row += 1
            yield paths[row], result
            row += 1
    for row in sorted(unread):
        yield paths[row], unread[row]
