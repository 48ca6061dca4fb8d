"""MATLAB 5 files: WIDER FACE's are read, and bytes that say something else are refused in one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from facereg.data.mat import read_mat
from facereg.errors import DatasetError
from tests.data.layouts import cells

BOXES = np.array([[1, 2, 30, 40], [5, 6, 70, 80]], np.uint16)


@pytest.mark.parametrize("packed", [False, True])
def test_cells_text_and_numbers_are_read(packed: bool, tmp_path: Path) -> None:
    held = {
        "boxes": cells([cells([BOXES.astype(float), BOXES, np.empty((0, 4))])]),
        "names": cells(["Parade", "Fête"]),
        "other": {"a": 1},  # a struct, which is not asked for
    }
    savemat(tmp_path / "a.mat", held, do_compression=packed)
    found = read_mat(tmp_path / "a.mat", ("boxes", "names", "missing"))
    assert set(found) == {"boxes", "names"}
    assert found["names"] == ["Parade", "Fête"]
    boxes = found["boxes"]
    assert isinstance(boxes, list)
    assert isinstance(boxes[0], list)
    assert [np.asarray(cell).tolist() for cell in boxes[0]] == [BOXES.tolist(), BOXES.tolist(), []]


def matrix(kind: int, sizes: bytes, value: bytes) -> bytes:
    def element(number: int, content: bytes) -> bytes:
        return struct.pack("<II", number, len(content)) + content + bytes(-len(content) % 8)

    held = element(6, struct.pack("<II", kind, 0)) + element(5, sizes) + element(1, b"a") + value
    return element(14, held)


def written(path: Path, *variables: bytes) -> Path:
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + b"".join(variables))
    return path


SIDE = struct.pack("<ii", 1, 1)
DEEP = matrix(6, struct.pack("<ii", 0, 0), struct.pack("<II", 9, 0))
for _ in range(2000):
    DEEP = matrix(1, SIDE, DEEP)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        matrix(1, struct.pack("<ii", 1 << 30, 1 << 30), b""),
        matrix(6, struct.pack("<ii", 1 << 20, 1 << 20), struct.pack("<II", 9, 8) + bytes(8)),
        matrix(6, struct.pack("<ii", -1, -1), struct.pack("<II", 9, 8) + bytes(8)),
        matrix(2, SIDE, b""),
        matrix(5, SIDE, b""),
        matrix(4, SIDE, struct.pack("<II", 4, 2) + b"\x00\xd8" + bytes(6)),
        matrix(6, SIDE, struct.pack("<II", 9, 8) + bytes(8)) * 2,
        DEEP,
        struct.pack("<II", 14, 1 << 31),
        struct.pack("<II", 15, 8) + b"no zlib.",
        struct.pack("<II", 15, 0),
    ],
    ids=["empty", "cells", "size", "minus", "struct", "sparse", "text", "twice", "deep", "long", "zlib", "nothing"],
)
def test_bytes_that_lie_are_refused(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", content) if content else tmp_path / "a.mat"
    if not content:
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="expected a MATLAB 5 file"):
        read_mat(path, ("a",))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facereg.data.mat.MAX_BYTES", 1 << 20)
    bomb = zlib.compress(bytes(2 << 20))
    with pytest.raises(DatasetError, match="bytes unpacked"):
        read_mat(written(tmp_path / "a.mat", struct.pack("<II", 15, len(bomb)), bomb), ("a",))
