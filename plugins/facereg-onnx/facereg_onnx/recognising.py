"""Which files each model takes, and with which options: by the names and sizes of their tensors; see `ModelSpec`."""

from __future__ import annotations

from typing import TypeAlias

from facereg import LAYOUTS, PublishedFile
from facereg_onnx.options import (
    ArcFaceOptions,
    DetectorOptions,
    Mean,
    RetinaFaceOptions,
    ScrfdOptions,
    YoloFaceOptions,
    YuNetOptions,
)
from facereg_onnx.plugin import YUNET

Options: TypeAlias = dict[str, tuple[object, str]]
WITHIN = "shown: the file scales pixels itself"
VECTORS = range(64, 2049)  # how many numbers embedders give


def yunet(file: PublishedFile) -> Options | None:
    """Return the options of `yunet` for a file with the names of its heads."""
    named = {head.name for head in YUNET.outputs} <= {head.name for head in file.outputs}
    return _detector(file, YuNetOptions()) if named else None


def scrfd(file: PublishedFile) -> Options | None:
    """Return the options of `onnx-scrfd` for a file of nine outputs, three of each width."""
    widths = sorted(_widths(file))
    return _detector(file, ScrfdOptions()) if widths == [1, 1, 1, 4, 4, 4, 10, 10, 10] else None


def retinaface(file: PublishedFile) -> Options | None:
    """Return the options of `onnx-retinaface` for a file of three outputs, one of each width."""
    return _detector(file, RetinaFaceOptions()) if sorted(_widths(file)) == [2, 4, 10] else None


def yolov5_face(file: PublishedFile) -> Options | None:
    """Return the options of `onnx-yolov5-face` for a file with one output of 16 numbers an anchor."""
    dims = file.outputs[0].dims
    return _detector(file, YoloFaceOptions()) if len(file.outputs) == 1 and len(dims) == 3 and dims[2] == 16 else None


def yolov8_face(file: PublishedFile) -> Options | None:
    """Return the options of `onnx-yolov8-face` for a file with one output of 20 numbers an anchor."""
    dims = file.outputs[0].dims
    return _detector(file, YoloFaceOptions()) if len(file.outputs) == 1 and len(dims) == 3 and 20 in dims[1:] else None


def embedder(file: PublishedFile) -> Options | None:
    """Return the options of `onnx-arcface` for a file from a square picture to a vector.

    Of colours and scale nothing is to be seen but whether the file scales by itself: they are guessed, by the name.
    """
    dims, vector = _picture(file), file.outputs[0].dims
    if not dims or len(vector) != 2 or vector[1] not in VECTORS or _layout(file):
        return None
    last = dims[3] == 3
    height, width = dims[1:3] if last else dims[2:]
    if height != width:
        return None
    usual, name = ArcFaceOptions(), file.name.lower()
    facenet = height == 160  # px; of FaceNet (Schroff et al. 2015) as it is published
    bgr = next((kind for kind in ("AdaFace", "SFace") if kind.lower() in name), "")
    size = (height, "shown") if height else (usual.size, "guessed: the file takes any; ArcFace's")
    return {
        "size": size,
        **({"channels_last": (True, "shown")} if last else {}),
        **_pixels(file, usual.mean, 128.0 if facenet else usual.scale, "FaceNet's" if facenet else "ArcFace's"),
        "bgr": (bool(bgr), f"guessed by the name: {bgr}'s" if bgr else "guessed: RGB, as most; AdaFace and SFace: BGR"),
    }


def landmarks(file: PublishedFile) -> Options | None:
    """Return the options of `onnx-landmarks` for a file from a square picture to the points of a known layout."""
    layout, dims = _layout(file), _picture(file)
    if not dims or len(file.outputs) != 1 or not layout or dims[1] != 3 or dims[2] != dims[3]:
        return None
    count = f"shown: {LAYOUTS[layout].points} points"
    side = (dims[2], "shown") if dims[2] else (112, "guessed: the file takes any")
    if layout != "insightface-106":
        return {"layout": (layout, count), "side": side, **_pixels(file, 0.0, 255.0, "PFLD's")}
    return {
        "layout": (layout, count),
        "side": side,
        "centred": (True, "guessed: 2d106det.onnx's"),
        "margin": (1.5, "guessed: 2d106det.onnx's, over the detector's box"),
        **_pixels(file, 127.5, 128.0, "InsightFace's"),
    }


def _detector(file: PublishedFile, usual: DetectorOptions) -> Options | None:
    """Return the options that follow from a detector's input; None where that is no picture."""
    dims = _picture(file)
    if not dims or dims[1] != 3:
        return None
    height, width = dims[2:]
    sides: Options = {"canvas": ([width, height], "shown: the file takes one size")} if height and width else {}
    bgr = (usual.bgr, "guessed: as published files of this kind")
    return {**sides, **_pixels(file, usual.mean, usual.scale, "as published files of this kind"), "bgr": bgr}


def _picture(file: PublishedFile) -> tuple[int | None, ...]:
    """Return the dims of the one picture that a file takes; none where it takes something else."""
    [first, *more] = file.inputs
    fits = not more and first.dtype == "float32" and len(first.dims) == 4 and 3 in (first.dims[1], first.dims[3])
    return first.dims if fits else ()


def _pixels(file: PublishedFile, mean: Mean, scale: float, whose: str) -> Options:
    if file.scales_pixels:
        return {"mean": (0.0, WITHIN), "scale": (1.0, WITHIN)}
    return {"mean": (mean, f"guessed: {whose}"), "scale": (scale, f"guessed: {whose}")}


def _layout(file: PublishedFile) -> str:
    """Return the layout with half as many points as the first output has numbers, or ''."""
    dims = file.outputs[0].dims
    points = {2 * each.points: each.name for each in LAYOUTS.values()}
    return points.get(dims[1] or 0, "") if len(dims) == 2 else ""


def _widths(file: PublishedFile) -> list[int]:
    """Return the last size of every output that states one."""
    return [head.dims[-1] for head in file.outputs if head.dims and head.dims[-1]]
