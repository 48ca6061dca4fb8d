"""One vector a photograph: of the face that the photograph is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.errors import ImageError
from facereg.files import run_files
from facereg.interfaces import Detector
from facereg.pipeline import Pipeline
from facereg.types import BoolArray, Faces, FloatArray, Image

ODDS_WEIGHT = 0.1  # of 0.02, 0.05, 0.1, 0.2 and 0.5 the least of the three that name the most of celeba-wild
SURE = 0.999  # two faces scored higher differ by size and place alone


@dataclass(frozen=True, slots=True, eq=False)
class MainFaces:
    """Vectors (N, D) of N photographs, zero where `found` (N,) is False; `space` they live in; what went wrong."""

    vectors: FloatArray
    found: BoolArray
    space: str
    errors: tuple[ImageError, ...]


def main_face(faces: Faces, height: int, width: int) -> int | None:
    """Return the row of the face that a photograph is about: large, near the centre, surely one; None: there is none.

    The side in px, less the distance to the centre, plus a tenth of the picture's longer side for each unit of the
    score's log-odds: a shirt taken for a face is often larger than the face above it, and scored lower.
    """
    if len(faces) == 0:
        return None
    scores = np.clip(faces.scores, 1 - SURE, SURE)
    odds = np.log(scores / (1 - scores))
    sides = np.sqrt(np.prod(np.maximum(faces.boxes[:, 2:] - faces.boxes[:, :2], 0), axis=1))
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    distances = np.linalg.norm(centres - np.array([(width - 1) / 2, (height - 1) / 2]), axis=1)
    return int((sides - distances + ODDS_WEIGHT * max(height, width) * odds).argmax())


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
    # not closed: its stages are those of `pipeline`
    alone = Pipeline(_MainFaceDetector(pipeline.detector), pipeline.aligner, pipeline.embedder)
    with closing(run_files(alone, paths)) as outcomes:
        for row, (_, outcome) in enumerate(outcomes):
            if isinstance(outcome, ImageError):
                errors.append(outcome)
            elif len(outcome.faces):
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
