"""Labelled boxes written as other programs read them; each file or folder appears whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.disk.paths import inside, relative_parts
from facereg.disk.replacing import require_empty, whole_folder, write_file, writing
from facereg.errors import ContractError, DatasetError, ImageError
from facereg.images import image_size


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Args:
        images, faces: how many.
        left_out: faces of these pictures that the layout cannot hold.
        errors: why the other pictures are not in it.
    """

    images: int
    faces: int
    left_out: int
    errors: tuple[ImageError, ...] = ()


def write_wider(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write the list of WIDER FACE: a file name, a count, `x y w h` and six attributes; ignored faces are invalid.

    Args:
        out: the file.
        images: the folder that pictures are named relative to.
    Raises:
        DatasetError: if a picture lies elsewhere or the file cannot be written.
    """
    held, errors = _named(items, images, _in_a_list)
    lines: list[str] = []
    for item, name in held:
        lines += [str(name), str(len(item.boxes))]
        for box, ignored in zip(item.boxes, item.ignored, strict=True):
            corner = " ".join(_number(value) for value in (*box[:2], *(box[2:] - box[:2])))
            lines.append(f"{corner} 0 0 0 {int(ignored)} 0 0")
        if len(item.boxes) == 0:
            lines.append("0 0 0 0 0 0 0 0 0 0")  # as in the published files
    _write(out, lines)
    return Written(len(held), sum(len(item.boxes) for item, _ in held), 0, errors)


def write_yolo(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write a folder of YOLO text files, `0 cx cy w h` in shares of the picture, and ten more numbers of points.

    Points are written where any face of the set has them; -1 marks a face without. Boxes are cut at the edge of the
    picture. Left out are ignored faces, which the layout cannot hold, and boxes with nothing inside the picture.

    Args:
        out: the folder, new or empty; it mirrors `images`.
        images: the folder of the pictures.
    Raises:
        DatasetError: if a picture lies elsewhere, two share a label file, or the folder is not empty.
    """
    sized, errors = _sized(*_named(items, images, _any_name))
    pointed = any(np.isfinite(item.points).all((1, 2)).any() for item, _, _ in sized)
    files: dict[PurePosixPath, str] = {}
    faces = 0
    for item, name, sides in sized:
        size = np.array(sides, np.float32)  # (2,) width, height
        boxes = np.clip(item.boxes.reshape(-1, 2, 2), 0, size)  # (N, 2, 2)
        rows = np.flatnonzero(~item.ignored & (boxes[:, 1] > boxes[:, 0]).all(1))
        lines = []
        for row in rows:
            shares = [*(boxes[row].mean(0) / size), *((boxes[row, 1] - boxes[row, 0]) / size)]
            if pointed:
                own = item.points[row]
                shares += (own / size).reshape(-1).tolist() if np.isfinite(own).all() else [-1.0] * 10
            lines.append(" ".join(["0", *(f"{value:.6f}" for value in shares)]) + "\n")
        _add(files, name.with_suffix(".txt"), "".join(lines), item)
        faces += len(rows)
    _write_folder(out, files)
    return Written(len(sized), faces, sum(len(item.boxes) for item, _, _ in sized) - faces, errors)


def write_voc(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write a folder of Pascal VOC XML files; ignored faces are difficult ones.

    Args:
        out: the folder, new or empty. The file of `EVENT/a.jpg` is `EVENT__a.xml`.
        images: the folder that pictures are named relative to.
    Raises:
        DatasetError: if a picture lies elsewhere, two share an XML file, or the folder is not empty.
    """
    sized, errors = _sized(*_named(items, images, _in_a_list))
    files: dict[PurePosixPath, str] = {}
    for item, name, sides in sized:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = str(name)
        size = ElementTree.SubElement(root, "size")
        for key, value in zip(("width", "height", "depth"), (*sides, 3), strict=True):
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
    return Written(len(sized), sum(len(item.boxes) for item, _, _ in sized), 0, errors)


def write_five_points(items: Sequence[LabelledImage], out: Path, images: Path) -> Written:
    """Write lines of `file left right top bottom` and five `x y`, of the pictures with one face, which has points.

    Args:
        out: the file.
        images: the folder that pictures are named relative to.
    Raises:
        DatasetError: if no face can be written, a picture lies elsewhere or the file cannot be written.
    """
    held, errors = _named(items, images, _in_a_list_of_words)
    single = [(item, name) for item, name in held if len(item.boxes) == 1 and np.isfinite(item.points).all()]
    if not single:
        raise DatasetError(f"{out}: expected pictures of one face with five points, got none of {len(items)}")
    lines = []
    for item, name in single:
        sides = item.boxes[0, [0, 2, 1, 3]]
        lines.append(" ".join([str(name), *(_number(value) for value in (*sides, *item.points[0].reshape(-1)))]))
    _write(out, lines)
    return Written(len(single), len(single), sum(len(item.boxes) for item, _ in held) - len(single), errors)


_Held = list[tuple[LabelledImage, PurePosixPath]]


def _named(
    items: Sequence[LabelledImage], images: Path, unfit: Callable[[str], str]
) -> tuple[_Held, tuple[ImageError, ...]]:
    """Return the pictures with their names in `images`, and why the others cannot be written.

    Args:
        unfit: returns what names the layout expects where it cannot hold one.
    """
    held: _Held = []
    errors: list[ImageError] = []
    for item in items:
        if item.error is not None:
            errors.append(item.error)
            continue
        name = _name(item, images)
        if reason := unfit(str(name)):
            errors.append(ImageError(item.path, f"expected {reason}; rename it"))
        else:
            held.append((item, name))
    return held, tuple(errors)


def _sized(
    held: _Held, errors: tuple[ImageError, ...]
) -> tuple[list[tuple[LabelledImage, PurePosixPath, tuple[int, int]]], tuple[ImageError, ...]]:
    """Add width and height of each picture; those that cannot be opened join the others' errors."""
    sized = []
    for item, name in held:
        try:
            sized.append((item, name, image_size(item.path)))
        except ImageError as error:
            errors += (error,)
    return sized, errors


def _any_name(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name in UTF-8, as lists are"
    return "a name without control characters" if _CONTROL.search(name) else ""


def _in_a_list(name: str) -> str:
    one_line = name.splitlines() == [name] and name == name.rstrip()
    return _any_name(name) or ("" if one_line else "a name of one line, without a space at its end")


def _in_a_list_of_words(name: str) -> str:
    return _in_a_list(name) or ("" if name.split() == [name] else "a name without spaces: they divide a list of points")


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def _name(item: LabelledImage, images: Path) -> PurePosixPath:
    try:
        name = item.path.relative_to(images).as_posix()
        relative_parts(_CONTROL.sub("", name))  # as `images/../a.jpg`; what no layout can hold is its picture's error
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
    write_file(path, "".join(f"{line}\n" for line in lines).encode(), DatasetError)


def _write_folder(out: Path, files: Mapping[PurePosixPath, str]) -> None:
    with folder_in_one_piece(out) as unfinished:
        for name, text in files.items():
            path = inside(unfinished, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def require_new_folder(out: Path) -> None:
    """Refuse a folder that cannot be written, before the work that is to be written there.

    Raises:
        DatasetError: if `out` is there and not empty, or cannot be looked at.
    """
    try:
        require_empty(out)
    except FileExistsError as error:
        raise DatasetError(str(error)) from error
    except OSError as error:
        raise DatasetError(f"{out}: cannot be looked at ({error.strerror}); change its rights") from error


@contextmanager
def folder_in_one_piece(out: Path) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `out` when the block ends well, and goes when it does not.

    Raises:
        DatasetError: if `out` is there and not empty, or cannot be written.
    """
    require_new_folder(out)
    with writing(out, DatasetError), whole_folder(out) as unfinished:
        yield unfinished
