"""Small trees in the layout of published sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from scipy.io import savemat

Events = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]  # event, file without ending, x y w h a face


def pictures(folder: Path, *names: str, size: tuple[int, int] = (200, 100)) -> Path:
    """Make pictures, each of its own colour."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", size, (number * 40, 90, 200)).save(folder / name)
    return folder


def write_wider_truth(folder: Path, events: Events, kept: Mapping[str, Mapping[str, Sequence[int]]]) -> Path:
    """Write the four .mat files of the evaluation tools: cells of cells, (E, 1) and (n, 1), as MATLAB nests them."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "event_list": cells(list(events)),
        "file_list": cells([cells(list(files)) for files in events.values()]),
    }
    boxes = cells([cells([np.array(own, float).reshape(-1, 4) for own in files.values()]) for files in events.values()])
    savemat(folder / "wider_face_val.mat", head | {"face_bbx_list": boxes})
    for subset, rows in kept.items():
        chosen = [
            cells([np.array(rows.get(name, ()), np.uint16).reshape(-1, 1) for name in files])
            for files in events.values()
        ]
        savemat(folder / f"wider_{subset}_val.mat", head | {"gt_list": cells(chosen)})
    return folder


def cells(values: Sequence[object]) -> object:
    """Return an (N, 1) cell array."""
    array = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        array[row, 0] = value
    return array
