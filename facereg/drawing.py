"""Faces drawn on pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facereg.errors import require_package
from facereg.types import Faces, FloatArray, Image

KNOWN, UNKNOWN = "#2ca02c", "#d62728"
POINTS = "#ffdd00"


def require_drawing() -> None:
    """Raise MissingExtraError where nothing can be drawn; whoever asks for drawings is told before the work."""
    require_package("supervision", "drawing needs supervision")


def draw_faces(
    image: Image, faces: Faces, labels: Sequence[str] | None = None, known: Sequence[bool] | None = None
) -> Image:
    """Return a copy of the picture with boxes, landmarks and, where given, a label for each face.

    Args:
        image: uint8 (H, W, 3) RGB.
        faces: N faces.
        labels: N texts.
        known: N flags; green where true, red elsewhere; all green where None.
    Raises:
        MissingExtraError: without the extra [app].
    """
    require_drawing()
    import supervision

    scene = np.ascontiguousarray(image[..., ::-1])  # supervision draws BGR
    if len(faces) == 0:
        return np.ascontiguousarray(scene[..., ::-1])
    flags = np.ones(len(faces), np.int64) if known is None else np.asarray(known, np.int64)
    found = supervision.Detections(xyxy=faces.boxes.astype(np.float64), class_id=flags)
    colours = supervision.ColorPalette.from_hex([UNKNOWN, KNOWN])
    size = tuple(reversed(image.shape[:2]))
    thickness = supervision.calculate_optimal_line_thickness(size)
    scene = supervision.BoxAnnotator(colours, thickness=thickness).annotate(scene, found)
    if faces.landmarks.shape[1]:
        dots = supervision.KeyPoints(xy=faces.landmarks.astype(np.float64))
        scene = supervision.VertexAnnotator(radius=max(1, thickness), color=supervision.Color.YELLOW).annotate(
            scene, dots
        )
    if labels is not None:
        scale = supervision.calculate_optimal_text_scale(size)
        writer = supervision.LabelAnnotator(colours, text_scale=scale, text_padding=3, smart_position=True)
        scene = writer.annotate(scene, found, labels=list(labels))
    return np.ascontiguousarray(scene[..., ::-1])


def draw_points(image: Image, points: FloatArray, colour: str) -> Image:
    """Return a copy of the picture with points (..., 2) in a colour, as `#d62728`; there may be none.

    Raises:
        MissingExtraError: without the extra [app].
    """
    require_drawing()
    import supervision

    if not points.size:
        return image.copy()
    scene = np.ascontiguousarray(image[..., ::-1])  # supervision draws BGR
    radius = max(1, supervision.calculate_optimal_line_thickness(tuple(reversed(image.shape[:2]))))
    dots = supervision.KeyPoints(xy=points.reshape(1, -1, 2).astype(np.float64))
    annotator = supervision.VertexAnnotator(radius=radius, color=supervision.Color.from_hex(colour))
    return np.ascontiguousarray(annotator.annotate(scene, dots)[..., ::-1])
