"""The points that an aligner finds on faces: in one picture, and in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.errors import ContractError, FaceregError, ImageError
from facereg.images import Picture
from facereg.pipeline.files import detect_files, error_of_file
from facereg.pipeline.stages import require_landmarks
from facereg.roles import Aligner, Detector
from facereg.types import BoolArray, Crops, Faces, FloatArray, Image

CROP = 112  # px; crops are made and dropped: points do not depend on them


@dataclass(frozen=True, slots=True, eq=False)
class FacePoints:
    """The points that an aligner found on N faces of one picture.

    Args:
        points: (N, P, 2) float32 in the picture's pixels; NaN of a face that was refused.
        refused: why each face was refused, '' where it has points.
    """

    points: FloatArray
    refused: tuple[str, ...]

    @property
    def kept(self) -> BoolArray:
        """Return which faces have points (N,)."""
        return np.array([not reason for reason in self.refused], np.bool_)


def points_of(aligner: Aligner, image: Image, faces: Faces) -> FacePoints:
    """Return the points of each face of a picture.

    Raises:
        ContractError: if the aligner gives none.
    """
    return _by_face(aligner, aligner.align([image], [faces], size=CROP), faces)


def _by_face(aligner: Aligner, crops: Crops, faces: Faces) -> FacePoints:
    count = crops.landmarks.shape[1]
    if len(crops) and not count:
        raise ContractError(
            f"aligner {aligner.name!r}: expected points of each face, got none; use one that gives points, "
            "as 'five-point' or an aligner of a landmark network, see 'facereg models --role aligner'"
        )
    refused = crops.refused or ("",) * len(faces)
    points = np.full((len(faces), count, 2), np.nan, np.float32)
    if count:
        points[[not reason for reason in refused]] = crops.landmarks
    return FacePoints(points, refused)


def find_points(
    detector: Detector,
    aligner: Aligner,
    paths: Sequence[Path],
    *,
    chosen: Callable[[int, Picture, Faces], Faces] = lambda row, picture, faces: faces,
    notice: Callable[[str], object] = lambda text: None,
) -> Iterator[tuple[Path, tuple[Picture, Faces, FacePoints] | ImageError]]:
    """Yield each file with its picture, its faces and their points in the picture's pixels, or what is wrong, in order.

    Args:
        chosen: called with the file's row, its picture and all faces; returns those to find points of.
        notice: called with a line about a file that was read in part: the first of several pages.
    Raises:
        ContractError: if the aligner needs landmarks that the detector does not give, or gives no points.
        FaceregError: if a network cannot be reached or opened: no other picture would fare better.
    """
    require_landmarks(detector, aligner)
    for row, (path, outcome) in enumerate(detect_files(detector, paths, notice=notice)):
        if isinstance(outcome, ImageError):
            yield path, outcome
            continue
        picture, faces = outcome
        faces = chosen(row, picture, faces)
        try:
            crops = aligner.align([picture.image], [faces], size=CROP)
        except FaceregError as error:
            yield path, error_of_file(path, error)
        else:
            yield path, (picture, faces, _by_face(aligner, crops, faces))
