"""What a result says of each face: for JSON, and drawn on the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facereg.drawing import draw_faces
from facereg.pipeline.stages import Result
from facereg.types import Image


def faces_as_json(result: Result) -> Iterator[dict[str, object]]:
    """Yield `box label similarity accepted candidates` of each face, and `reason` of one that the aligner refused."""
    for found in result:
        match = found.match
        yield {
            "box": [round(float(value), 3) for value in found.face.box],
            "label": match.label,
            "similarity": round(match.similarity, 6),
            "accepted": match.accepted,
            "candidates": [{"label": name, "similarity": round(value, 6)} for name, value in match.candidates],
            **({"reason": found.refused} if found.refused else {}),
        }


def draw_names(image: Image, result: Result, names: Sequence[str | None] | None = None) -> Image:
    """Return the picture with a name, or `unknown`, on each face.

    Args:
        image: that the result is of, its faces in the image's pixels.
        names: in place of those that the result has, as a track of a video knows them.
    """
    matches = [found.match for found in result]
    labels = names if names is not None else [match.label for match in matches]
    texts = [f"{label or 'unknown'} {match.similarity:.2f}" for label, match in zip(labels, matches, strict=True)]
    return draw_faces(image, result.faces, texts, [label is not None for label in labels])
