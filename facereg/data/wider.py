"""WIDER FACE's own files: the .mat lists, the ground truth of its three subsets, and files of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.data.boxes import LabelledImage
from facereg.data.lines import read_lines, require_files
from facereg.disk import write_atomically
from facereg.errors import DatasetError, MissingExtraError
from facereg.paths import inside
from facereg.types import Faces, FloatArray, IntArray

SUBSETS = ("easy", "medium", "hard")
VALIDATION = "wider_face_val.mat"
Predictions = npt.NDArray[np.float64]  # (N, 5) x y w h score
_Cell = npt.NDArray[np.object_]


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
        MissingExtraError: if scipy is not installed.
    """
    mat = _load(annotations)
    names, boxes = _names(mat, annotations), _per_picture(mat, "face_bbx_list", annotations)
    flags = _per_picture(mat, "invalid_label_list", annotations) if "invalid_label_list" in mat else None
    _same_length(annotations, names, boxes, *([] if flags is None else [flags]))
    found = []
    for row, name in enumerate(names):
        corners = _boxes(boxes[row], annotations, name)
        invalid = np.zeros(len(corners), np.bool_) if flags is None else np.asarray(flags[row]).reshape(-1) == 1
        if len(invalid) != len(corners):
            raise DatasetError(f"{annotations}: {name} has {len(corners)} boxes and {len(invalid)} invalid flags")
        ends = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1)
        ignored = invalid | (corners[:, 2:] <= 0).any(1)
        found.append(LabelledImage.without_points(images / f"{name}.jpg", ends, ignored))
    if strict:
        require_files([item.path for item in found], listed_in=annotations)
    return found


def read_wider_truth(folder: Path) -> WiderTruth:
    """Read the folder `ground_truth` of WIDER FACE's evaluation tools.

    It holds `wider_face_val.mat` (event_list, file_list, face_bbx_list) and `wider_easy_val.mat`,
    `wider_medium_val.mat`, `wider_hard_val.mat` (gt_list: rows that count, from 1).

    Raises:
        DatasetError: if a file is missing or not laid out as published.
        MissingExtraError: if scipy is not installed.
    """
    path = folder / VALIDATION
    mat = _load(path)
    names, cells = _names(mat, path), _per_picture(mat, "face_bbx_list", path)
    _same_length(path, names, cells)
    boxes = tuple(_boxes(cell, path, name) for name, cell in zip(names, cells, strict=True))
    kept = {}
    for subset in SUBSETS:
        listed_in = folder / f"wider_{subset}_val.mat"
        rows = _per_picture(_load(listed_in), "gt_list", listed_in)
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
    """
    for name, faces in zip(names, found, strict=True):
        corners = np.concatenate([faces.boxes[:, :2], faces.boxes[:, 2:] - faces.boxes[:, :2]], 1)
        rows = [" ".join(f"{value:.3f}" for value in box) for box in corners]
        lines = [name.rpartition("/")[2], str(len(rows))]
        lines += [f"{row} {score:.6f}" for row, score in zip(rows, faces.scores, strict=True)]
        path = inside(folder, f"{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, ("\n".join(lines) + "\n").encode())


def predictions_of(faces: Faces) -> Predictions:
    """Return faces as (N, 5) x y w h score."""
    boxes = faces.boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], faces.scores.astype(np.float64)[:, None]], 1)


def _predictions(path: Path) -> Predictions:
    lines = read_lines(path)
    rows = [line.split() for line in lines[2:] if line]
    if len(lines) < 2 or not lines[1].strip().isdigit() or int(lines[1]) != len(rows):
        raise DatasetError(f"{path}: expected a name, a count and that many lines, got {len(rows)} lines of faces")
    try:
        values = np.array(rows, np.float64).reshape(-1, 5)
    except ValueError as error:
        raise DatasetError(f"{path}: expected lines of x y w h score ({error})") from error
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}: expected lines of x y w h score, got NaN or infinity")
    return values


def _load(path: Path) -> Mapping[str, _Cell]:
    load = _loadmat()
    try:
        loaded: Mapping[str, _Cell] = load(path)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: this file is missing; check the path") from error
    except (OSError, ValueError, TypeError, NotImplementedError, IndexError, KeyError) as error:
        raise DatasetError(f"{path}: expected a MATLAB 5 file as published ({error})") from error
    return loaded


def _loadmat() -> Callable[[Path], Mapping[str, _Cell]]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError(".mat files need scipy; pip install 'facereg-core[app]'") from error
    return loadmat  # type: ignore[no-any-return]


def _events(mat: Mapping[str, _Cell], key: str, path: Path) -> list[_Cell]:
    """Return the cells of each event: MATLAB's (E, 1) cell array."""
    if key not in mat:
        raise DatasetError(f"{path}: expected {key} as published, got {sorted(k for k in mat if k[:2] != '__')}")
    return list(mat[key].reshape(-1))


def _per_picture(mat: Mapping[str, _Cell], key: str, path: Path) -> list[_Cell]:
    """Return the cells of every picture, event after event."""
    return [cell for event in _events(mat, key, path) for cell in np.asarray(event).reshape(-1)]


def _names(mat: Mapping[str, _Cell], path: Path) -> list[str]:
    events = [_text(cell) for cell in _events(mat, "event_list", path)]
    files = _events(mat, "file_list", path)
    if len(events) != len(files):
        raise DatasetError(f"{path}: {len(events)} events in event_list, {len(files)} in file_list")
    return [
        f"{event}/{_text(cell)}"
        for event, own in zip(events, files, strict=True)
        for cell in np.asarray(own).reshape(-1)
    ]


def _text(cell: _Cell) -> str:
    return str(np.asarray(cell).reshape(-1)[0])


def _boxes(cell: _Cell, path: Path, name: str) -> FloatArray:
    try:
        return np.asarray(cell, np.float32).reshape(-1, 4)
    except ValueError as error:
        raise DatasetError(f"{path}: expected x y w h a face of {name} ({error})") from error


def _rows(cell: _Cell, count: int, path: Path, name: str) -> IntArray:
    rows = np.asarray(cell).reshape(-1).astype(np.int64)
    if ((rows < 1) | (rows > count)).any():
        raise DatasetError(f"{path}: expected faces 1 to {count} of {name}, got {sorted(set(rows.tolist()))[:5]}")
    return rows - 1  # MATLAB counts from 1


def _same_length(path: Path, names: Sequence[str], *others: Sequence[object]) -> None:
    for other in others:
        if len(other) != len(names):
            raise DatasetError(f"{path}: expected {len(names)} pictures as in file_list, got {len(other)}")
