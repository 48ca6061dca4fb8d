"""Landmark figures against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.layouts import FIVE
from facereg.data.points import PointedImage
from facereg.errors import ContractError, UnknownNameError
from facereg.evaluation.landmarks import measure_landmarks, score_landmarks
from facereg.images import read_image, write_image
from facereg.roles import Aligner, Detector
from facereg.types import Crops, Faces, FloatArray, Image

FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)  # eyes 40 px apart


def moved(*shifts: float) -> FloatArray:
    """Return one face a shift, all its points that much to the right."""
    return np.stack([FACE + np.array([shift, 0], np.float32) for shift in shifts])


def test_figures_by_hand() -> None:
    # errors of 2 and 8 px over 40 px: 5 % and 20 %; the curve is 0 up to 5 %, then one half
    labelled = moved(0, 0)
    scores = score_landmarks(moved(2, 8), labelled, FIVE.eye_distance(labelled))
    assert scores.nme == pytest.approx(12.5)
    assert scores.fr10 == pytest.approx(0.5)
    assert scores.auc10 == pytest.approx(0.5 * 0.5, abs=1e-3)  # Simpson's rule rounds the step off by a grid step
    assert scores.per_point.tolist() == pytest.approx([12.5] * 5)
    assert scores.errors.tolist() == pytest.approx([0.05, 0.2])


def test_one_point_off_is_a_fifth_of_its_distance() -> None:
    found = moved(0)
    found[0, 2] += [3, 4]  # 5 px
    scores = score_landmarks(found, moved(0), FIVE.eye_distance(moved(0)))
    assert scores.nme == pytest.approx(100 * 5 / 5 / 40)
    assert scores.per_point.tolist() == pytest.approx([0, 0, 12.5, 0, 0])


def test_a_face_not_found_has_failed_but_moves_no_mean() -> None:
    found = moved(2, 0)
    found[1] = np.nan
    scores = score_landmarks(found, moved(0, 0), np.array([40, 40], np.float32))
    assert (scores.faces, scores.missed, scores.fr10) == (2, 1, 0.5)
    assert scores.nme == pytest.approx(5.0)


def test_perfect_points_fill_the_area() -> None:
    scores = score_landmarks(moved(0), moved(0), FIVE.eye_distance(moved(0)))
    assert (scores.nme, scores.fr10) == (0.0, 0.0)
    assert scores.auc10 == pytest.approx(1.0)


def test_failures_over_5_percent_are_counted_and_those_found_apart() -> None:
    labelled = moved(0, 0, 0, 0)
    found = moved(1, 3, 8, 0)  # 2.5, 7.5 and 20 %
    found[3] = np.nan
    scores = score_landmarks(found, labelled, FIVE.eye_distance(labelled))
    assert (scores.fr10, scores.fr5) == (0.5, 0.75)
    assert scores.fr10_found == pytest.approx(1 / 3)


class Planted(Detector):
    """Finds in each picture, by its width, the faces planted for it."""

    def __init__(self, *planted: Faces) -> None:
        super().__init__()
        self._planted = dict(enumerate(planted, 1))

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._planted[image.shape[1] // 200] for image in images]


class Numbered(Aligner):
    """Gives `points` points on the middle of the box's left eye and so on; refuses faces without points."""

    needs_landmarks = False

    def __init__(self, points: FloatArray, reason: str = "") -> None:
        super().__init__()
        self._points, self._reason = points, reason

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        count = sum(map(len, faces))
        if self._reason:
            nothing = np.empty((0, size, size, 3), np.uint8)
            return Crops(nothing, np.empty((0, 2, 3), np.float32), (0,) * len(faces), refused=(self._reason,) * count)
        pixels, matrices = np.zeros((count, size, size, 3), np.uint8), np.zeros((count, 2, 3), np.float32)
        return Crops(pixels, matrices, tuple(map(len, faces)), np.tile(self._points, (count, 1, 1)))


def faces(*found: tuple[list[int], FloatArray]) -> Faces:
    boxes = np.array([box for box, _ in found], np.float32)
    scores = np.linspace(0.9, 0.8, len(found), dtype=np.float32)
    return Faces(boxes, scores, np.stack([points for _, points in found]))


def labelled(folder: Path, *points: FloatArray, **more: object) -> list[PointedImage]:
    """Return pictures 200, 400 ... px wide, with points each."""
    items = []
    for number, own in enumerate(points, 1):
        path = folder / f"{number}.png"
        write_image(path, np.zeros((200, 200 * number, 3), np.uint8))
        items.append(PointedImage(path, own, **more))  # type: ignore[arg-type]
    return items


BOX = [20, 20, 80, 100]


def test_the_face_that_the_label_is_about_is_taken(tmp_path: Path) -> None:
    other = faces(([200, 0, 300, 100], FACE + 200), (BOX, FACE + 4))
    result = measure_landmarks(Planted(other, Faces.empty(landmarks=5)), labelled(tmp_path, FACE, FACE))
    assert result.found[0].tolist() == (FACE + 4).tolist()
    assert np.isnan(result.found[1]).all()
    assert (result.scores.missed, result.refused, result.normaliser) == (1, 0, "inter-ocular")
    assert result.scores.nme == pytest.approx(100 * np.sqrt(32) / 40)


def points_98(five: FloatArray = FACE) -> FloatArray:
    """Return 98 points of which the five are these; the outer eye corners lie 10 px beside the eyes."""
    points = np.tile(five.mean(0, keepdims=True), (98, 1))
    points[[96, 97, 54, 76, 82]] = five
    points[60], points[72] = five[0] - [10, 0], five[1] + [10, 0]
    return points


def test_points_of_the_labels_layout_are_all_compared_and_divided_by_their_normaliser(tmp_path: Path) -> None:
    found = points_98()
    found[0] += [0, 98 * 3]  # of 98 points one is 294 px off: 3 px a point over 60 px
    aligner = Numbered(found)
    result = measure_landmarks(Planted(faces((BOX, FACE))), labelled(tmp_path, points_98()), aligner=aligner)
    assert result.scores.nme == pytest.approx(5.0)
    assert (result.layout.name, result.normaliser) == ("wflw-98", "distance of points 60 and 72")
    assert result.figures()["points"] == 98


@pytest.mark.parametrize("labels", [FACE, points_98()], ids=["5 points", "98 points"])
def test_points_of_another_layout_are_compared_by_the_five(labels: FloatArray, tmp_path: Path) -> None:
    aligner = Numbered(points_98(FACE + 4) if len(labels) == 5 else FACE + 4)
    result = measure_landmarks(Planted(faces((BOX, FACE))), labelled(tmp_path, labels), aligner=aligner)
    assert result.scores.nme == pytest.approx(100 * np.sqrt(32) / 40)
    assert (result.layout.points, result.normaliser) == (5, "inter-ocular")


def test_how_the_boxes_lie_by_the_labelled_points_is_measured(tmp_path: Path) -> None:
    points = points_98()
    points[0], points[16], points[32] = [10, 60], [50, 110], [90, 60]  # with the brows at 40: a box of 80 x 70 px
    found = faces(([0, 0, 100, 80], FACE)), faces(([0, 0, 100, 80], FACE)), faces(([0, 20, 50, 100], FACE))
    result = measure_landmarks(Planted(*found), labelled(tmp_path, points, points, points))
    # 80 / 100 and 80 / 80; centres at 75, and at 40 and 60
    assert result.figures()["square"] == {
        "factor": pytest.approx(0.8),
        "shift": pytest.approx(0.35),
        "factor_std": pytest.approx(0.2 * np.sqrt(2) / 3),
        "shift_std": pytest.approx((0.35 - 15 / 80) * np.sqrt(2) / 3),
    }
    assert "square" not in measure_landmarks(Planted(*found), labelled(tmp_path, FACE)).figures()


def test_a_face_that_the_aligner_refuses_is_missed_and_counted(tmp_path: Path) -> None:
    aligner = Numbered(FACE, "no face")
    result = measure_landmarks(Planted(faces((BOX, FACE))), labelled(tmp_path, FACE), aligner=aligner)
    assert (result.scores.missed, result.refused, result.figures()["nme"]) == (1, 1, None)
    assert result.figures()["fr10"] == 1.0


def test_subsets_are_the_faces_of_an_attribute(tmp_path: Path) -> None:
    items = labelled(tmp_path, FACE, attributes=frozenset({"pose"}))
    items += labelled(tmp_path, FACE, FACE, attributes=frozenset({"pose", "blur"}))[1:]
    found = (faces((BOX, moved(4)[0])), faces((BOX, moved(6)[0])))
    result = measure_landmarks(Planted(*found), items)
    figures = result.figures()
    assert figures["nme_of"] == {"pose": pytest.approx(12.5), "blur": pytest.approx(15.0)}
    assert figures["fr10_of"] == {"pose": pytest.approx(0.5), "blur": pytest.approx(1.0)}
    result.plot(tmp_path / "curve.png", "planted")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_the_worst_faces_are_drawn_and_those_missed_come_last(tmp_path: Path) -> None:
    items = labelled(tmp_path, FACE, FACE, FACE)
    result = measure_landmarks(Planted(faces((BOX, FACE)), Faces.empty(landmarks=5), faces((BOX, FACE + 9))), items)
    assert [path.name for path in result.draw_worst(tmp_path / "worst")] == ["01-3.jpg", "02-1.jpg", "03-2.jpg"]
    drawn = read_image(tmp_path / "worst" / "02-1.jpg")
    assert max(drawn.shape[:2]) == 480
    assert drawn.max() > 200  # points on black


def test_points_need_a_detector_with_landmarks_or_an_aligner_that_finds_its_own(tmp_path: Path) -> None:
    class Bare(Planted):
        landmark_count = 0

    bare = Faces([BOX], [0.9])  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="detector 'Bare' gives no landmarks, and aligner 'FivePointAligner' needs"):
        measure_landmarks(Bare(bare), labelled(tmp_path, FACE))
    assert measure_landmarks(Bare(bare), labelled(tmp_path, FACE), aligner=Numbered(FACE)).scores.nme == 0
    pointless = Numbered(np.empty((0, 2), np.float32))
    with pytest.raises(ContractError, match="aligner 'Numbered': expected points of each face, got none"):
        measure_landmarks(Bare(bare), labelled(tmp_path, FACE), aligner=pointless)
    with pytest.raises(UnknownNameError, match="no layout of 7 points"):
        measure_landmarks(Bare(bare), labelled(tmp_path, FACE), aligner=Numbered(np.zeros((7, 2), np.float32)))


def test_labels_that_cannot_be_compared_are_refused_before_the_work(tmp_path: Path) -> None:
    detector = Planted()
    both = [*labelled(tmp_path, FACE), *labelled(tmp_path, points_98())]
    with pytest.raises(ContractError, match=r"items: expected pictures with one number of points, got \[5, 98\]"):
        measure_landmarks(detector, both)
    with pytest.raises(ContractError, match="got no picture"):
        measure_landmarks(detector, [])


def test_labelled_eyes_on_one_point_name_the_picture(tmp_path: Path) -> None:
    flat = FACE.copy()
    flat[1] = flat[0]
    with pytest.raises(ContractError, match=r"1\.png: expected labelled eyes apart from each other"):
        measure_landmarks(Planted(), labelled(tmp_path, flat))  # which detects nothing


def test_eyes_on_one_point_are_refused() -> None:
    with pytest.raises(ContractError, match="above 0"):
        score_landmarks(moved(0), moved(0), np.zeros(1, np.float32))
