"""Similarities, overlap, suppression: numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facereg.errors import ContractError
from facereg.geometry import (
    TEMPLATE_112,
    box_overlap,
    grey_levels,
    non_maximum_suppression,
    resize,
    similarity_from_points,
    template,
    transform_points,
    warp,
)


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.1, 10),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_a_similarity_is_recovered_from_its_points(angle: float, scale: float, x: float, y: float) -> None:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[a, -b, x], [b, a, y]], np.float32)
    target = transform_points(TEMPLATE_112, matrix)
    found = similarity_from_points(TEMPLATE_112, target)
    # float32 points up to about 2,000 px: 1e-3 px is their rounding
    assert np.abs(transform_points(TEMPLATE_112, found) - target).max() < 2e-3 * max(1.0, scale)


def test_least_squares_and_no_reflection() -> None:
    # A mirrored rectangle of 2 x 1 would be reached by a reflection. Without: each centred corner (1, 1/2) goes to
    # (-1, 1/2), so a = 4 * (-1 + 1/4) / (4 * 5/4) = -0.6 and b = 0; (1, 1/2) is mapped to the mean (-1, 1/2).
    rectangle = np.array([[0, 0], [2, 0], [2, 1], [0, 1]], np.float32)
    matrix = similarity_from_points(rectangle, rectangle * np.array([-1, 1], np.float32))
    assert matrix == pytest.approx(np.array([[-0.6, 0, -0.4], [0, -0.6, 0.8]]), abs=1e-6)


def test_coinciding_points_are_refused() -> None:
    with pytest.raises(ContractError, match="coincide"):
        similarity_from_points(np.zeros((5, 2), np.float32), TEMPLATE_112)


def test_the_template_grows_about_the_corner_of_the_picture() -> None:
    assert template(112) == pytest.approx(TEMPLATE_112)
    # pixel centres at integers: 38.2946 of 112 becomes (38.2946 + 0.5) * 2 - 0.5
    assert template(224)[0, 0] == pytest.approx(77.0892, abs=1e-4)


def test_warp_by_a_shift_moves_whole_pixels(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = warp(image, np.array([[1, 0, -7], [0, 1, -3]], np.float32), 16)
    assert np.array_equal(crop, image[3:19, 7:23])


def test_a_large_face_is_averaged_not_skipped() -> None:
    # a chequered picture of single pixels averages to grey; sampling every eighth pixel would give black or white
    image = np.indices((256, 256)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    crop = warp(image.astype(np.uint8), np.array([[0.125, 0, 0], [0, 0.125, 0]], np.float32), 32)
    assert np.abs(crop[4:28, 4:28].astype(int) - 127).max() < 30


@pytest.mark.parametrize(
    ("over", "expected"), [("union", 25 / 175), ("min", 0.25), ("first", 0.25)], ids=["union", "min", "first"]
)
def test_overlap_by_hand(over: str, expected: float) -> None:
    first, second = np.array([[0, 0, 10, 10]], np.float32), np.array([[5, 5, 15, 15]], np.float32)
    assert box_overlap(first, second, over=over)[0, 0] == pytest.approx(expected)  # type: ignore[arg-type]


def test_suppression_keeps_the_best_of_those_that_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.5, 0.9, 0.7], np.float32), 0.5).tolist() == [1, 2]


def test_a_suppressed_box_suppresses_nothing() -> None:
    # the middle one falls to the first, so the third, which overlaps only the middle one, stays
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.4).tolist() == [0, 2]


def test_many_boxes_are_suppressed_as_one_by_one(rng: np.random.Generator) -> None:
    corners = rng.uniform(0, 200, (700, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (700, 2))], 1).astype(np.float32)
    scores = rng.random(700).astype(np.float32)
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if not kept or (box_overlap(boxes[row : row + 1], boxes[kept]) <= 0.3).all():
            kept.append(int(row))
    assert non_maximum_suppression(boxes, scores, 0.3).tolist() == kept


@pytest.mark.parametrize(("ratio", "corner"), [(0.5, 99.5), (2.0, 399.5)], ids=["smaller", "larger"])
def test_points_of_a_resized_image_go_there_and_back(ratio: float, corner: float) -> None:
    resized = resize(np.zeros((100, 200, 3), np.uint8), ratio)
    assert resized.pixels.shape == (100 * ratio, 200 * ratio, 3)
    # the corners of the picture, at -0.5 and 199.5, stay its corners
    points = np.array([[-0.5, -0.5], [199.5, 99.5], [20, 30]], np.float32)
    there = resized.points_there(points)
    assert there[0].tolist() == [-0.5, -0.5]
    assert there[1, 0] == corner
    assert resized.points_back(there) == pytest.approx(points, abs=1e-4)  # float32 of 200 px


def test_a_side_that_rounds_has_a_scale_of_its_own() -> None:
    resized = resize(np.zeros((3, 100, 3), np.uint8), 0.5)  # 1.5 px round to 2
    assert resized.pixels.shape == (2, 50, 3)
    assert resized.scale.tolist() == [0.5, 2 / 3]


def test_grey_levels_go_from_black_to_white_whatever_the_light() -> None:
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[..., 2] = np.repeat(np.arange(10, dtype=np.uint8) * 20, 10).reshape(10, 10)  # blue alone, 0 to 180
    picture[0, 0] = 255  # a lamp, 1 % of the pixels
    grey = grey_levels(picture)
    assert (grey == grey[..., :1]).all()
    assert (grey[0, 1, 0], grey[9, 9, 0], grey[0, 0, 0]) == (0, 255, 255)
    assert (np.diff(grey[:, 5, 0].astype(int)) > 20).all()


def test_grey_levels_of_one_colour_are_one_level() -> None:
    assert np.ptp(grey_levels(np.full((4, 5, 3), 77, np.uint8))) == 0
