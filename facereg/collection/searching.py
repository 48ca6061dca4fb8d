"""Who is in a collection, and where a face is in it: its index read once, a batch at a time, no picture opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.collection.store import Index
from facereg.pipeline.stages import NOBODY
from facereg.roles import Matcher
from facereg.types import Embeddings, FloatArray, Match


@dataclass(frozen=True, slots=True, eq=False)
class IndexedFace:
    """A face in a file of a collection.

    Args:
        number: by which the index knows the face.
        file: that holds it; a picture of which there are copies has a face in each.
        box: (4,) float32, in pixels of the file.
        similarity: to what was looked for.
        match: who it is; nobody where no people were given.
    """

    number: int
    file: Path
    box: FloatArray
    similarity: float
    match: Match = NOBODY


def name_faces(
    index: Index, matcher: Matcher, *, candidates: int = 5, progress: Callable[[int], object] = lambda done: None
) -> Iterator[IndexedFace]:
    """Yield each face of a collection, in each file that has it, with who it is.

    Args:
        matcher: holds the known people.
        candidates: how many of the closest people a match lists.
        progress: called with the number of faces done since the last call.
    Raises:
        SpaceMismatchError: if the people are of another embedder.
        GalleryError: if the index is damaged.
    """
    for faces in index.faces():
        for row, match in enumerate(matcher.match(faces.embeddings, k=candidates)):
            for file in faces.files[row]:
                yield IndexedFace(int(faces.numbers[row]), file, faces.boxes[row], match.similarity, match)
        progress(len(faces))


def find_face(
    index: Index,
    vector: Embeddings,
    *,
    threshold: float,
    most: int = 100,
    progress: Callable[[int], object] = lambda done: None,
) -> list[IndexedFace]:
    """Return the faces of a collection that are as alike as the threshold, the most alike first, in each file.

    Args:
        vector: one, of the face that is looked for.
        threshold: cosine similarity.
        most: how many faces at most.
        progress: called with the number of faces looked at since the last call.
    Raises:
        SpaceMismatchError: if the vector is of another embedder.
        GalleryError: if the index is damaged.
    """
    vector.require_space(index.space)
    found: list[tuple[float, int, tuple[Path, ...], FloatArray]] = []
    for faces in index.faces():
        similarities = faces.embeddings.vectors @ vector.vectors[0]
        found += (
            (float(similarities[row]), int(faces.numbers[row]), faces.files[row], faces.boxes[row])
            for row in np.flatnonzero(similarities >= threshold)
        )
        found = sorted(found, key=lambda one: (-one[0], one[1]))[:most]
        progress(len(faces))
    return [IndexedFace(number, file, box, alike) for alike, number, files, box in found for file in files]
