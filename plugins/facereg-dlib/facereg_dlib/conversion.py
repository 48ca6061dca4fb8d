"""From dlib's file to an ONNX file, always the same bytes, whatever the versions of onnx and numpy."""

from __future__ import annotations

from facereg_dlib.graph import build
from facereg_dlib.tensors import read_numbers


def convert(content: bytes, *, for_crops: bool = False) -> bytes:
    """Return the ONNX file of a `dlib_face_recognition_resnet_model_v1.dat`.

    Args:
        for_crops: for crops of 112 px on ArcFace's template, as the teacher of another embedder; else for dlib's chips.
    Raises:
        WeightsError: if it is not that file, or not whole.
    """
    made: bytes = build(read_numbers(content), for_crops=for_crops).SerializeToString(deterministic=True)
    return made
