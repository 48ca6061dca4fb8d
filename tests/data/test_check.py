"""Each thing that can be wrong with a set is named, and a sound set is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facereg.data.boxes import LabelledImage
from facereg.data.check import check_boxes
from facereg.data.formats import read_boxes
from facereg.data.sheet import contact_sheet
from facereg.errors import ContractError
from tests.data.layouts import pictures


def labelled(path: Path, *boxes: list[float]) -> LabelledImage:
    return LabelledImage.without_points(path, np.array(boxes, np.float32))


def kinds(*items: LabelledImage) -> list[tuple[str, str]]:
    return [(problem.path.name, problem.kind) for problem in check_boxes(items)]


def test_a_sound_set_has_no_problem(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    whole = [0, 0, 200.4, 100]  # rounding may put an edge a little outside
    assert kinds(labelled(images / "a.jpg", whole), labelled(images / "b.jpg")) == []


@pytest.mark.parametrize(
    ("boxes", "kind"),
    [
        ([[190, 10, 210, 30]], "outside"),
        ([[-5, 10, 10, 30]], "outside"),
        ([[10, 10, 10, 30]], "empty"),
        ([[10, 30, 20, 20]], "empty"),
        ([[10, 10, 20, 20], [30, 10, 40, 20], [10, 10, 20, 20]], "duplicate-box"),
    ],
    ids=["right", "left", "flat", "inverted", "twice"],
)
def test_a_wrong_box_is_named(boxes: list[list[float]], kind: str, tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg")
    assert kinds(labelled(tmp_path / "a.jpg", *boxes)) == [("a.jpg", kind)]


def test_wrong_pictures_are_named(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    shutil.copy(images / "a.jpg", images / "copy.jpg")
    (images / "b.jpg").write_bytes((images / "b.jpg").read_bytes()[:-200])
    names = ("a", "a", "b", "copy", "gone")
    assert kinds(*(labelled(images / f"{name}.jpg") for name in names)) == [
        ("a.jpg", "listed-twice"),
        ("b.jpg", "unreadable"),
        ("copy.jpg", "same-picture"),
        ("gone.jpg", "missing"),
    ]


def test_yolo_labels_without_a_picture_and_broken_pictures_are_seen(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a.jpg")
    (images / "b.jpg").write_bytes(b"no picture")
    labels = tmp_path / "labels"
    labels.mkdir()
    for name in ("a", "b", "lone"):
        (labels / f"{name}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (labels / "classes.txt").write_text("face\n")
    items = read_boxes("yolo", labels, images, strict=False)
    assert kinds(*items) == [("b.jpg", "unreadable"), ("lone.jpg", "missing")]


def test_a_sheet_shows_each_picture_with_its_boxes(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.png", "b.png", "c.png")
    items = [labelled(images / f"{name}.png", [40, 20, 120, 80]) for name in "abc"]
    shown = contact_sheet(items, columns=2, side=100)
    # two rows and two columns of 100 px with 4 px around each
    assert shown.shape == (212, 212, 3)
    # pictures of 200 x 100 become 100 x 50, in the middle of their square: the first lies at x 4..103, y 29..78
    assert shown[30, 6].tolist() == pytest.approx([0, 90, 200], abs=1)
    edge = shown[29 + 10, 4 + 25 : 4 + 55].astype(int)  # the upper edge of the box, at half size
    assert (edge[:, 1] - edge[:, 2]).mean() > 50  # green
    assert (shown[110:, 110:] == 255).all()  # no fourth


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ContractError, match="got 0"):
        contact_sheet([])
