"""Boxes that are none: numbers that are none are refused, boxes without an area ignored; by one rule in all layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from facereg.data.boxes import count_without_area
from facereg.data.check import check_boxes
from facereg.data.formats import read_boxes
from facereg.data.points import read_68_points, read_five_points
from facereg.errors import DatasetError
from facereg.types import MAX_PX
from tests.data.layouts import cells, pictures

LAYOUTS = ("wider", "mat", "voc", "yolo", "celeba", "pseudo")


def labelled(layout: str, folder: Path, x1: float, y1: float, x2: float, y2: float) -> tuple[str, Path, Path]:
    """Write one picture, 200 x 100, with a sound box and that one; return format, annotations and images."""
    images = pictures(folder / "images", "a.jpg")
    boxes = [[10.0, 10.0, 50.0, 60.0], [x1, y1, x2, y2]]
    sized = [[b[0], b[1], b[2] - b[0], b[3] - b[1]] for b in boxes]
    out = folder / "labels"
    if layout == "wider":
        rows = "".join(" ".join(map(repr, row)) + "\n" for row in sized)
        out.write_text(f"a.jpg\n2\n{rows}")
    elif layout == "mat":
        out, images = folder / "a.mat", pictures(folder, "a.jpg")
        held: dict[str, list[object]] = {
            "event_list": ["."],
            "file_list": [cells(["a"])],
            "face_bbx_list": [cells([np.array(sized)])],
        }
        savemat(out, {key: cells(value) for key, value in held.items()})
        return "wider", out, images
    elif layout == "voc":
        sides = [dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in boxes]
        inner = "".join(
            "<object><bndbox>" + "".join(f"<{k}>{v}</{k}>" for k, v in own.items()) + "</bndbox></object>"
            for own in sides
        )
        out.mkdir()
        (out / "a.xml").write_text(f"<annotation><filename>a.jpg</filename>{inner}</annotation>")
    elif layout == "yolo":
        shares = [
            [(b[0] + s[2] / 2) / 200, (b[1] + s[3] / 2) / 100, s[2] / 200, s[3] / 100]
            for b, s in zip(boxes, sized, strict=True)
        ]
        out.mkdir()
        (out / "a.txt").write_text("".join("0 " + " ".join(map(repr, row)) + "\n" for row in shares))
    elif layout == "celeba":
        out.write_text("1\nnames\na.jpg " + " ".join(map(repr, sized[1])) + "\n")
    else:
        row = {"image": "images/a.jpg", "boxes": boxes, "scores": [0.9, 0.8], "points": []}
        out.write_text(json.dumps(row))
        images = folder
    return layout, out, images


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30, 1e300, 2 * MAX_PX])
def test_a_number_that_is_none_is_refused_and_named(layout: str, odd: float, tmp_path: Path) -> None:
    format, annotations, images = labelled(layout, tmp_path, 10, 10, odd, 60)
    with pytest.raises(DatasetError, match=r"expected .*(finite|JSON)") as refused:
        read_boxes(format, annotations, images)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "pseudo"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e30])
def test_check_names_it_and_goes_on(layout: str, odd: float, tmp_path: Path) -> None:
    items = read_boxes(*labelled(layout, tmp_path, 10, 10, odd, 60), strict=False)
    assert [problem.kind for problem in check_boxes(items)] == ["no-number"]


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "pseudo"])
@pytest.mark.parametrize("box", [(50, 10, 10, 60), (10, 60, 50, 10), (11, 10, 10, 60)], ids=["x", "y", "line"])
def test_a_box_without_area_is_no_face_and_is_counted(layout: str, box: tuple[float, ...], tmp_path: Path) -> None:
    given = labelled(layout, tmp_path, *map(float, box))
    [item] = read_boxes(*given)
    assert item.ignored.tolist()[-1:] == [True]
    assert count_without_area([item]) == 1
    assert [p.kind for p in check_boxes(read_boxes(*given, strict=False)) if p.kind != "outside"] == ["empty"]


def test_pseudo_labels_hold_no_inverted_box(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 1"):
        read_boxes(*labelled("pseudo", tmp_path, 50, 10, 10, 60))


@pytest.mark.parametrize("word", ["nan", "inf", "1e9", "1_0", "٣x"])
def test_points_that_are_none_are_refused(word: str, tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a.jpg")
    (tmp_path / "five.txt").write_text(f"a.jpg {' '.join(['5'] * 9)} {word}\n")
    (tmp_path / "68.txt").write_text(f"{' '.join(['5'] * 135)} {word} a.jpg\n")
    with pytest.raises(DatasetError, match="line 1"):
        read_five_points(tmp_path / "five.txt", images)
    with pytest.raises(DatasetError, match="line 1"):
        read_68_points(tmp_path / "68.txt", images)


def test_an_inverted_box_of_a_points_list_is_left_out(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a.jpg")
    (tmp_path / "five.txt").write_text(f"a.jpg 50 10 10 60 {' '.join(['5'] * 10)}\n")
    assert read_five_points(tmp_path / "five.txt", images)[0].box is None


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\x1b[2J"])
def test_a_name_that_no_file_has_is_named_with_its_line(name: str, strict: bool, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{name}.jpg\n0\n")
    with pytest.raises(DatasetError, match="list.txt, line 1: .* expected ") as refused:
        read_boxes("wider", tmp_path / "list.txt", tmp_path, strict=strict)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("count", ["²", "٣", "-1", "1e3", "9" * 5000])
def test_a_count_that_is_none_is_named(count: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"a.jpg\n{count}\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_boxes("wider", tmp_path / "list.txt", tmp_path)
