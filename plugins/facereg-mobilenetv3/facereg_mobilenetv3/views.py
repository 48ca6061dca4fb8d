"""Views of faces and the teacher's answers to them: what distillation learns from.

One view an image is soon exhausted; so each image is seen through many: shifted, turned, recoloured,
softened, partly erased, mixed with another face. The teacher answers the very crop that the student sees.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from facereg import (
    DatasetError,
    DeviceError,
    FloatArray,
    MissingExtraError,
    NetworkSpec,
    RunnerError,
    TensorSpec,
    WeightsError,
    open_network,
)
from facereg.training import file_sha256, whole_file, write_file

Pixels = npt.NDArray[np.uint8]
Teacher = Callable[[Pixels], FloatArray]  # (B, 112, 112, 3) uint8 RGB -> (B, D)
Engine = Literal["onnx", "openvino"]
DIMS = "dims.json"  # beside the shards: how many numbers each teacher answers with
TEACHERS = "teachers.json"  # beside them, too: sha256 of each teacher's file
MOST_SHARDS = 1000  # their numbers have three digits
SIZE = 112


def require_teachers(folder: Path, files: Sequence[Path]) -> None:
    """Refuse teachers whose answers a folder of shards does not hold: it would be learned from all the same.

    Args:
        files: of the teachers; none where nobody asks for some.
    Raises:
        WeightsError: if a file is missing.
        DatasetError: if the folder says that its shards were made with others.
    """
    for path in files:
        _require_file(path)
    noted = folder / TEACHERS
    if files and noted.is_file() and json.loads(noted.read_text("utf-8")) != [file_sha256(path) for path in files]:
        raise DatasetError(
            f"{folder}: expected views that {', '.join(path.name for path in files)} answered, got those of other "
            "teachers; name another folder with --set folder=DIR, or remove that one"
        )


def note_teachers(folder: Path, files: Sequence[Path]) -> None:
    """Write beside the shards whose answers they hold."""
    write_file(folder / TEACHERS, json.dumps([file_sha256(path) for path in files]).encode())


def _require_file(path: Path) -> None:
    """Raise WeightsError where a teacher is missing."""
    if not path.is_file():
        raise WeightsError(f"teacher: expected an ONNX file, found none at {path}; pass --set teacher=FILE")


def open_teacher(path: Path, *, engine: Engine = "onnx") -> Teacher:
    """Return an ONNX network as a function of uint8 crops.

    Args:
        path: ONNX with one output (N, D) and one input: (N, 112, 112, 3) uint8 RGB as our own networks take it, or
            (N, 3, 112, 112) float32 RGB, (x - 127.5) / 127.5, as ArcFace's do.
        engine: `onnx` (ONNX Runtime), or `openvino`, which uses bfloat16 units where the CPU has them.
    Raises:
        WeightsError: if the file is missing, or holds no such network.
        RunnerError: if it takes neither kind of crops.
        MissingExtraError: if OpenVINO is asked for and not installed.
    """
    _require_file(path)
    if engine == "openvino":
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError("openvino is not installed; pip install 'facereg-mobilenetv3[openvino]'") from error
        compiled = openvino.Core().compile_model(str(path), "CPU")
        ready = _prepared(takes_bytes=compiled.input(0).element_type == openvino.Type.u8)
        return lambda pixels: np.asarray(compiled([ready(pixels)])[0], np.float32)
    probe = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    try:
        answer = _runner(path, takes_bytes=True)
        answer(probe)
    except RunnerError:  # of an input of another type: a file does not say which before it is opened
        answer = _runner(path, takes_bytes=False)
        answer(probe)
    return answer


def _runner(path: Path, *, takes_bytes: bool) -> Teacher:
    """Return a teacher that runs on the GPU where there is one."""
    taken = TensorSpec("crops", "uint8", (None, SIZE, SIZE, 3))
    if not takes_bytes:
        taken = TensorSpec("crops", "float32", (None, 3, SIZE, SIZE))
    given = TensorSpec("vectors", "float32", (None, None))
    spec = NetworkSpec("teacher", (taken,), (given,), package="", file=path.name, tensors_by_position=True)
    try:
        runner = open_network(spec, weights=path, device="cuda")
    except DeviceError:
        runner = open_network(spec, weights=path)
    prepared = _prepared(takes_bytes=takes_bytes)
    return lambda pixels: runner.infer({"crops": prepared(pixels)})["vectors"]


def _prepared(*, takes_bytes: bool) -> Callable[[Pixels], npt.NDArray[np.generic]]:
    """Return what makes a teacher's input of crops."""
    if takes_bytes:
        return np.ascontiguousarray
    return lambda pixels: ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)


def make_view(crop: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Return one random view of a crop; in half of them the crop is mixed with `other`."""
    view = _moved(crop, rng)
    if rng.random() < 0.5:
        share = rng.uniform(0.1, 0.5)
        view = cv2.addWeighted(view, 1 - share, _moved(other, rng), share, 0).astype(np.uint8)
    if rng.random() < 0.6:
        view = _recoloured(view, rng)
    if rng.random() < 0.3:  # web faces are often enlarged ones
        small = int(rng.integers(36, 90))
        view = cv2.resize(cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA), (SIZE, SIZE)).astype(np.uint8)
    if rng.random() < 0.15:  # Random Erasing (Zhong et al. 2017)
        h, w = rng.integers(12, 50, 2)
        y, x = rng.integers(0, SIZE - h), rng.integers(0, SIZE - w)
        view[y : y + h, x : x + w] = rng.integers(0, 256, 3, dtype=np.uint8)
    return view


def _moved(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Random crop and horizontal flip, as one similarity about the centre."""
    angle, scale = rng.normal(0, 4), np.exp(rng.normal(0, 0.05))
    matrix = np.asarray(cv2.getRotationMatrix2D((55.5, 55.5), float(angle), float(scale)), np.float64)
    matrix[:, 2] += rng.normal(0, 2.5, 2)
    if rng.random() < 0.5:
        matrix[:, 0] *= -1
        matrix[:, 2] += np.array(matrix[:, 0]) * -(SIZE - 1)
    return cv2.warpAffine(crop, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101).astype(
        np.uint8
    )


def _recoloured(view: Pixels, rng: np.random.Generator) -> Pixels:
    pixels = view.astype(np.float32)
    if rng.random() < 0.15:
        pixels[:] = pixels.mean(2, keepdims=True)
    grey = pixels.mean()
    pixels = (pixels - grey) * rng.uniform(0.7, 1.3) + grey * rng.uniform(0.7, 1.3)  # contrast, brightness
    pixels *= rng.uniform(0.9, 1.1, 3).astype(np.float32)  # colour of the light
    if rng.random() < 0.3:
        pixels += rng.normal(0, rng.uniform(1, 8), pixels.shape).astype(np.float32)
    recoloured: Pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return recoloured


def make_shard(crops: Pixels, teachers: Sequence[Teacher], folder: Path, *, index: int, seed: int) -> None:
    """Write one view of every crop and the teachers' unit vectors side by side: views-NNN.npy, targets-NNN.npy.

    A shard appears whole or not at all, so an interrupted run goes on where it stopped.
    """
    targets_path = folder / f"targets-{index:03d}.npy"
    if targets_path.exists():
        return
    rng = np.random.default_rng([seed, index])
    partners = rng.permutation(len(crops))
    targets = []
    # one after the other: a file mapped into memory, on a disk that is full, would end the process by a signal
    with whole_file(folder / f"views-{index:03d}.npy") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": crops.shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in track(range(0, len(crops), 64), f"views {index + 1}", console=_stderr()):
            rows = range(start, min(start + 64, len(crops)))
            seen = np.stack([make_view(crops[row], crops[partners[row]], rng) for row in rows])
            stream.write(seen.tobytes())
            targets.append([_unit(teacher(seen)) for teacher in teachers])
    (folder / DIMS).write_text(json.dumps([vectors.shape[1] for vectors in targets[0]]), encoding="utf-8")
    with whole_file(targets_path, private=True) as stream:
        np.save(stream, np.concatenate([np.concatenate(parts, axis=1) for parts in targets]).astype(np.float16))


def _unit(vectors: FloatArray) -> FloatArray:
    scaled: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


class Views:
    """All finished shards of a folder, as one table: `views[row]` gives pixels and targets.

    `dims` tells how many of a row's targets are each teacher's.
    """

    def __init__(self, folder: Path) -> None:
        finished = sorted(folder.glob("targets-[0-9][0-9][0-9].npy"))
        self.targets = [np.load(path, mmap_mode="r") for path in finished]
        self.pixels = [
            np.load(path.with_name(path.name.replace("targets", "views")), mmap_mode="r") for path in finished
        ]
        self.starts = np.cumsum([0, *(len(part) for part in self.targets)])
        listed = folder / DIMS  # shards of one teacher were once made without it
        self.dims: list[int] = (
            json.loads(listed.read_text(encoding="utf-8"))
            if listed.is_file()
            else [part.shape[1] for part in self.targets[:1]]
        )

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, row: int) -> tuple[Pixels, npt.NDArray[np.float16]]:
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        offset = row - int(self.starts[shard])
        return self.pixels[shard][offset], self.targets[shard][offset]


def _stderr() -> Console:
    return Console(file=sys.stderr)
