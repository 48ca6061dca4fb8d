"""WIDER FACE's own files: the .mat lists, the ground truth of its three subsets, and files of predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.data.boxes import LabelledImage
from facereg.data.lines import finite, listed, read_lines, require_files, whole_number
from facereg.data.mat import Value, read_mat
from facereg.disk.paths import inside
from facereg.disk.replacing import write_file
from facereg.errors import DatasetError
from facereg.names import shown
from facereg.types import BoolArray, Faces, FloatArray, IntArray

SUBSETS = ("easy", "medium", "hard")
VALIDATION = "wider_face_val.mat"
VARIABLES = ("event_list", "file_list", "face_bbx_list", "invalid_label_list")
Predictions = npt.NDArray[np.float64]  # (N, 5) x y w h score


@dataclass(frozen=True, slots=True, eq=False)
class WiderTruth:
    """The ground truth of the validation set, picture by picture.

    Args:
        names: `EVENT/FILE`, without an ending.
        boxes: (M, 4) float32 x y w h of each picture.
        kept: for each subset, the rows of `boxes` that count, from 0, of each picture; the others are ignored.
    """

    names: tuple[str, ...]
    boxes: tuple[FloatArray, ...]
    kept: Mapping[str, tuple[IntArray, ...]]


def read_wider_mat(annotations: Path, images: Path, *, strict: bool = True) -> list[LabelledImage]:
    """Read `wider_face_train.mat` or `wider_face_val.mat`; faces marked invalid, or without size, are ignored ones.

    Args:
        strict: False leaves missing pictures in the list, for `facereg.data.check` to name.
    Raises:
        DatasetError: if the file is not laid out as published or a picture is missing.
    """
    mat = read_mat(annotations, VARIABLES)
    names, boxes = _names(mat, annotations), _per_picture(mat, "face_bbx_list", annotations)
    flags = _per_picture(mat, "invalid_label_list", annotations) if "invalid_label_list" in mat else None
    _same_length(annotations, names, boxes, *([] if flags is None else [flags]))
    found = []
    for row, name in enumerate(names):
        corners = _boxes(boxes[row], annotations, name, strict=strict)
        invalid = None if flags is None else _flags(flags[row], len(corners), annotations, name)
        ends = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1)
        found.append(LabelledImage.without_points(images / f"{name}.jpg", ends, invalid))
    if strict:
        require_files([item.path for item in found], listed_in=annotations)
    return found


def read_wider_truth(folder: Path) -> WiderTruth:
    """Read the folder `ground_truth` of WIDER FACE's evaluation tools.

    It holds `wider_face_val.mat` (event_list, file_list, face_bbx_list) and `wider_easy_val.mat`,
    `wider_medium_val.mat`, `wider_hard_val.mat` (gt_list: rows that count, from 1).

    Raises:
        DatasetError: if a file is missing or not laid out as published.
    """
    path = folder / VALIDATION
    mat = read_mat(path, VARIABLES)
    names, cells = _names(mat, path), _per_picture(mat, "face_bbx_list", path)
    _same_length(path, names, cells)
    boxes = tuple(_boxes(cell, path, name) for name, cell in zip(names, cells, strict=True))
    kept = {}
    for subset in SUBSETS:
        listed_in = folder / f"wider_{subset}_val.mat"
        rows = _per_picture(read_mat(listed_in, ("gt_list",)), "gt_list", listed_in)
        _same_length(listed_in, names, rows)
        kept[subset] = tuple(
            _rows(cell, len(own), listed_in, name) for name, own, cell in zip(names, boxes, rows, strict=True)
        )
    return WiderTruth(tuple(names), boxes, kept)


def read_wider_predictions(folder: Path, names: Sequence[str]) -> list[Predictions]:
    """Read `EVENT/FILE.txt` for each name: the file's name, a count, then `x y w h score` a face.

    Raises:
        DatasetError: if a file is missing (a picture without faces has one, with a count of 0) or not as stated.
    """
    paths = [folder / f"{name}.txt" for name in names]
    require_files(paths, listed_in=folder)
    return [_predictions(path) for path in paths]


def write_wider_predictions(folder: Path, names: Sequence[str], found: Iterable[Faces]) -> None:
    """Write what `read_wider_predictions` reads, one file a picture.

    Raises:
        ContractError: if a name leads out of the folder.
        DatasetError: if the folder cannot be written.
    """
    for name, faces in zip(names, found, strict=True):
        corners = np.concatenate([faces.boxes[:, :2], faces.boxes[:, 2:] - faces.boxes[:, :2]], 1)
        rows = [" ".join(f"{value:.3f}" for value in box) for box in corners]
        lines = [name.rpartition("/")[2], str(len(rows))]
        lines += [f"{row} {score:.6f}" for row, score in zip(rows, faces.scores, strict=True)]
        path = inside(folder, f"{name}.txt")
        write_file(path, ("\n".join(lines) + "\n").encode(), DatasetError)


def predictions_of(faces: Faces) -> Predictions:
    """Return faces as (N, 5) x y w h score."""
    boxes = faces.boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], faces.scores.astype(np.float64)[:, None]], 1)


def _predictions(path: Path) -> Predictions:
    lines = read_lines(path)
    rows = [line.split() for line in lines[2:] if line]
    if len(lines) < 2 or whole_number(lines[1].strip()) != len(rows):
        raise DatasetError(f"{path}: expected a name, a count and that many lines, got {len(rows)} lines of faces")
    try:
        values = np.array(rows, np.float64).reshape(-1, 5)
    except ValueError as error:
        raise DatasetError(f"{path}: expected lines of x y w h score ({str(error)[:120]})") from error
    finite(values, place=f"{path}", expected="lines of x y w h score")
    return values


def _events(mat: Mapping[str, Value], key: str, path: Path) -> list[Value]:
    """Return the cells of each event: MATLAB's (E, 1) cell array."""
    held = mat.get(key)
    if not isinstance(held, list):
        raise DatasetError(f"{path}: expected {key}, a cell an event, as published, got {sorted(mat)}")
    return held


def _per_picture(mat: Mapping[str, Value], key: str, path: Path) -> list[Value]:
    """Return the cells of every picture, event after event."""
    found: list[Value] = []
    for event in _events(mat, key, path):
        if not isinstance(event, list):
            raise DatasetError(f"{path}: expected {key} to hold a cell a picture in each event, got something else")
        found += event
    return found


def _names(mat: Mapping[str, Value], path: Path) -> list[str]:
    events = [_text(cell, path) for cell in _events(mat, "event_list", path)]
    files = _events(mat, "file_list", path)
    if len(events) != len(files):
        raise DatasetError(f"{path}: {len(events)} events in event_list, {len(files)} in file_list")
    names = [
        f"{event}/{_text(cell, path)}"
        for event, own in zip(events, files, strict=True)
        for cell in (own if isinstance(own, list) else [own])
    ]
    for name in names:
        listed(path.parent, name, path=path, line=None)
    return names


def _text(cell: Value, path: Path) -> str:
    while isinstance(cell, list) and len(cell) == 1:  # savemat nests what MATLAB does not
        cell = cell[0]
    if not isinstance(cell, str) or not cell:
        raise DatasetError(f"{path}: expected names of events and files, got something else")
    return cell


def _boxes(cell: Value, path: Path, name: str, *, strict: bool = True) -> FloatArray:
    expected = f"x y w h a face of {shown(name)}"
    if not isinstance(cell, np.ndarray) or cell.size % 4 or (cell.size and cell.shape[1] != 4):
        raise DatasetError(f"{path}: expected {expected}, got something else")
    return finite(cell.reshape(-1, 4), place=f"{path}", expected=expected, strict=strict)


def _flags(cell: Value, count: int, path: Path, name: str) -> BoolArray:
    if not isinstance(cell, np.ndarray) or cell.size != count or not np.isin(cell, (0, 1)).all():
        raise DatasetError(f"{path}: expected {count} invalid flags of {shown(name)}, 0 or 1, got others")
    flags: BoolArray = cell.reshape(-1) == 1
    return flags


def _rows(cell: Value, count: int, path: Path, name: str) -> IntArray:
    expected = f"faces 1 to {count} of {shown(name)}"
    if not isinstance(cell, np.ndarray):
        raise DatasetError(f"{path}: expected {expected}, got something else")
    rows = cell.reshape(-1)
    if not (np.isin(rows, np.arange(1, count + 1)).all() and len(set(rows.tolist())) == len(rows)):
        raise DatasetError(f"{path}: expected {expected}, each once, got {sorted(set(rows.tolist()))[:5]}")
    return rows.astype(np.int64) - 1  # MATLAB counts from 1


def _same_length(path: Path, names: Sequence[str], *others: Sequence[object]) -> None:
    for other in others:
        if len(other) != len(names):
            raise DatasetError(f"{path}: expected {len(names)} pictures as in file_list, got {len(other)}")
