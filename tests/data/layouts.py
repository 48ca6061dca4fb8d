"""Small trees in the layout of published sets."""

from __future__ import annotations

import io
import struct
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


def write_record(folder: Path, people: Sequence[Sequence[bytes]], *, ranges: bool = True) -> Path:
    """Write `train.rec`, `train.idx` and `property` as MXNet and InsightFace do: pictures by person, as files.

    Args:
        ranges: begin with the ranges of people; without, each record's label alone says whose it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records: list[tuple[Sequence[float], bytes]] = []
    spans, key = [], 1
    for person, files in enumerate(people):
        spans.append((key, key + len(files)))
        records += [((float(person),), content) for content in files]
        key += len(files)
    if ranges:
        records = [((float(key), float(key + len(people))), b""), *records, *((span, b"") for span in spans)]
    content, index = b"", ""
    for row, (labels, file) in enumerate(records):
        index += f"{row if ranges else row + 1}\t{len(content)}\n"
        flag = len(labels) if len(labels) > 1 else 0
        header = struct.pack("<IfQQ", flag, 0.0 if flag else labels[0], row, 0)
        content += framed(header + (struct.pack(f"<{flag}f", *labels) if flag else b"") + file)
    (folder / "train.rec").write_bytes(content)
    (folder / "train.idx").write_text(index, "ascii")
    (folder / "property").write_text(f"{len(people)},112,112\n", "ascii")
    return folder


def framed(content: bytes) -> bytes:
    """Return a record as dmlc-core writes it: split where its own magic number stands at a multiple of four."""
    magic = struct.pack("<I", 0xCED7230A)
    parts, start = [], 0
    for at in range(0, len(content) - 3, 4):
        if content[at : at + 4] == magic:
            parts.append(content[start:at])
            start = at + 4
    parts.append(content[start:])
    written = b""
    for row, part in enumerate(parts):
        kind = 0 if len(parts) == 1 else 1 if row == 0 else 3 if row == len(parts) - 1 else 2
        written += magic + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
    return written


def jpeg(colour: int, *, size: int = 112, mode: str = "RGB") -> bytes:
    """Return a JPEG file of one colour."""
    stream = io.BytesIO()
    Pillow.new(mode, (size, size), (colour, 90, 200) if mode == "RGB" else colour).save(stream, "JPEG")
    return stream.getvalue()
