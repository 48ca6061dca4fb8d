"""Landmark figures against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from facereg.errors import ContractError
from facereg.evaluation.landmarks import inter_ocular, landmarks_of, score_landmarks
from facereg.types import Faces, FloatArray

FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)  # eyes 40 px apart


def moved(*shifts: float) -> FloatArray:
    """Return one face a shift, all its points that much to the right."""
    return np.stack([FACE + np.array([shift, 0], np.float32) for shift in shifts])


def test_figures_by_hand() -> None:
    # errors of 2 and 8 px over 40 px: 5 % and 20 %; the curve is 0 up to 5 %, then one half
    labelled = moved(0, 0)
    scores = score_landmarks(moved(2, 8), labelled, inter_ocular(labelled))
    assert scores.nme == pytest.approx(12.5)
    assert scores.fr10 == pytest.approx(0.5)
    assert scores.auc10 == pytest.approx(0.5 * 0.5, abs=1e-3)  # Simpson's rule rounds the step off by a grid step
    assert scores.per_point.tolist() == pytest.approx([12.5] * 5)
    assert scores.errors.tolist() == pytest.approx([0.05, 0.2])


def test_one_point_off_is_a_fifth_of_its_distance() -> None:
    found = moved(0)
    found[0, 2] += [3, 4]  # 5 px
    scores = score_landmarks(found, moved(0), inter_ocular(moved(0)))
    assert scores.nme == pytest.approx(100 * 5 / 5 / 40)
    assert scores.per_point.tolist() == pytest.approx([0, 0, 12.5, 0, 0])


def test_a_face_not_found_has_failed_but_moves_no_mean() -> None:
    found = moved(2, 0)
    found[1] = np.nan
    scores = score_landmarks(found, moved(0, 0), np.array([40, 40], np.float32))
    assert (scores.faces, scores.missed, scores.fr10) == (2, 1, 0.5)
    assert scores.nme == pytest.approx(5.0)


def test_perfect_points_fill_the_area() -> None:
    scores = score_landmarks(moved(0), moved(0), inter_ocular(moved(0)))
    assert (scores.nme, scores.fr10) == (0.0, 0.0)
    assert scores.auc10 == pytest.approx(1.0)


def test_the_face_that_the_label_is_about_is_taken() -> None:
    other = Faces([[200, 0, 300, 100], [20, 20, 80, 100]], [0.9, 0.8], np.stack([FACE + 200, FACE + 1]))  # type: ignore[arg-type]
    points = landmarks_of([other, Faces.empty(landmarks=5)], moved(0, 0))
    assert points[0].tolist() == (FACE + 1).tolist()
    assert np.isnan(points[1]).all()


def test_faces_without_five_landmarks_are_refused() -> None:
    bare = Faces([[0, 0, 100, 100]], [0.9])  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="expected 5 landmarks a face, got 0"):
        landmarks_of([bare], moved(0))


def test_eyes_on_one_point_are_refused() -> None:
    with pytest.raises(ContractError, match="above 0"):
        score_landmarks(moved(0), moved(0), np.zeros(1, np.float32))
