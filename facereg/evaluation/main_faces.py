"""One vector a photograph: of the face that the photograph is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.errors import ImageError
from facereg.images import load_images
from facereg.pipeline import CHUNK, Pipeline
from facereg.types import BoolArray, Faces, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class MainFaces:
    """Vectors (N, D) of N photographs, zero where `found` (N,) is False; `space` they live in; what went wrong."""

    vectors: FloatArray
    found: BoolArray
    space: str
    errors: tuple[ImageError, ...]


def main_face(faces: Faces, height: int, width: int) -> int | None:
    """Return the row of the face that a photograph is about: large and near the centre; None where there is none."""
    if len(faces) == 0:
        return None
    sides = np.sqrt(np.prod(np.maximum(faces.boxes[:, 2:] - faces.boxes[:, :2], 0), axis=1))
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    distances = np.linalg.norm(centres - np.array([(width - 1) / 2, (height - 1) / 2]), axis=1)
    return int((sides - distances).argmax())


def embed_main_faces(
    pipeline: Pipeline, paths: Sequence[Path], *, progress: Callable[[int], None] = lambda done: None
) -> MainFaces:
    """Return the vector of the main face of each photograph; a bad file or one without a face is not found.

    Args:
        progress: called with the number of photographs done since the last call.
    """
    vectors = np.zeros((len(paths), pipeline.embedder.dim), np.float32)
    found = np.zeros(len(paths), np.bool_)
    errors: list[ImageError] = []
    for start in range(0, len(paths), CHUNK):
        loaded = list(load_images(paths[start : start + CHUNK]))
        errors += [image for _, image in loaded if isinstance(image, ImageError)]
        good = [(start + row, image) for row, (_, image) in enumerate(loaded) if not isinstance(image, ImageError)]
        images = [image for _, image in good]
        faces = pipeline.detector.detect(images)
        for place, (row, image) in enumerate(good):
            main = main_face(faces[place], *image.shape[:2])
            found[row] = main is not None
            faces[place] = faces[place][np.array([] if main is None else [main], np.int64)]
        embedded = pipeline.embedder.embed(pipeline.aligner.align(images, faces, size=pipeline.embedder.crop_size))
        rows = [row for row, _ in good if found[row]]
        vectors[rows] = embedded.vectors
        progress(len(loaded))
    return MainFaces(vectors, found, pipeline.embedder.space, tuple(errors))
