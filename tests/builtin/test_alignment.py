"""The five-point aligner: the contract, and where the landmarks come to lie."""

from __future__ import annotations

import numpy as np
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.errors import ContractError
from facereg.geometry import TEMPLATE_112
from facereg.testing import AlignerContract
from facereg.testing.pictures import faces_at, noise
from facereg.types import Faces, FloatArray


class TestFivePointKeepsTheContract(AlignerContract):
    def make(self) -> FivePointAligner:
        return FivePointAligner()


def turned(points: FloatArray, degrees: float, scale: float, shift: tuple[float, float]) -> FloatArray:
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved: FloatArray = (points @ matrix.T + np.array(shift)).astype(np.float32)
    return moved


@pytest.mark.parametrize("size", [112, 224])
def test_landmarks_of_a_turned_face_come_to_lie_on_the_template(size: int) -> None:
    points = turned(TEMPLATE_112, 30, 1.7, (40, -10))
    crops = FivePointAligner().align([noise(300, 300)], [faces_at([points.tolist()])], size=size)
    homogeneous = np.concatenate([points, np.ones((5, 1), np.float32)], 1)
    placed = homogeneous @ crops.transforms[0].T
    # pixel centres are at integers: the corner of the picture at (-0.5, -0.5) stays put
    assert placed == pytest.approx((TEMPLATE_112 + 0.5) * size / 112 - 0.5, abs=2e-3)  # float32 of up to 224 px


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (TEMPLATE_112[:3], r"expected five \(x, y\) in pixels of the crop, \(5, 2\), got shape \(3, 2\)"),
        ("eyes", "expected five"),
        (TEMPLATE_112 / 112, "in pixels of a 112 px crop, got"),  # shares of the sides
        (TEMPLATE_112 * 2, "in pixels of a 112 px crop, got"),  # of a larger crop
        (np.full((5, 2), np.nan), "in pixels of a 112 px crop, got"),
        (np.full((5, 2), 56.0), "apart from each other"),
    ],
)
def test_a_template_that_is_none_is_refused(given: object, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        FivePointAligner().align([noise(20, 20)], [Faces.empty()], size=112, template=given)  # type: ignore[arg-type]


def test_a_face_on_the_template_is_cut_out_unchanged() -> None:
    image = noise(112, 112)
    crops = FivePointAligner().align([image], [faces_at([TEMPLATE_112.tolist()])], size=112)
    assert np.array_equal(crops.pixels[0], image)


def test_a_face_at_the_edge_is_filled_up_with_black() -> None:
    white = np.full((112, 112, 3), 255, np.uint8)
    outside = (TEMPLATE_112 - np.array([56, 0], np.float32)).tolist()
    crops = FivePointAligner().align([white], [faces_at([outside])], size=112)
    assert crops.pixels[0, :, :50].max() == 0  # left of the picture
    assert crops.pixels[0, :, 60:].min() == 255


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        ((-80, 0), "its landmarks lie outside the picture"),
        ((0, 70), "its landmarks lie outside the picture"),
        ((1e30, 0), "its landmarks lie outside the picture"),
        ((-60, 0), ""),
    ],
    ids=["left", "below", "endless", "in part"],
)
def test_a_face_beside_the_picture_is_refused_and_harms_no_other(shift: tuple[float, float], reason: str) -> None:
    moved = (TEMPLATE_112 + np.array(shift, np.float32)).tolist()
    crops = FivePointAligner().align([noise(112, 112)], [faces_at([TEMPLATE_112.tolist(), moved])], size=112)
    assert crops.refused == (("", reason) if reason else ())
    assert crops.counts == (1 if reason else 2,)


def test_faces_without_five_landmarks_are_refused() -> None:
    faces = Faces(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32))
    with pytest.raises(ContractError, match="expected 5 landmarks a face, got 0; use a detector with landmarks"):
        FivePointAligner().align([noise(20, 20)], [faces], size=112)


def test_images_without_faces_keep_their_place() -> None:
    one = faces_at([TEMPLATE_112.tolist()])
    images = [noise(112, 112, seed=seed) for seed in range(3)]
    crops = FivePointAligner().align(images, [Faces.empty(), one, Faces.empty()], size=112)
    assert crops.counts == (0, 1, 0)
    assert np.array_equal(crops.pixels[0], images[1])
