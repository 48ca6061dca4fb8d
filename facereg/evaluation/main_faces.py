"""One vector a photograph: of the face that the photograph is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.builtin.main_face import NO_FACE, main_face
from facereg.errors import ImageError
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.files import run_files
from facereg.roles import Detector
from facereg.types import BoolArray, Faces, FloatArray, Image


@dataclass(frozen=True, slots=True, eq=False)
class MainFaces:
    """The vector of each of N photographs.

    Args:
        vectors: (N, D) float32, zero where `found` (N,) is False.
        space: they live in.
        errors: what is wrong with each file that could not be read or worked on.
        without_face: why each other photograph has no vector: no face was found, or the aligner refused it.
    """

    vectors: FloatArray
    found: BoolArray
    space: str
    errors: tuple[ImageError, ...]
    without_face: tuple[ImageError, ...]

    @property
    def unseen(self) -> tuple[ImageError, ...]:
        """Return why each photograph without a vector has none."""
        return self.errors + self.without_face


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
    errors, without_face = list[ImageError](), list[ImageError]()
    # not closed: its stages are those of `pipeline`
    alone = Pipeline(_MainFaceDetector(pipeline.detector), pipeline.aligner, pipeline.embedder)
    with closing(run_files(alone, paths, notice=notice)) as outcomes:
        for row, (path, outcome) in enumerate(outcomes):
            if isinstance(outcome, ImageError):
                errors.append(outcome)
            elif len(outcome.embeddings):
                found[row] = True
                vectors[row] = outcome.embeddings.vectors[0]
            else:
                without_face.append(ImageError(path, outcome.refusal(0) if len(outcome.faces) else NO_FACE))
            progress(1)
    return MainFaces(vectors, found, pipeline.embedder.space, tuple(errors), tuple(without_face))


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
