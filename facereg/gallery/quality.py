"""Whether the face of a picture is fit to be enrolled: its size, its sharpness, and which way up it is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facereg.builtin.main_face import main_face
from facereg.geometry import TEMPLATE_112, resize, similarity_from_points, warp
from facereg.roles import Detector
from facereg.types import Faces, FloatArray, Image

BLUR = 2.0  # px of the crop's 112, the standard deviation
TURNED_SIDE = 320  # px of the longer side at which the other turns are tried: four looks cost little at any size
TURNS = {1: "a quarter turn", 2: "half a turn", 3: "three quarter turns"}  # anticlockwise


@dataclass(frozen=True, slots=True)
class Limits:
    """What a face to enrol must have.

    Chosen on photographs of LFW's pairsDevTrain, on which no figure is reported: as they are, shrunk, blurred, turned.
    A face of 24 px keeps a similarity of 0.8 to itself in full size, one of 16 px 0.5. Sharpness is above 0.41 for all,
    below 0.25 for half of those blurred by 4 px, whose similarity is 0.5, and for 9 of 10 blurred by 6 px, 0.1. The
    residual is below 0.06 for all. The detector is surer after another turn for 3 of 449 that are upright (over
    mtcnn, yolov5s-face and yunet) and for all but 3 of 704 that are turned. Of 200 more photographs enrolled with mtcnn
    these limits refuse none; of 36 turned upside down none is enrolled.

    Args:
        side: px, the root of the area of the face's box.
        sharpness: share of the energy of the aligned face's gradient that a blur of 2 px takes away; a face that is
            blurred already loses little of it. A face without contrast has none, and is not judged.
        residual: root mean square distance of the five landmarks from a face's, after the best similarity, as a
            share of the crop's side: more is no face, or one that is turned away.
        turns: whether the picture is looked at in the three other turns, too: a detector that knows upright faces
            alone finds one in a face that is upside down, with landmarks to match and a useless vector.
    """

    side: float = 24.0
    sharpness: float = 0.25
    residual: float = 0.1
    turns: bool = True


def refusal(image: Image, faces: Faces, row: int, detector: Detector, limits: Limits) -> str:
    """Return why a face is not fit to be enrolled, with what was measured; nothing where it is.

    Args:
        image: (H, W, 3) that the faces were found in.
        row: of the face.
        detector: that found them; looks again where turns are tried.
    """
    side = float(np.sqrt(np.prod(np.maximum(faces.boxes[row, 2:] - faces.boxes[row, :2], 0))))
    if side < limits.side:
        return f"expected a face of at least {limits.side:g} px, got one of {side:.0f} px; use a larger picture"
    if faces.landmarks.shape[1] == 5:
        points = faces.landmarks[row]
        if points[:2, 1].mean() > points[3:, 1].mean():
            return "expected an upright face, got one whose eyes are below its mouth; turn the picture"
        apart = residual(points)
        if apart > limits.residual:
            return (
                f"expected the landmarks of a face, got some {apart:.2f} of its width off (at most "
                f"{limits.residual:g}); use a picture that shows the face from the front"
            )
        sharp = sharpness(image, points)
        if sharp is not None and sharp < limits.sharpness:
            return (
                f"expected a sharp face, got one of sharpness {sharp:.2f} (at least {limits.sharpness:g}); "
                "use a sharper picture"
            )
    turn = surer_turn(image, detector) if limits.turns else None
    if turn is not None:
        return f"expected an upright picture, got one with a surer face after {TURNS[turn]} anticlockwise; turn it"
    return ""


def residual(points: FloatArray) -> float:
    """Return how far five landmarks (5, 2) are from a face's, as a share of the crop's side."""
    matrix = similarity_from_points(points, TEMPLATE_112)
    there = points @ matrix[:, :2].T + matrix[:, 2]
    return float(np.sqrt(((there - TEMPLATE_112) ** 2).sum(1).mean()) / 112)


def sharpness(image: Image, points: FloatArray) -> float | None:
    """Return the sharpness of the face at five landmarks (5, 2), see `Limits`; None for one without contrast.

    Source: the idea of measuring blur by what another blur changes, Crete et al. 2007, doi:10.1117/12.702790.
    """
    grey = cv2.cvtColor(warp(image, similarity_from_points(points, TEMPLATE_112), 112), cv2.COLOR_RGB2GRAY)
    inner = grey[16:-16, 16:-16].astype(np.float64)
    blurred = cv2.GaussianBlur(inner, (0, 0), BLUR).astype(np.float64, copy=False)
    energy = _gradient_energy(inner)
    return None if inner.var() < 1.0 else 1 - _gradient_energy(blurred) / energy


def _gradient_energy(grey: npt.NDArray[np.float64]) -> float:
    across, down = cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1)
    return float((across**2 + down**2).mean())


def surer_turn(image: Image, detector: Detector) -> int | None:
    """Return the quarter turns anticlockwise after which the detector is surer of a face; None where it is as it is."""
    small = resize(image, min(1.0, TURNED_SIDE / max(image.shape[:2]))).pixels
    turned = [np.ascontiguousarray(np.rot90(small, turn)) for turn in range(4)]
    scores = []
    for view, faces in zip(turned, detector.detect(turned), strict=True):
        row = main_face(faces, *view.shape[:2])
        scores.append(-np.inf if row is None else float(faces.scores[row]))
    best = int(np.argmax(scores))  # the first of equals: as it is
    return best if best and scores[best] > scores[0] else None
