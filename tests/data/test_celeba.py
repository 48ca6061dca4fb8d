"""CelebA's lists, as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.data.celeba import read_celeba, read_celeba_partition
from facereg.errors import DatasetError
from tests.data.layouts import pictures

POINTS = " 69  109  106  113   77  142   73  152  108  154"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lists = tmp_path / "Anno"
    lists.mkdir()
    (lists / "list_bbox_celeba.txt").write_text(
        "3\nimage_id x_1 y_1 width height\n000001.jpg    95  71  40  50\n000002.jpg 1 2 3 4\n000003.jpg 0 0 0 0\n"
    )
    (lists / "list_landmarks_celeba.txt").write_text(
        "2\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n"
        f"000001.jpg {POINTS}\n000003.jpg {POINTS}\n"
    )
    (lists / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 2\n000003.jpg 2\n")
    return lists


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return pictures(tmp_path / "img_celeba", "000001.jpg", "000002.jpg", "000003.jpg")


def test_boxes_are_corner_and_size_and_points_come_where_listed(folder: Path, images: Path) -> None:
    first, second, third = read_celeba(folder, images)
    assert first.boxes.tolist() == [[95, 71, 135, 121]]
    assert first.points[0].tolist() == [[69, 109], [106, 113], [77, 142], [73, 152], [108, 154]]
    assert np.isnan(second.points).all()
    assert third.ignored.tolist() == [True]  # no width


def test_a_partition_is_chosen_by_name(folder: Path, images: Path) -> None:
    assert [item.path.name for item in read_celeba(folder, images, partition="test")] == ["000002.jpg", "000003.jpg"]
    assert read_celeba_partition(folder, "val") == []
    with pytest.raises(DatasetError, match="train, val, test, got 'dev'"):
        read_celeba_partition(folder, "dev")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("000001.jpg 1 2 3 4\n", "line 1"),
        ("1\nhead\n000001.jpg 1 2 3\n", "line 3"),
        ("2\nhead\n000001.jpg 1 2 3 4\n", "expected 2 pictures"),
        ("1\nhead\ngone.jpg 1 2 3 4\n", r"gone\.jpg"),
    ],
    ids=["head", "short", "count", "missing"],
)
def test_a_wrong_list_is_named(text: str, words: str, folder: Path, images: Path) -> None:
    (folder / "list_bbox_celeba.txt").write_text(text)
    with pytest.raises(DatasetError, match=words):
        read_celeba(folder, images)
