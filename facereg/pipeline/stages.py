"""The four stages as a pipeline calls them, each call counted; and what comes out for an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError
from facereg.pipeline.metrics import PipelineMetrics
from facereg.roles import Aligner, Detector, Embedder, Matcher
from facereg.types import Crops, Embeddings, Face, Faces, FloatArray, Image, IntArray, Match, Matches


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """One face of a `Result`: `vector` (D,) is None where `refused` says why there is none.

    `match` of a refused face is nobody, without candidates; so is that of every face without a matcher. `points` (P, 2)
    are the aligner's; P is 0 where it gives none, or refused the face.
    """

    face: Face
    vector: FloatArray | None
    match: Match
    refused: str
    points: FloatArray = field(default_factory=lambda: np.empty((0, 2), np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was found in one image. Iterating gives each face with what is its.

    Args:
        faces: all that were found.
        embeddings, matches: a row for each face that the aligner did not refuse, in order: the same row as in `faces`
            where none was refused. Without a matcher each row of `matches` has no names and is not accepted.
        refused: why each face has no vector, '' where it has one; empty where none was refused.
        points: (M, P, 2) float32, the aligner's points of each face with a vector, in pixels of the image; P may be 0.
    Raises:
        ContractError: if the numbers of rows do not go together.
    """

    faces: Faces
    embeddings: Embeddings
    matches: Matches
    refused: tuple[str, ...] = ()
    points: FloatArray = field(default_factory=lambda: np.empty((0, 0, 2), np.float32))

    def __post_init__(self) -> None:
        kept = len(self.faces) if not self.refused else self.refused.count("")
        matched = len(self.matches)
        if len(self.refused) not in (0, len(self.faces)) or len(self.embeddings) != kept or matched != kept:
            raise ContractError(
                f"result: expected vectors and matches of {kept} faces, got {len(self.embeddings)} and {matched}; "
                f"{len(self.faces)} faces were found and {len(self.refused) - self.refused.count('')} refused"
            )
        if self.points.shape[1] == 0:
            object.__setattr__(self, "points", np.empty((kept, 0, 2), np.float32))
        elif len(self.points) != kept:
            raise ContractError(f"result: expected points of {kept} faces, got {len(self.points)}")

    @property
    def kept(self) -> IntArray:
        """Return the rows of `faces` that have a vector, (M,), in order: row i of `embeddings` is of face `kept[i]`."""
        return np.array([row for row in range(len(self.faces)) if not self.refusal(row)], np.int64)

    def refusal(self, row: int) -> str:
        """Return why the face of a row of `faces` has no vector; empty where it has one."""
        return self.refused[row] if self.refused else ""

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[FoundFace]:
        kept = zip(self.embeddings.vectors, self.matches, self.points, strict=True)
        for row, face in enumerate(self.faces):
            if reason := self.refusal(row):
                yield FoundFace(face, None, NOBODY, reason)
            else:
                vector, match, points = next(kept)
                yield FoundFace(face, vector, match, "", points)


NOBODY = Match(None, 0.0, False, ())  # who a face without a vector is


@dataclass(frozen=True, slots=True, eq=False)
class CountedStages:
    """The stages a flow runs, and where their calls are counted."""

    detector: Detector
    aligner: Aligner
    embedder: Embedder
    matcher: Matcher | None
    metrics: PipelineMetrics
    candidates: int = 5

    def find(self, images: Sequence[Image]) -> tuple[list[Faces], Crops]:
        """Return the faces of each image and the crops of all of them."""
        with self.metrics.call(self.detector, len(images)):
            found = self.detector.detect(images)
        with self.metrics.call(self.aligner, len(images)):
            size, template = self.embedder.crop_size, self.embedder.template
            crops = self.aligner.align(images, found, size=size, template=template)
        return found, crops

    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embeddings:
        """Return the vectors of (N, S, S, 3) crops, at most a batch."""
        with self.metrics.call(self.embedder, len(pixels)):
            return self.embedder.embed(pixels)

    def match(self, embeddings: Embeddings) -> Matches:
        """Return who the faces of one image are; nobody without a matcher."""
        if self.matcher is None:
            return Matches.empty(len(embeddings))
        with self.metrics.call(self.matcher, len(embeddings)):
            return self.matcher.match(embeddings, k=self.candidates)


def require_landmarks(detector: Detector, aligner: Aligner) -> None:
    """Raise ContractError where an aligner needs landmarks that the detector does not give."""
    if aligner.needs_landmarks and detector.landmark_count == 0:
        raise ContractError(
            f"detector {detector.name!r} gives no landmarks, and aligner {aligner.name!r} needs them; use a detector "
            "with landmarks, or an aligner that finds its own, see 'facereg models'"
        )
