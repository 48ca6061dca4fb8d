"""One vector a photograph: of the face that the photograph is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.builtin.main_face import main_face
from facereg.errors import ImageError
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.files import run_files
from facereg.roles import Detector
from facereg.types import BoolArray, Faces, FloatArray, Image


@dataclass(frozen=True, slots=True, eq=False)
class MainFaces:
    """Vectors (N, D) of N photographs, zero where `found` (N,) is False; `space` they live in; what went wrong."""

    vectors: FloatArray
    found: BoolArray
    space: str
    errors: tuple[ImageError, ...]


def embed_main_faces(
    pipeline: Pipeline,
    paths: Sequence[Path],
    *,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> MainFaces:
    """Return the vector of the main face of each photograph; a bad file or one without a face is not found.

    Args:
        progress: called with the number of photographs done since the last call.
        notice: called with a line about a file that was read in part, as in `run_files`.
    """
    vectors = np.zeros((len(paths), pipeline.embedder.dim), np.float32)
    found = np.zeros(len(paths), np.bool_)
    errors: list[ImageError] = []
    # not closed: its stages are those of `pipeline`
    alone = Pipeline(_MainFaceDetector(pipeline.detector), pipeline.aligner, pipeline.embedder)
    with closing(run_files(alone, paths, notice=notice)) as outcomes:
        for row, (_, outcome) in enumerate(outcomes):
            if isinstance(outcome, ImageError):
                errors.append(outcome)
            elif len(outcome.embeddings):
                found[row] = True
                vectors[row] = outcome.embeddings.vectors[0]
            progress(1)
    return MainFaces(vectors, found, pipeline.embedder.space, tuple(errors))


class _MainFaceDetector(Detector):
    """Gives the main face of what another detector finds: only that one is worth embedding."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector.networks)
        self._detector = detector

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        kept = []
        for image, faces in zip(images, self._detector.detect(images), strict=True):
            main = main_face(faces, *image.shape[:2])
            kept.append(faces[np.array([] if main is None else [main], np.int64)])
        return kept
