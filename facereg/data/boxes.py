"""Pictures with labelled boxes: the list of WIDER FACE, Pascal VOC, YOLO, and pseudo-labels of a detector."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from facereg.data.lines import finite, listed, numbers, read_lines, require_files, require_images, whole_number
from facereg.disk.reading import parse_json, read_bytes, require_folder
from facereg.disk.replacing import write_atomically
from facereg.errors import DatasetError, ImageError
from facereg.folders.walking import find_pictures
from facereg.images import image_size
from facereg.types import BoolArray, Faces, FloatArray

SIDE = 1000  # px; stands for the width and height of a picture that cannot be opened


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """A picture and its faces.

    Args:
        path: of the picture.
        boxes: (N, 4) float32, x1 y1 x2 y2.
        ignored: (N,) bool; neither a face to find nor background.
        points: (N, 5, 2) float32, NaN where a face has none.
        error: why its file could not be opened, though the layout gives boxes in shares of it: they are then those in a
            picture of SIDE px a side, good for counting faces and for nothing else.
    """

    path: Path
    boxes: FloatArray
    ignored: BoolArray
    points: FloatArray
    error: ImageError | None = None

    @classmethod
    def without_points(cls, path: Path, boxes: FloatArray, ignored: BoolArray | None = None) -> LabelledImage:
        """Return a picture of which only the boxes are known; those without width or height are ignored ones."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        if ignored is None:
            ignored = np.zeros(len(boxes), np.bool_)
        return cls(path, boxes, ignored | without_area(boxes), unknown_points(len(boxes)))


def without_area(boxes: FloatArray) -> BoolArray:
    """Return which boxes (N, 4) have no width or no height, inverted ones and those of NaN too: (N,)."""
    return np.asarray(~(boxes[:, 2:] > boxes[:, :2]).all(1), np.bool_)


def count_without_area(items: Iterable[LabelledImage]) -> int:
    """Return how many boxes of all pictures are ignored because they have no width or no height."""
    return int(sum(without_area(item.boxes).sum() for item in items))


def unknown_points(count: int) -> FloatArray:
    """Return the points (count, 5, 2) of faces without any."""
    return np.full((count, 5, 2), np.nan, np.float32)


def read_wider(annotations: Path, images: Path, *, strict: bool = True) -> list[LabelledImage]:
    """Read a WIDER FACE list: a file name, a count, then `x y w h` and up to six attributes a face.

    Faces marked invalid, or without width or height, are ignored ones. A count of 0 may be followed by one
    line of zeros, as in the published files.

    Args:
        strict: False leaves missing pictures in the list, for `facereg.data.check` to name.
    Raises:
        DatasetError: if a line is not as stated or a picture is missing.
    """
    lines = read_lines(annotations)
    found, at = [], 0
    while at < len(lines):
        name, at = lines[at], at + 1
        if not name:
            continue
        place = listed(images, name, path=annotations, line=at)
        count = whole_number(lines[at]) if at < len(lines) else None
        if count is None:
            got = lines[at][:40] if at < len(lines) else "the end of the file"
            raise DatasetError(
                f"{annotations}, line {at + 1}: expected the number of faces of {name!r:.120}, got {got!r}"
            )
        at += 1
        rows = []
        for line in range(at, at + count):
            words = lines[line].split() if line < len(lines) else []
            if len(words) < 4:
                raise DatasetError(
                    f"{annotations}, line {line + 1}: expected x y w h of face {line - at + 1} of {count} in "
                    f"{name!r:.120}, got {' '.join(words)!r:.120}"
                )
            rows.append(
                numbers(words, path=annotations, line=line + 1, expected="x y w h and attributes", strict=strict)
            )
        at += count
        if count == 0 and at < len(lines) and lines[at].split() and set(lines[at].split()) == {"0"}:
            at += 1
        corners = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
        boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1)  # width is x2 - x1, no + 1
        invalid = np.array([len(row) > 7 and row[7] == 1 for row in rows], np.bool_)
        found.append(LabelledImage.without_points(place, boxes, invalid))
    if strict:
        require_files([item.path for item in found], listed_in=annotations)
    return found


def read_voc(annotations: Path, images: Path, *, strict: bool = True) -> list[LabelledImage]:
    """Read a folder of Pascal VOC XML files; objects marked difficult are ignored ones.

    Args:
        strict: False leaves missing pictures in the list, for `facereg.data.check` to name.
    Raises:
        DatasetError: if there is no XML file, one is not as stated, or a picture is missing.
    """
    require_folder(annotations, expected="a folder of VOC .xml files")
    files = sorted(annotations.glob("*.xml"))
    if not files:
        raise DatasetError(f"{annotations}: expected a folder of VOC .xml files, found none")
    found = []
    for path in files:
        try:
            root = ElementTree.fromstring(read_bytes(path, expected="VOC XML", limit=MAX_XML))
        except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: of an unknown encoding
            raise DatasetError(f"{path}: expected VOC XML ({error})") from error
        objects = root.findall("object")
        sides = [item.findtext(f"bndbox/{side}") or "nothing" for item in objects for side in _VOC_SIDES]
        boxes = numbers(sides, path=path, line=None, expected="xmin ymin xmax ymax a box", strict=strict)
        difficult = np.array([item.findtext("difficult", "0").strip() == "1" for item in objects], np.bool_)
        name = root.findtext("filename") or f"{path.stem}.jpg"
        # VOC counts pixels from 1 and includes both ends
        corners = boxes.reshape(-1, 4) - np.array([1, 1, 0, 0], np.float32)
        found.append(LabelledImage.without_points(listed(images, name, path=path, line=None), corners, difficult))
    if strict:
        require_files([item.path for item in found], listed_in=annotations)
    return found


MAX_XML = 16 << 20  # bytes of the labels of one picture
_VOC_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_yolo(annotations: Path, images: Path, *, strict: bool = True) -> list[LabelledImage]:
    """Read a folder of YOLO text files, one a picture: `class cx cy w h` and perhaps five points, in shares of it.

    Every picture of `images` counts; one without a text file has no face. One that cannot be opened has an `error`.

    Args:
        strict: False gives unreadable pictures, and text files without one, as pictures without faces, for
            `facereg.data.check` to name.
    Raises:
        DatasetError: if a line is not as stated or no picture is found.
    """
    require_folder(annotations, expected="a folder of YOLO .txt files")
    require_images(images, there=True)
    inside = find_pictures([images])
    if not inside.pictures:
        raise DatasetError(f"{images}: expected pictures in this folder, found none")
    unopened = {item.path: ImageError(item.path, item.reason) for item in inside.failed}
    pictures = sorted([*inside.pictures, *unopened])
    found = []
    for path in pictures:
        labels = annotations / path.relative_to(images).with_suffix(".txt")
        lines = read_lines(labels) if os.path.isfile(labels) else []  # Path's own raises for long names
        expected = "class cx cy w h, or with ten more numbers of points"
        rows = [
            numbers(line.split(), path=labels, line=number, expected=expected, strict=strict)
            for number, line in enumerate(lines, 1)
            if line
        ]
        if any(len(row) not in (5, 15) for row in rows):
            raise DatasetError(
                f"{labels}: expected lines of {expected}, got {sorted({len(row) for row in rows})} numbers"
            )
        sides, error = _size_of(path, unopened.get(path))
        if error is not None and not strict:
            found.append(LabelledImage.without_points(path, np.empty((0, 4), np.float32)))
            continue
        size = np.array(sides, np.float32)  # (2,) width, height
        shares = np.array([row[1:5] for row in rows], np.float64).reshape(-1, 2, 2) * size  # centre, then sides
        with np.errstate(invalid="ignore"):  # where not strict
            boxes = np.concatenate([shares[:, 0] - shares[:, 1] / 2, shares[:, 0] + shares[:, 1] / 2], 1)
        item = LabelledImage.without_points(path, finite(boxes, place=f"{labels}", expected=expected, strict=strict))
        for index, row in enumerate(rows):
            if len(row) == 15 and (row[5:] >= 0).all():  # -1 marks a face without points
                item.points[index] = row[5:].reshape(5, 2) * size
        found.append(replace(item, error=error))
    if not strict:
        found += _without_picture(annotations, images, pictures)
    return found


def _size_of(path: Path, error: ImageError | None) -> tuple[tuple[int, int], ImageError | None]:
    """Return the width and height of a picture; what stands for them, with the reason, where it cannot be opened."""
    try:
        if error is None:
            return image_size(path), None
    except ImageError as unread:
        error = unread
    return (SIDE, SIDE), error


def _without_picture(annotations: Path, images: Path, pictures: Sequence[Path]) -> list[LabelledImage]:
    """Return, for each YOLO text file that no picture answers to, the picture that should be there."""
    known = {path.relative_to(images).with_suffix(".txt") for path in pictures}
    lone = sorted(path.relative_to(annotations) for path in annotations.rglob("*.txt") if path.name not in _NO_LABELS)
    empty = np.empty((0, 4), np.float32)
    return [
        LabelledImage.without_points(images / name.with_suffix(".jpg"), empty) for name in lone if name not in known
    ]


_NO_LABELS = ("classes.txt", "labels.txt", "train.txt", "val.txt", "test.txt")  # lists that tools keep beside them


@dataclass(frozen=True, slots=True, eq=False)
class PseudoLabels:
    """What a detector found in a picture."""

    path: Path
    faces: Faces


def write_pseudo_labels(path: Path, items: Iterable[PseudoLabels], *, root: Path) -> None:
    """Write JSON lines of `image boxes scores points`, pictures named relative to `root`; whole or not at all."""
    rows = (
        {
            "image": item.path.relative_to(root).as_posix(),
            "boxes": np.round(item.faces.boxes.astype(float), 2).tolist(),
            "scores": np.round(item.faces.scores.astype(float), 4).tolist(),
            "points": np.round(item.faces.landmarks.astype(float), 2).tolist(),
        }
        for item in items
    )
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def read_pseudo_labels(path: Path, root: Path) -> list[PseudoLabels]:
    """Read what `write_pseudo_labels` wrote.

    Raises:
        DatasetError: if a line is not such an object.
    """
    found = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            row = parse_json(line, place=f"{path}, line {number}", expected="labels of a picture")
            with np.errstate(over="ignore"):  # what becomes infinite is refused
                points = np.array(row["points"], np.float32)
                if points.size == 0:  # of a labeller without landmarks
                    points = points.reshape(len(row["boxes"]), 0, 2)
                faces = Faces(row["boxes"], row["scores"], points) if row["boxes"] else Faces.empty()
            finite(faces.boxes.astype(np.float64), place=f"{path}, line {number}", expected="boxes")
            found.append(PseudoLabels(listed(root, row["image"], path=path, line=number), faces))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise DatasetError(
                f"{path}, line {number}: expected a JSON object of image, boxes, scores, points ({error})"
            ) from error
    return found
