"""Faces found once and embedded by many: of each picture the face it is about, or the one that a list names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg.builtin.main_face import NO_FACE, main_face
from facereg.errors import FaceregError, ImageError
from facereg.evaluation.main_faces import MainFaces
from facereg.images import load_pictures
from facereg.pipeline.failures import NO_NETWORK
from facereg.pipeline.files import detect_files, error_of_file
from facereg.roles import Aligner, Detector, Embedder
from facereg.types import BoolArray, Faces, FloatArray

Crop = npt.NDArray[np.uint8]
CHUNK = 8  # pictures of one call of the detector


@dataclass(frozen=True, slots=True, eq=False)
class KnownFaces:
    """The face of each picture, in the pixels of its file: one, or none where none was found; and what went wrong."""

    faces: Mapping[Path, Faces]
    errors: tuple[ImageError, ...] = ()


def find_main_faces(
    detector: Detector,
    paths: list[Path],
    *,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> KnownFaces:
    """Return the face that each picture is about; one that cannot be read has none.

    Args:
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part.
    Raises:
        FaceregError: if a network cannot be reached or opened.
    """
    known: dict[Path, Faces] = {}
    errors: list[ImageError] = []
    for path, outcome in detect_files(detector, paths, chunk=CHUNK, notice=notice):
        progress(1)
        if isinstance(outcome, ImageError):
            errors.append(outcome)
            known[path] = Faces.empty()
            continue
        picture, faces = outcome
        row = main_face(faces, *picture.image.shape[:2])
        known[path] = picture.in_file(faces[np.array([] if row is None else [row], np.int64)])
    return KnownFaces(known, tuple(errors))


def embed_known_faces(
    aligner: Aligner,
    embedder: Embedder,
    known: KnownFaces,
    *,
    progress: Callable[[int], object] = lambda done: None,
) -> MainFaces:
    """Return the vector of each picture's face, in their order; a picture without one, or refused, is not found.

    Args:
        progress: called with the number of pictures done since the last call.
    Raises:
        FaceregError: if a network cannot be reached or opened.
    """
    vectors = np.zeros((len(known.faces), embedder.dim), np.float32)
    found = np.zeros(len(known.faces), np.bool_)
    errors, without_face = list(known.errors), list[ImageError]()
    unread = {error.path for error in errors}
    waiting: list[tuple[int, Path, Crop]] = []
    crops = _crops(aligner, embedder, known)
    for row, (path, crop) in enumerate(zip(known.faces, crops, strict=True)):
        if isinstance(crop, ImageError):
            errors.append(crop)
        elif isinstance(crop, str):
            without_face += [] if str(path) in unread else [ImageError(path, crop)]
        else:
            waiting.append((row, path, crop))
        if len(waiting) == embedder.batch_size or row == len(known.faces) - 1:
            errors += _embed(embedder, waiting, vectors, found)
            waiting.clear()
        progress(1)
    return MainFaces(vectors, found, embedder.space, tuple(errors), tuple(without_face))


def _embed(
    embedder: Embedder, crops: Sequence[tuple[int, Path, Crop]], vectors: FloatArray, found: BoolArray
) -> list[ImageError]:
    """Put the vectors of crops into their rows; where they fail together, each is tried alone."""
    if not crops:
        return []
    rows = [row for row, _, _ in crops]
    try:
        vectors[rows] = embedder.embed(np.stack([crop for _, _, crop in crops])).vectors
    except FaceregError as error:
        if len(crops) == 1 or isinstance(error, NO_NETWORK):
            return [error_of_file(crops[0][1], error)]
        return [failed for one in crops for failed in _embed(embedder, [one], vectors, found)]
    found[rows] = True
    return []


def _crops(aligner: Aligner, embedder: Embedder, known: KnownFaces) -> Iterator[Crop | ImageError | str]:
    """Yield each picture's crop, (S, S, 3) uint8; what is wrong where it cannot be cut out; why there is no face."""
    wanted = (path for path, faces in known.faces.items() if len(faces))
    pictures = load_pictures(wanted)  # pictures without a face are not opened
    for path, faces in known.faces.items():
        if not len(faces):
            yield NO_FACE
            continue
        _, picture = next(pictures)
        if isinstance(picture, ImageError):
            yield picture
            continue
        try:
            seen = picture.in_image(faces)
            cut = aligner.align([picture.image], [seen], size=embedder.crop_size, template=embedder.template)
        except FaceregError as error:
            yield error_of_file(path, error)
            continue
        yield cut.pixels[0] if len(cut.pixels) else cut.refused[0]
