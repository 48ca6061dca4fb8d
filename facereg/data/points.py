"""Pictures of a face with labelled points: five-point lists and 68-point lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facereg.data.boxes import without_area
from facereg.data.lines import numbers, read_lines, require_files
from facereg.errors import DatasetError
from facereg.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PointedImage:
    """A picture and the points (P, 2) float32 of its one face; `box` (4,) x1 y1 x2 y2 where the list has one."""

    path: Path
    points: FloatArray
    box: FloatArray | None = None


def read_five_points(annotations: Path, images: Path) -> list[PointedImage]:
    """Read lines of `file x y` five times, or `file left right top bottom` and then those (Sun et al. 2013).

    The points are in the order of `facereg.types`: eyes, nose, mouth corners, as the viewer sees them.

    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    expected = "file, perhaps left right top bottom, and five x y"
    found = []
    for line, text in enumerate(read_lines(annotations), 1):
        words = text.split()
        if not words:
            continue
        if len(words) not in (11, 15):
            raise DatasetError(f"{annotations}, line {line}: expected {expected}, got {len(words)} words")
        values = numbers(words[1:], path=annotations, line=line, expected=expected)
        box = None if len(values) == 10 else values[[0, 2, 1, 3]]
        if box is not None and without_area(box[None]).any():
            box = None
        found.append(PointedImage(_path(images, words[0]), values[-10:].reshape(5, 2), box))
    return _checked(found, annotations)


def read_68_points(annotations: Path, images: Path) -> list[PointedImage]:
    """Read lines of 136 numbers and then the file.

    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    expected = "136 numbers and the file"
    found = []
    for line, text in enumerate(read_lines(annotations), 1):
        words = text.split()
        if not words:
            continue
        if len(words) != 137:
            raise DatasetError(f"{annotations}, line {line}: expected {expected}, got {len(words)} words")
        values = numbers(words[:-1], path=annotations, line=line, expected=expected)
        found.append(PointedImage(_path(images, words[-1]), values.reshape(68, 2)))
    return _checked(found, annotations)


def _path(images: Path, name: str) -> Path:
    return images / PurePosixPath(name.replace("\\", "/"))  # the published lists were written on Windows


def _checked(found: list[PointedImage], annotations: Path) -> list[PointedImage]:
    if not found:
        raise DatasetError(f"{annotations}: expected at least one line, got none")
    require_files([item.path for item in found], listed_in=annotations)
    return found
