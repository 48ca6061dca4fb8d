"""Aligners by a landmark network: crops of boxes, the way back of points, refusals, and the contract."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from facereg.builtin.landmarks import LandmarkAligner, crops_of_boxes
from facereg.builtin.layouts import FIVE, W300_68, WFLW_98, Layout
from facereg.errors import ContractError
from facereg.geometry import TEMPLATE_112, transform_points
from facereg.options import LandmarkOptions
from facereg.testing import AlignerContract
from facereg.testing.pictures import noise, portraits
from facereg.types import Faces, FloatArray, Image

SIDE = 64
MEAN_FACE = (TEMPLATE_112 - TEMPLATE_112.mean(0)) / 112  # of the five, about (0, 0)


def dense(five: FloatArray, layout: Layout) -> FloatArray:
    """Return points (..., P, 2) of which the five landmarks are these; the others are where the nose is."""
    points = np.repeat(five[..., 2:3, :], layout.points, axis=-2)
    for index, own in enumerate(layout.five):
        points[..., list(own), :] = five[..., index : index + 1, :]
    return points


class MeanFace(LandmarkAligner):
    """Sees in every crop the mean face, upright in the middle; `sure` of each."""

    layout, side, margin = WFLW_98, SIDE, 1.0
    sure, size = 1.0, 1.4  # how large the face is in the crop, of ArcFace's

    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        assert crops.shape[1:] == (SIDE, SIDE, 3)
        five = (SIDE - 1) / 2 + SIDE * self.size * MEAN_FACE
        points = np.tile(dense(five, self.layout), (len(crops), 1, 1)).astype(np.float32)
        return points, np.full(len(crops), self.sure, np.float32)


class Dots(LandmarkAligner):
    """Finds five dots of red, from dim to bright, wherever they are in the crop: a network that is right."""

    layout, side, margin = FIVE, 128, 1.6

    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        found = []
        for crop in crops:
            shares = crop[..., 0].astype(np.float64)
            five = []
            for value in range(5):
                own = np.where((shares > 40 * value + 20) & (crop[..., 2] == 0), 1.0, 0.0)
                own *= np.abs(shares - 40 * (value + 1)) < 8
                y, x = np.nonzero(own)
                five.append([x.mean(), y.mean()] if len(x) else [0.0, 0.0])
            found.append(five)
        return np.array(found, np.float32), np.ones(len(crops), np.float32)


def dotted(five: FloatArray, height: int, width: int, radius: int = 6) -> Image:
    """Return a blue picture with squares of red at five points, each brighter than the one before."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = 255
    for value, (x, y) in enumerate(five.round().astype(int), 1):
        image[y - radius : y + radius + 1, x - radius : x + radius + 1] = [40 * value, 0, 0]
    return image


def box_about(points: FloatArray) -> FloatArray:
    box: FloatArray = np.concatenate([points.min(-2), points.max(-2)])
    return box


def faces_in(*boxes: Sequence[float]) -> Faces:
    return Faces(np.array(boxes, np.float32), np.ones(len(boxes), np.float32))


class TestALandmarkNetworkKeepsTheContract(AlignerContract):
    """Portraits' boxes hold the mean face well enough for an upright crop."""

    def make(self) -> MeanFace:
        return MeanFace()


def test_the_crop_is_the_square_about_the_boxs_centre() -> None:
    box = np.array([[10, 20, 50, 100]], np.float32)  # 80 px high; centre (30, 60)
    [matrix] = crops_of_boxes(box, 1.5, 0.25, 64)  # 120 px, its centre 20 px lower: (30, 80)
    corners = np.array([[-30, 20], [90, 140], [30, 80]], np.float32)
    # the square's edges are the crop's, half a pixel outside the centres of its first and last
    assert transform_points(corners, matrix) == pytest.approx(
        np.array([[-0.5, -0.5], [63.5, 63.5], [31.5, 31.5]]), abs=1e-4
    )


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("degrees", [0, 30])
def test_points_come_back_in_the_pixels_of_the_picture(passes: int, degrees: float) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    five = ((TEMPLATE_112 - 56) * 2 @ turn.T + [180, 150]).astype(np.float32)
    image = dotted(five, 300, 400)
    with Dots(options=LandmarkOptions(passes=passes, factor=1.3)) as aligner:
        crops = aligner.align([image], [faces_in(box_about(five).tolist())], size=112)
    assert crops.refused == ()
    assert crops.landmarks[0] == pytest.approx(five, abs=1.5)  # centres of dots of 13 px, resampled
    assert transform_points(crops.landmarks[0], crops.transforms[0]) == pytest.approx(TEMPLATE_112, abs=1.5)


def test_the_second_look_does_not_depend_on_the_box() -> None:
    five = ((TEMPLATE_112 - 56) * 2 + [180, 150]).astype(np.float32)
    image = dotted(five, 300, 400)
    x1, y1, x2, y2 = box_about(five).tolist()
    boxes = [[x1, y1, x2, y2], [x1 - 30, y1 - 10, x2 + 10, y2 + 40]]
    with Dots() as aligner:
        crops = aligner.align([image] * 2, [faces_in(box) for box in boxes], size=112)
    assert crops.landmarks[0] == pytest.approx(crops.landmarks[1], abs=0.5)


def test_crops_lie_on_the_embedders_template() -> None:
    wider = (TEMPLATE_112 * 0.7 + 20).astype(np.float32)
    person = portraits()[0]
    with MeanFace() as aligner:
        crops = aligner.align([person.image], [person.faces], size=150, template=wider)
    five = WFLW_98.five_of(crops.landmarks)
    assert crops.pixels.shape == (1, 150, 150, 3)
    assert transform_points(five[0], crops.transforms[0]) == pytest.approx(wider, abs=1e-2)  # the mean face fits


class Wandering(MeanFace):
    """Sees a face at another place of every crop."""

    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        points, sure = super()._find(crops)
        return points + np.float32(SIDE / 3), sure


class Collapsed(MeanFace):
    size = 0.001


class Mirrored(MeanFace):
    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        points, sure = super()._find(crops)
        return np.stack([SIDE - 1 - points[..., 0], points[..., 1]], -1), sure


@pytest.mark.parametrize(
    ("kind", "box", "options", "reason"),
    [
        (MeanFace, [10, 10, 10, 60], {}, "its box has no area: 10 10 10 60"),
        (MeanFace, [-90, 10, -10, 60], {}, "its box lies outside the picture: -90 10 -10 60"),
        (MeanFace, [10, 200, 60, 290], {}, "its box lies outside the picture: 10 200 60 290"),
        (MeanFace, [-3e38, 0, 3e38, 60], {}, r"its box reaches beyond any picture: -3e\+38 0 3e\+38 60"),
        (MeanFace, [10, 10, 60, 60], {"least": 0.9}, "no face: the network is sure to 0.50, expected at least 0.9"),
        (Wandering, [10, 10, 60, 60], {}, "no face: at a second look its points lay 0.* of its size away"),
        (Collapsed, [10, 10, 60, 60], {}, "no face: its points lie on one another"),
        (
            Mirrored,
            [10, 10, 60, 60],
            {"passes": 1},
            "no face: its points lie 0.* eye distances from where a face's are",
        ),
    ],
    ids=["no area", "left", "below", "endless", "unsure", "wandering", "collapsed", "mirrored"],
)
def test_what_is_no_face_is_refused_with_a_reason_and_harms_no_other(
    kind: type[MeanFace], box: list[float], options: dict[str, float], reason: str
) -> None:
    class Half(kind):  # type: ignore[misc, valid-type]
        sure = 0.5

    with Half(options=LandmarkOptions(**options)) as aligner:  # type: ignore[arg-type]
        crops = aligner.align([noise(200, 200)], [faces_in(box)], size=112)
    assert (crops.counts, len(crops)) == ((0,), 0)
    [got] = crops.refused
    assert re.fullmatch(reason, got), got


def test_points_that_no_turning_makes_a_face_are_refused_at_any_number_of_looks() -> None:
    """Their best similarity to a face has no size: there is no upright to look again at."""

    class Square(MeanFace):
        layout = FIVE

        def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
            goal = TEMPLATE_112 - TEMPLATE_112.mean(0)
            flat = np.linalg.norm(goal[:, 0]) / np.linalg.norm(goal[:, 1])
            mirrored = goal * [-1, flat] / 4 + SIDE / 2  # so that the sums of both axes cancel
            return np.tile(mirrored, (len(crops), 1, 1)).astype(np.float32), np.ones(len(crops), np.float32)

    with Square() as aligner:
        crops = aligner.align([noise(200, 200)], [faces_in([10, 10, 60, 60])], size=112)
    assert crops.refused[0].startswith("no face: ")


def test_a_bad_box_between_good_ones_keeps_their_order() -> None:
    boxes = [[10, 10, 90, 90], [5, 5, 5, 5], [100, 50, 180, 130]]
    with MeanFace() as aligner:
        crops = aligner.align([noise(200, 200), noise(50, 50)], [faces_in(*boxes), Faces.empty()], size=112)
        alone = aligner.align([noise(200, 200)], [faces_in(boxes[2])], size=112)
    assert crops.counts == (2, 0)
    assert [bool(reason) for reason in crops.refused] == [False, True, False]
    assert crops.landmarks[1] == pytest.approx(alone.landmarks[0], abs=1e-3)


def test_more_faces_than_a_block_are_all_aligned() -> None:
    boxes = [[float(x), 10, float(x) + 50, 60] for x in range(130)]
    with MeanFace() as aligner:
        crops = aligner.align([noise(200, 200)], [faces_in(*boxes)], size=112)
    assert np.diff(crops.landmarks[:, 0, 0]) == pytest.approx(np.ones(129), abs=1e-2)


def test_points_of_another_count_than_the_layouts_are_the_models_fault() -> None:
    class Short(MeanFace):
        layout = W300_68

        def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
            return np.zeros((len(crops), 98, 2), np.float32), np.ones(len(crops), np.float32)

    with Short() as aligner, pytest.raises(ContractError, match=r"Short: expected points \(1, 68, 2\) .* \(1, 98, 2\)"):
        aligner.align([noise(200, 200)], [faces_in([10, 10, 60, 60])], size=112)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0}, "factor: expected 0.1 to 10, got 0"),
        ({"shift": 2}, "shift: expected -1 to 1, got 2"),
        ({"passes": 0}, "passes: expected 1 to 4, got 0"),
        ({"least": float("nan")}, "least: expected 0 to 1, got nan"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        LandmarkOptions(**options)  # type: ignore[arg-type]
