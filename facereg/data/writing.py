"""Labelled boxes written as other programs read them; each file or folder appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.disk.paths import inside, relative_parts
from facereg.disk.replacing import whole_folder, write_atomically
from facereg.errors import ContractError, DatasetError
from facereg.images import image_size
from facereg.names import shown


@dataclass(frozen=True, slots=True)
class Written:
    """How many pictures and faces were written, and how many faces the layout cannot hold."""

    images: int
    faces: int
    left_out: int


def write_wider(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write the list of WIDER FACE: a file name, a count, `x y w h` and six attributes; ignored faces are invalid.

    Args:
        out: the file.
        images: the folder that pictures are named relative to.
    Raises:
        DatasetError: if a picture lies elsewhere or the file cannot be written.
    """
    lines: list[str] = []
    for item in items:
        lines += [str(_name(item, images)), str(len(item.boxes))]
        for box, ignored in zip(item.boxes, item.ignored, strict=True):
            corner = " ".join(_number(value) for value in (*box[:2], *(box[2:] - box[:2])))
            lines.append(f"{corner} 0 0 0 {int(ignored)} 0 0")
        if len(item.boxes) == 0:
            lines.append("0 0 0 0 0 0 0 0 0 0")  # as in the published files
    _write(out, lines)
    return Written(len(items), sum(len(item.boxes) for item in items), 0)


def write_yolo(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write a folder of YOLO text files, `0 cx cy w h` in shares of the picture, and ten more numbers of points.

    Points are written where any face of the set has them; -1 marks a face without. Boxes are cut at the edge of the
    picture. Left out are ignored faces, which the layout cannot hold, and boxes with nothing inside the picture.

    Args:
        out: the folder, new or empty; it mirrors `images`.
        images: the folder of the pictures.
    Raises:
        DatasetError: if a picture lies elsewhere, two share a label file, or the folder is not empty.
        ImageError: if a picture cannot be read.
    """
    pointed = any(np.isfinite(item.points).all((1, 2)).any() for item in items)
    files: dict[PurePosixPath, str] = {}
    faces = 0
    for item in items:
        size = np.array(image_size(item.path), np.float32)  # (2,) width, height
        boxes = np.clip(item.boxes.reshape(-1, 2, 2), 0, size)  # (N, 2, 2)
        rows = np.flatnonzero(~item.ignored & (boxes[:, 1] > boxes[:, 0]).all(1))
        lines = []
        for row in rows:
            shares = [*(boxes[row].mean(0) / size), *((boxes[row, 1] - boxes[row, 0]) / size)]
            if pointed:
                own = item.points[row]
                shares += (own / size).reshape(-1).tolist() if np.isfinite(own).all() else [-1.0] * 10
            lines.append(" ".join(["0", *(f"{value:.6f}" for value in shares)]) + "\n")
        _add(files, _name(item, images).with_suffix(".txt"), "".join(lines), item)
        faces += len(rows)
    _write_folder(out, files)
    return Written(len(items), faces, sum(len(item.boxes) for item in items) - faces)


def write_voc(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write a folder of Pascal VOC XML files; ignored faces are difficult ones.

    Args:
        out: the folder, new or empty. The file of `EVENT/a.jpg` is `EVENT__a.xml`.
        images: the folder that pictures are named relative to.
    Raises:
        DatasetError: if a picture lies elsewhere, two share an XML file, or the folder is not empty.
        ImageError: if a picture cannot be read.
    """
    files: dict[PurePosixPath, str] = {}
    for item in items:
        name = _name(item, images)
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = str(name)
        size = ElementTree.SubElement(root, "size")
        for key, value in zip(("width", "height", "depth"), (*image_size(item.path), 3), strict=True):
            ElementTree.SubElement(size, key).text = str(value)
        for box, ignored in zip(item.boxes, item.ignored, strict=True):
            face = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(face, "name").text = "face"
            ElementTree.SubElement(face, "difficult").text = str(int(ignored))
            bounds = ElementTree.SubElement(face, "bndbox")
            # VOC counts pixels from 1 and includes both ends
            for side, edge in zip(("xmin", "ymin", "xmax", "ymax"), box + np.array([1, 1, 0, 0]), strict=True):
                ElementTree.SubElement(bounds, side).text = _number(edge)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode") + "\n"
        _add(files, PurePosixPath("__".join(name.with_suffix(".xml").parts)), text, item)
    _write_folder(out, files)
    return Written(len(items), sum(len(item.boxes) for item in items), 0)


def write_five_points(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write lines of `file left right top bottom` and five `x y`, of the pictures with one face, which has points.

    Args:
        out: the file.
        images: the folder that pictures are named relative to.
    Raises:
        DatasetError: if no face can be written, a picture lies elsewhere or the file cannot be written.
    """
    single = [item for item in items if len(item.boxes) == 1 and np.isfinite(item.points).all()]
    if not single:
        raise DatasetError(f"{out}: expected pictures of one face with five points, got none of {len(items)}")
    lines = []
    for item in single:
        name = str(_name(item, images))
        if len(name.split()) != 1:
            raise DatasetError(f"{item.path}: expected a name without spaces, which a list of points cannot hold")
        sides = item.boxes[0, [0, 2, 1, 3]]
        lines.append(" ".join([name, *(_number(value) for value in (*sides, *item.points[0].reshape(-1)))]))
    _write(out, lines)
    return Written(len(single), len(single), sum(len(item.boxes) for item in items) - len(single))


def _name(item: LabelledImage, images: Path) -> PurePosixPath:
    try:
        name = item.path.relative_to(images).as_posix()
        relative_parts(name)  # as `images/../a.jpg`
        name.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(f"{shown(str(item.path))}: expected a name in UTF-8, as lists are; rename it") from error
    except ValueError as error:
        reason = f" ({error})" if isinstance(error, ContractError) else ""
        raise DatasetError(
            f"{item.path}: expected a picture inside {images}{reason}; check the folder of pictures"
        ) from None
    return PurePosixPath(name)


def _number(value: float) -> str:
    """Return a number of pixels with at most two decimals."""
    return f"{round(float(value), 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _add(files: dict[PurePosixPath, str], name: PurePosixPath, text: str, item: LabelledImage) -> None:
    if name in files:
        raise DatasetError(f"{item.path}: a second picture would be labelled in {name}; rename one of the two")
    files[name] = text


def _write(path: Path, lines: Sequence[str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error}); check the folder's rights and space") from error


def _write_folder(out: Path, files: Mapping[PurePosixPath, str]) -> None:
    with folder_in_one_piece(out) as unfinished:
        for name, text in files.items():
            path = inside(unfinished, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


@contextmanager
def folder_in_one_piece(out: Path) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `out` when the block ends well, and goes when it does not.

    Raises:
        DatasetError: if `out` is there and not empty, or cannot be written.
    """
    try:
        with whole_folder(out) as unfinished:
            yield unfinished
    except FileExistsError as error:
        raise DatasetError(str(error)) from error
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written ({error}); check the folder's rights and space") from error
