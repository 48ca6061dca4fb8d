"""CelebA's lists: boxes, five points and partitions (Liu et al. 2015)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.data.lines import listed, numbers, read_lines, require_files, whole_number
from facereg.errors import DatasetError
from facereg.types import FloatArray

BOXES, POINTS = "list_bbox_celeba.txt", "list_landmarks_celeba.txt"
PARTITIONS = "list_eval_partition.txt"
PARTITION_NAMES = ("train", "val", "test")  # 0, 1, 2 in the file


def read_celeba(
    annotations: Path, images: Path, *, partition: str | None = None, strict: bool = True
) -> list[LabelledImage]:
    """Read boxes, and points where their list is there, of the photographs before alignment (`img_celeba`).

    A face without width or height (the file has some) is an ignored one.

    Args:
        annotations: the folder of the lists, or the list of boxes.
        images: the folder of the pictures.
        partition: train, val or test; every picture where None.
        strict: False leaves missing pictures in the list, for `facereg.data.check` to name.
    Raises:
        DatasetError: if a list is not laid out as published or a picture is missing.
    """
    listed_in = annotations / BOXES if annotations.is_dir() else annotations
    boxes = _table(listed_in, 4, header=True, strict=strict)
    points_list = listed_in.parent / POINTS
    points = _table(points_list, 10, header=True) if points_list.is_file() else {}
    if partition is not None:
        wanted = read_celeba_partition(listed_in.parent, partition)
        boxes = {name: boxes[name] for name in wanted if name in boxes}
    found = []
    for name, (x, y, width, height) in boxes.items():
        box = np.array([[x, y, x + width, y + height]], np.float32)
        item = LabelledImage.without_points(images / name, box)
        if name in points:
            item.points[0] = points[name].reshape(5, 2)
        found.append(item)
    if strict:
        require_files([item.path for item in found], listed_in=listed_in)
    return found


def read_celeba_partition(folder: Path, partition: str) -> list[str]:
    """Return the file names of train, val or test, in order of the list.

    Raises:
        DatasetError: if the list is not laid out as published or has no such partition.
    """
    if partition not in PARTITION_NAMES:
        raise DatasetError(f"expected a partition of {', '.join(PARTITION_NAMES)}, got {partition!r}")
    number = PARTITION_NAMES.index(partition)
    return [name for name, value in _table(folder / PARTITIONS, 1, header=False).items() if value[0] == number]


def _table(path: Path, columns: int, *, header: bool, strict: bool = True) -> dict[str, FloatArray]:
    """Return the numbers of each file; a header is a count and a line of names, as published."""
    lines = read_lines(path)
    if header and (len(lines) < 2 or whole_number(lines[0].strip()) is None):
        raise DatasetError(f"{path}, line 1: expected the number of pictures and a line of names of columns")
    rows: dict[str, FloatArray] = {}
    for line, text in list(enumerate(lines, 1))[2 if header else 0 :]:
        words = text.split()
        if not words:
            continue
        expected = f"a file name and {columns} numbers"
        if len(words) != columns + 1:
            raise DatasetError(f"{path}, line {line}: expected {expected}, got {len(words)} words")
        if words[0] in rows:
            raise DatasetError(f"{path}, line {line}: expected each picture once, got {words[0]!r} again")
        listed(path.parent, words[0], path=path, line=line)
        rows[words[0]] = numbers(words[1:], path=path, line=line, expected=expected, strict=strict)
    if header and len(rows) != int(lines[0]):
        raise DatasetError(f"{path}: expected {int(lines[0])} pictures by its first line, got {len(rows)}")
    return rows
