"""Lists of labelled points as they are published, and what is wrong with a line, named by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.data.points import ATTRIBUTES, read_points
from facereg.errors import ContractError, DatasetError
from tests.data.layouts import pictures

WORDS = {"wflw": 207, "68pt": 137, "cofw": 88}


def line(format: str, **changed: str) -> str:
    """Return a line of a layout, its numbers 1, 2 ... and the file a.jpg; words are changed by their row, as w3."""
    words = [*map(str, range(1, WORDS[format])), "a.jpg"]
    if format == "wflw":
        words[196:206] = ["10", "20", "60", "90", "1", "0", "0", "0", "1", "0"]
    if format == "cofw":
        words[58:87] = ["0"] * 28 + ["1"]
    for row, word in changed.items():
        words[int(row[1:])] = word
    return " ".join(words)


def write(folder: Path, text: str) -> tuple[Path, Path]:
    (folder / "list.txt").write_text(text, encoding="utf-8")
    return folder / "list.txt", pictures(folder / "images", "a.jpg", "b.png")


def write_pts(folder: Path, **files: str) -> tuple[Path, Path]:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.pts").write_text(text, encoding="utf-8")
    return folder, pictures(folder, "a.jpg", "b.png")


def pts(*points: str, count: int | None = None) -> str:
    lines = "\n".join(points)
    return f"version: 1\nn_points:  {len(points) if count is None else count}\n{{\n{lines}\n}}\n"


def test_a_line_of_wflw_has_98_points_a_box_and_what_is_hard(tmp_path: Path) -> None:
    [item] = read_points("wflw", *write(tmp_path, line("wflw") + "\n\n"))
    assert item.points[:2].tolist() == [[1, 2], [3, 4]]
    assert item.points[97].tolist() == [195, 196]
    assert item.box is not None
    assert item.box.tolist() == [10, 20, 60, 90]
    assert item.attributes == {"pose", "occlusion"}
    assert (item.path.name, len(ATTRIBUTES)) == ("a.jpg", 6)


def test_a_line_of_cofw_has_all_x_then_all_y_counted_from_one(tmp_path: Path) -> None:
    [item] = read_points("cofw", *write(tmp_path, line("cofw")))
    assert item.points.shape == (29, 2)
    assert item.points[0].tolist() == [0, 29]  # 1 and 30 in the file
    assert item.hidden is not None
    assert np.flatnonzero(item.hidden).tolist() == [28]


def test_a_pts_file_is_of_the_picture_of_its_name_and_counts_from_one(tmp_path: Path) -> None:
    first, second = read_points("pts", *write_pts(tmp_path / "300w", b=pts("4 5"), a=pts("1 1", count=1)))
    assert (first.path.name, first.points.tolist()) == ("a.jpg", [[0, 0]])
    assert (second.path.name, second.points.tolist()) == ("b.png", [[3, 4]])


@pytest.mark.parametrize(
    ("format", "changed", "message"),
    [
        ("wflw", {"w5": ""}, "list.txt, line 2: expected 196 numbers, a box of 4, .* got 206 words"),
        ("wflw", {"w5": "nan"}, "list.txt, line 2: expected 196 numbers, .* got nan"),
        ("wflw", {"w5": "1,5"}, "list.txt, line 2: expected 196 numbers, .* got '1 2 3"),
        ("wflw", {"w5": "1e39"}, "list.txt, line 2: expected 196 numbers, .* got 1e\\+39"),
        ("wflw", {"w204": "2"}, "list.txt, line 2: expected .* six of 0 or 1 and the file, got 2"),
        ("wflw", {"w206": "gone.jpg"}, "1 of the files it lists are missing"),
        ("68pt", {"w0": "left"}, "list.txt, line 2: expected 136 numbers and the file, got 'left 2"),
        ("cofw", {"w80": "0.5"}, "list.txt, line 2: expected 29 x, .* got 0.5"),
    ],
    ids=["a point missing", "NaN", "comma", "endless", "flag", "picture", "word", "hidden"],
)
def test_a_bad_line_is_one_message_with_file_and_line(
    format: str, changed: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message) as refused:
        read_points(format, *write(tmp_path, f"{line(format)}\n{line(format, **changed)}\n"))
    assert "\n" not in str(refused.value)


def test_a_line_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 1: expected 196 numbers, .* got 137 words"):
        read_points("wflw", *write(tmp_path, line("68pt")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (pts("1 1", "2 2", count=3), "a.pts, line 6: expected 3 lines of x y between braces, got 2 of them"),
        (pts("1 1", "2"), "a.pts, line 5: expected 2 lines of x y between braces, got '2'"),
        (pts("1 1", "nan 2"), "a.pts, line 5: expected 2 lines .* got nan"),
        (pts("1 1").replace("}", ""), "a.pts, line 4: expected 1 lines of x y between braces, got 1 of them"),
        (pts("1 1", "2 2", count=1), "a.pts, line 6: expected 1 lines of x y between braces, got 2 of them"),
        (pts("1 1", "1,5 2,5"), "a.pts, line 5: expected 2 lines .* got '1,5 2,5'"),
        (pts("1 1").replace("}", "}\n}"), "a.pts, line 5: expected 1 lines of x y between braces, got '}'"),
        (pts("1 1", count=-1), "a.pts: expected 'version: 1', 'n_points: N' and the points in braces"),
        ("1 1\n", "a.pts: expected 'version: 1', 'n_points: N' and the points in braces"),
        ("", "a.pts: expected 'version: 1'"),
        (pts("1 1", "2 2"), "b.pts: expected 2 points as in a.pts, got 1; give the labels of one layout"),
    ],
    ids=[
        "too few",
        "half a point",
        "NaN",
        "open",
        "too many",
        "comma",
        "two ends",
        "count below 0",
        "no head",
        "empty",
        "two layouts",
    ],
)
def test_a_bad_pts_file_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        read_points("pts", *write_pts(tmp_path / "300w", a=text, b=pts("1 1")))


def test_a_pts_file_without_a_picture_is_named(tmp_path: Path) -> None:
    folder, images = write_pts(tmp_path / "300w", c=pts("1 1"))
    with pytest.raises(DatasetError, match=r"c.pts: expected its picture beside .*, as \.jpg or \.png, found none"):
        read_points("pts", folder, images)
    with pytest.raises(DatasetError, match="expected a folder of .pts files, found none"):
        read_points("pts", images / "nothing", images)


def test_an_unknown_layout_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="format: expected 5pt, 68pt, wflw, pts, cofw, pseudo, got '106pt'"):
        read_points("106pt", tmp_path, tmp_path)
