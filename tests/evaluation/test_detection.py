"""What the detection figures and the worst pictures say of cases small enough to count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.data.boxes import LabelledImage
from facereg.evaluation.detection import match_faces, score_detections
from facereg.evaluation.worst import draw_worst, worst_pictures
from facereg.images import read_image, write_image
from facereg.types import Faces


def labelled(path: Path, *boxes: list[float]) -> LabelledImage:
    return LabelledImage.without_points(path, np.array(boxes, np.float32))


def found(*rows: tuple[float, list[float]]) -> Faces:
    return Faces(np.array([box for _, box in rows], np.float32), np.array([score for score, _ in rows], np.float32))


def test_accuracy_is_hits_over_hits_false_alarms_and_misses() -> None:
    item = labelled(Path("a.jpg"), [0, 0, 10, 10], [50, 50, 60, 60])
    scores = score_detections([item], [found((0.9, [0, 0, 10, 10]), (0.8, [80, 80, 90, 90]), (0.7, [90, 0, 99, 9]))])
    assert scores.precision == pytest.approx(1 / 3)
    assert scores.recall == 0.5
    assert scores.accuracy == pytest.approx(1 / 4)  # one hit, two false alarms, one miss


def test_a_detector_that_finds_all_and_nothing_else_is_accurate() -> None:
    item = labelled(Path("a.jpg"), [0, 0, 10, 10])
    assert score_detections([item], [found((0.9, [0, 0, 10, 10]))]).accuracy == 1.0
    assert score_detections([item], [Faces.empty()]).accuracy == 0.0


def test_each_box_and_each_face_is_told_apart() -> None:
    item = labelled(Path("a.jpg"), [0, 0, 10, 10], [50, 50, 60, 60])
    outcome = match_faces(item, found((0.9, [80, 80, 90, 90]), (0.8, [0, 0, 10, 10])))
    assert outcome.false.tolist() == [True, False]
    assert outcome.hits.tolist() == [False, True]
    assert outcome.missed.tolist() == [False, True]


def test_the_picture_with_most_mistakes_is_first_and_a_perfect_one_is_not_shown(tmp_path: Path) -> None:
    items = [labelled(tmp_path / f"{name}.png", [10, 10, 40, 40], [60, 10, 90, 40]) for name in "abc"]
    for item in items:
        write_image(item.path, np.full((100, 100, 3), 128, np.uint8))
    first: tuple[float, list[float]] = (0.9, [10, 10, 40, 40])
    second: tuple[float, list[float]] = (0.8, [60, 10, 90, 40])
    given = [
        found(first),
        found(first, second),
        found((0.9, [10, 60, 40, 90])),
    ]  # one miss; none; two misses, one false
    assert worst_pictures(items, given) == [2, 0]
    assert worst_pictures(items, given, most=1) == [2]
    drawn = draw_worst(tmp_path / "worst", items, given)
    assert [path.name for path in drawn] == ["01-c.jpg", "02-a.jpg"]
    corner = read_image(drawn[0])[60, 10:40].astype(int)  # the upper edge of the false alarm
    assert corner[:, 0].mean() > corner[:, 1].mean() + 40  # is red
