"""Pictures of a face with labelled points: lists of 5, 29, 68 and 98 points a line, and a .pts file a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.boxes import read_pseudo_labels, without_area
from facereg.data.lines import listed, numbers, read_lines, require_files, require_images, whole_number
from facereg.disk.reading import require_folder
from facereg.errors import ContractError, DatasetError
from facereg.images import SUFFIXES
from facereg.types import BoolArray, FloatArray

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # WFLW's, in the order of its lines
ENDINGS = tuple(
    sorted(SUFFIXES, key=lambda ending: (ending not in (".jpg", ".png"), ending))
)  # of a .pts file's picture


@dataclass(frozen=True, slots=True, eq=False)
class PointedImage:
    """A picture and the points (P, 2) float32 of its one face.

    Args:
        box: (4,) x1 y1 x2 y2 where the list has one.
        attributes: what the list says is hard about the face, as WFLW's `pose`.
        hidden: (P,) bool, points that something covers, where the list says so.
    """

    path: Path
    points: FloatArray
    box: FloatArray | None = None
    attributes: frozenset[str] = frozenset()
    hidden: BoolArray | None = None


def read_five_points(annotations: Path, images: Path) -> list[PointedImage]:
    """Read lines of `file x y` five times, or `file left right top bottom` and then those (Sun et al. 2013).

    The points are in the order of `facereg.types`: eyes, nose, mouth corners, as the viewer sees them.

    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    expected = "file, perhaps left right top bottom, and five x y"
    found = []
    for line, words in _lines(annotations, (11, 15), expected):
        values = numbers(words[1:], path=annotations, line=line, expected=expected)
        box = None if len(values) == 10 else _with_area(values[[0, 2, 1, 3]])
        found.append(
            PointedImage(listed(images, words[0], path=annotations, line=line), values[-10:].reshape(5, 2), box)
        )
    return _checked(found, annotations)


def read_68_points(annotations: Path, images: Path) -> list[PointedImage]:
    """Read lines of 136 numbers and then the file.

    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    expected = "136 numbers and the file"
    found = []
    for line, words in _lines(annotations, (137,), expected):
        values = numbers(words[:-1], path=annotations, line=line, expected=expected)
        found.append(PointedImage(listed(images, words[-1], path=annotations, line=line), values.reshape(68, 2)))
    return _checked(found, annotations)


def read_wflw(annotations: Path, images: Path) -> list[PointedImage]:
    """Read lines of 196 numbers, x1 y1 x2 y2, six flags and the file (Wu et al. 2018); a line a face.

    The flags, 0 or 1, are ATTRIBUTES, which WFLW's six subsets are made of.

    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    expected = "196 numbers, a box of 4, six of 0 or 1 and the file"
    found = []
    for line, words in _lines(annotations, (207,), expected):
        values = numbers(words[:-1], path=annotations, line=line, expected=expected)
        marked = _flags(values[200:], annotations, line, expected)
        chosen = frozenset(name for name, flag in zip(ATTRIBUTES, marked, strict=True) if flag)
        box = _with_area(values[196:200])
        found.append(
            PointedImage(
                listed(images, words[-1], path=annotations, line=line), values[:196].reshape(98, 2), box, chosen
            )
        )
    return _checked(found, annotations)


def read_cofw(annotations: Path, images: Path) -> list[PointedImage]:
    """Read lines of 29 x, 29 y, 29 flags of hidden points, and the file: a row of COFW's `phis` (Burgos-Artizzu 2013).

    COFW counts pixels from 1, as MATLAB does; here they count from 0.

    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    expected = "29 x, 29 y, 29 of 0 or 1 and the file"
    found = []
    for line, words in _lines(annotations, (88,), expected):
        values = numbers(words[:-1], path=annotations, line=line, expected=expected)
        hidden = _flags(values[58:], annotations, line, expected)
        points = values[:58].reshape(2, 29).T - 1
        found.append(PointedImage(listed(images, words[-1], path=annotations, line=line), points, hidden=hidden))
    return _checked(found, annotations)


def read_pts(annotations: Path, images: Path) -> list[PointedImage]:
    """Read a folder of `.pts` files, as of 300-W (Sagonas et al. 2013), one a picture of the same name.

    300-W counts pixels from 1; here they count from 0.

    Args:
        annotations: the folder, or a folder of folders.
        images: where the pictures lie alike; the same folder where they lie beside their labels.
    Raises:
        DatasetError: if a file is not laid out as published, two have another number of points, or one has no picture.
    """
    require_folder(annotations, expected="a folder of .pts files")
    files = sorted(annotations.rglob("*.pts"))
    if not files:
        raise DatasetError(f"{annotations}: expected a folder of .pts files, found none")
    found: list[PointedImage] = []
    for path in files:
        points = _points_of(path)
        if found and len(points) != len(found[0].points):
            raise DatasetError(
                f"{path}: expected {len(found[0].points)} points as in {files[0].name}, got {len(points)}; "
                "give the labels of one layout"
            )
        beside = images / path.relative_to(annotations)
        picture = next((each for ending in ENDINGS if os.path.lexists(each := beside.with_suffix(ending))), None)
        if picture is None:
            raise DatasetError(f"{path}: expected its picture beside {beside}, as .jpg or .png, found none")
        found.append(PointedImage(picture, points))
    return found


def read_pseudo_points(annotations: Path, images: Path) -> list[PointedImage]:
    """Read the faces that `facereg data pseudo-label` found, each with its box; those without points are left out.

    Raises:
        DatasetError: if a line is not as stated, no face has points, or some have more than others.
    """
    found = [
        PointedImage(item.path, points, box)
        for item in read_pseudo_labels(annotations, images)
        for points, box in zip(item.faces.landmarks, item.faces.boxes, strict=True)
        if len(points) and np.isfinite(points).all()
    ]
    if not found:
        raise DatasetError(f"{annotations}: expected faces with points, got none; label with an --aligner")
    if len(counts := sorted({len(item.points) for item in found})) > 1:
        raise DatasetError(f"{annotations}: expected as many points of each face, got {counts[0]} and {counts[-1]}")
    return found


READERS: dict[str, Callable[[Path, Path], list[PointedImage]]] = {
    "5pt": read_five_points,
    "68pt": read_68_points,
    "wflw": read_wflw,
    "pts": read_pts,
    "cofw": read_cofw,
    "pseudo": read_pseudo_points,
}


def read_points(format: str, annotations: Path, images: Path) -> list[PointedImage]:
    """Read labelled points of a layout: 5pt, 68pt, wflw, pts (a folder), cofw or pseudo; all of one number of points.

    Raises:
        DatasetError: if the annotations are not laid out as stated or a picture is missing.
        ContractError: if there is no such layout.
    """
    if format not in READERS:
        raise ContractError(f"format: expected {', '.join(READERS)}, got {format!r}")
    require_images(images)
    return READERS[format](annotations, images)


def _points_of(path: Path) -> FloatArray:
    """Return the points (P, 2) of a .pts file, counted from 0."""
    lines = [(line, text.strip()) for line, text in enumerate(read_lines(path), 1) if text.strip()]
    opens = next((row for row, (_, text) in enumerate(lines) if text == "{"), None)
    stated = [text.partition(":")[2].strip() for _, text in lines[:opens] if text.startswith("n_points:")]
    count = whole_number(stated[0]) if len(stated) == 1 else None
    if opens is None or count is None or not count:
        raise DatasetError(f"{path}: expected 'version: 1', 'n_points: N' and the points in braces; is it a .pts file?")
    rows = lines[opens + 1 : -1] if lines[-1][1] == "}" else lines[opens + 1 :]
    expected = f"{count} lines of x y between braces"
    for line, text in rows:
        if len(text.split()) != 2:
            raise DatasetError(f"{path}, line {line}: expected {expected}, got {text[:80]!r}")
    if len(rows) != count or lines[-1][1] != "}":
        raise DatasetError(f"{path}, line {lines[-1][0]}: expected {expected}, got {len(rows)} of them")
    points = [numbers(text.split(), path=path, line=line, expected=expected) for line, text in rows]
    return np.stack(points) - 1


def _lines(annotations: Path, counts: Sequence[int], expected: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each line that is not empty, with its number; each has one of these counts of words."""
    for line, text in enumerate(read_lines(annotations), 1):
        words = text.split()
        if words and len(words) not in counts:
            raise DatasetError(f"{annotations}, line {line}: expected {expected}, got {len(words)} words")
        if words:
            yield line, words


def _flags(values: FloatArray, path: Path, line: int, expected: str) -> BoolArray:
    if not np.isin(values, (0, 1)).all():
        raise DatasetError(f"{path}, line {line}: expected {expected}, got {values[~np.isin(values, (0, 1))][0]:g}")
    return np.asarray(values == 1, np.bool_)


def _with_area(box: FloatArray) -> FloatArray | None:
    return None if without_area(box[None]).any() else box


def _checked(found: list[PointedImage], annotations: Path) -> list[PointedImage]:
    if not found:
        raise DatasetError(f"{annotations}: expected at least one line, got none")
    require_files([item.path for item in found], listed_in=annotations)
    return found
