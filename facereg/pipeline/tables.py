"""The embeddings of all faces in picture files as one table, and the file that holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.builtin.main_face import main_face_of
from facereg.disk.replacing import whole_file, writing
from facereg.errors import ImageError
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.files import run_files
from facereg.types import BoolArray, Embeddings, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFiles:
    """The N faces of picture files, but for those that the aligner refused.

    Args:
        embeddings: of each face.
        boxes, scores: (N, 4) and (N,) float32, in pixels of the file.
        images: the file of each face.
        main: (N,) whether the face is the one that its picture is about, as `facereg enroll` takes it.
        errors: what is wrong with each file that could not be read or worked on.
        refused: why the aligner refused each of the others, and in which file.
    """

    embeddings: Embeddings
    boxes: FloatArray
    scores: FloatArray
    images: tuple[Path, ...]
    main: BoolArray
    errors: tuple[ImageError, ...]
    refused: tuple[ImageError, ...]

    def save(self, path: Path) -> None:
        """Write a .npz file of vectors, boxes, scores, images, main and space, its owner's alone: they are biometric.

        Raises:
            ImageError: if it cannot be written.
        """
        with writing(path, ImageError), whole_file(path, private=True) as stream:
            np.savez_compressed(
                stream,
                vectors=self.embeddings.vectors,
                boxes=self.boxes,
                scores=self.scores,
                images=np.array([str(image) for image in self.images], np.str_),
                main=self.main,
                space=np.array(self.embeddings.space),
            )


def embed_files(
    pipeline: Pipeline,
    paths: Sequence[Path],
    *,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> EmbeddedFiles:
    """Return the embeddings of all faces in picture files; one bad file stops nothing.

    Args:
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file read in part, or one that could not be read, and each face refused.
    Raises:
        FaceregError: if a network is not to be had.
    """
    vectors = [np.empty((0, pipeline.embedder.dim), np.float32)]
    boxes, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
    images, main, errors, refused = list[Path](), list[bool](), list[ImageError](), list[ImageError]()
    with closing(run_files(pipeline, paths, notice=notice)) as outcomes:
        for path, outcome in outcomes:
            progress(1)
            try:
                if isinstance(outcome, ImageError):
                    raise outcome
                about = main_face_of(path, outcome.faces)
            except ImageError as error:  # also where the file is gone since it was read
                errors.append(error)
                notice(str(error))
                continue
            refused += [ImageError(path, f"a face was refused: {reason}") for reason in outcome.refused if reason]
            vectors.append(outcome.embeddings.vectors)
            boxes.append(outcome.faces.boxes[outcome.kept])
            scores.append(outcome.faces.scores[outcome.kept])
            images += [path] * len(outcome.kept)
            main += [int(row) == about for row in outcome.kept]
    for face in refused:
        notice(str(face))
    return EmbeddedFiles(
        Embeddings(np.concatenate(vectors), pipeline.embedder.space),
        np.concatenate(boxes),
        np.concatenate(scores),
        tuple(images),
        np.array(main, np.bool_),
        tuple(errors),
        tuple(refused),
    )
