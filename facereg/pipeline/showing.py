"""What is known of each face, its name or its points: for JSON, and drawn on the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from facereg.drawing import POINTS, draw_faces, draw_points
from facereg.images import Picture
from facereg.pipeline.points import FacePoints
from facereg.pipeline.stages import Result
from facereg.types import Faces, FloatArray, Image, Match


def faces_as_json(result: Result, points: FloatArray | None = None) -> Iterator[dict[str, object]]:
    """Yield `box label similarity accepted candidates` of each face, and `reason` of one that the aligner refused.

    Args:
        points: (N, P, 2) of all faces, for `points`.
    """
    for row, found in enumerate(result):
        yield {
            "box": rounded([found.face.box])[0],
            **match_as_json(found.match),
            **({"reason": found.refused} if found.refused else {}),
            **({} if points is None else {"points": [] if found.refused else rounded(points[row])}),
        }


def points_as_json(picture: Picture, faces: Faces, found: FacePoints) -> Iterator[dict[str, object]]:
    """Yield `box score points` of each face, in the pixels of the file; `reason` of one that the aligner refused."""
    kept = faces[found.kept]
    placed = iter(picture.in_file(Faces(kept.boxes, kept.scores, found.points[found.kept])).landmarks)
    for face, reason in zip(picture.in_file(faces), found.refused, strict=True):
        yield {
            "box": rounded([face.box])[0],
            "score": round(face.score, 6),
            "points": [] if reason else rounded(next(placed)),
            **({"reason": reason} if reason else {}),
        }


def match_as_json(match: Match) -> dict[str, object]:
    """Return `label similarity accepted candidates` of a match."""
    return {
        "label": match.label,
        "similarity": round(match.similarity, 6),
        "accepted": match.accepted,
        "candidates": [{"label": name, "similarity": round(value, 6)} for name, value in match.candidates],
    }


def rounded(rows: Iterable[FloatArray]) -> list[list[float]]:
    """Return points (P, 2), or boxes (N, 4), for JSON."""
    return [[round(float(value), 3) for value in row] for row in rows]


def draw_found_points(image: Image, faces: Faces, found: FacePoints) -> Image:
    """Return the picture with the box and the points of each face; the box of one that was refused is red."""
    bare = Faces(faces.boxes, faces.scores)
    return draw_points(draw_faces(image, bare, known=found.kept.tolist()), found.points[found.kept], POINTS)


def draw_names(
    image: Image, result: Result, names: Sequence[str | None] | None = None, points: FloatArray | None = None
) -> Image:
    """Return the picture with a name, or `unknown`, on each face.

    Args:
        image: that the result is of, its faces in the image's pixels.
        names: in place of those that the result has, as a track of a video knows them.
        points: (N, P, 2) in place of the faces' landmarks; those of a face that are NaN are not drawn.
    """
    matches = [found.match for found in result]
    labels = names if names is not None else [match.label for match in matches]
    texts = [f"{label or 'unknown'} {match.similarity:.2f}" for label, match in zip(labels, matches, strict=True)]
    known = [label is not None for label in labels]
    if points is None:
        return draw_faces(image, result.faces, texts, known)
    drawn = draw_faces(image, Faces(result.faces.boxes, result.faces.scores), texts, known)
    return draw_points(drawn, points[np.isfinite(points).all((1, 2))], POINTS)
