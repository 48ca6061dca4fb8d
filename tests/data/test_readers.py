"""Annotation layouts: what the published files look like, and errors that name file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from facereg.builtin.layouts import W300_68
from facereg.data.boxes import PseudoLabels, read_pseudo_labels, read_voc, read_wider, read_yolo, write_pseudo_labels
from facereg.data.pairs import read_lfw_pairs
from facereg.data.points import read_68_points, read_five_points, read_points
from facereg.data.splits import held_out
from facereg.errors import DatasetError
from facereg.folders.people import read_people
from facereg.types import Faces


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in ("a.jpg", "b.jpg", "0--Parade/c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", (200, 100)).save(folder / name)
    return folder


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_wider_boxes_are_corner_and_size(tmp_path: Path, images: Path) -> None:
    lines = "a.jpg\n2\n10 20 30 40 0 0 0 0 0 0\n1 2 3 4 0 0 0 1 0 0\n"
    lines += "0--Parade/c.jpg\n0\n0 0 0 0 0 0 0 0 0 0\nb.jpg\n1\n5 6 7 8\n"
    first, second, third = read_wider(write(tmp_path / "list.txt", lines), images)
    assert first.boxes.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert first.ignored.tolist() == [False, True]  # the invalid flag
    assert second.boxes.shape == (0, 4)
    assert third.boxes.tolist() == [[5, 6, 12, 14]]
    assert np.isnan(third.points).all()


def test_a_face_without_width_is_ignored(tmp_path: Path, images: Path) -> None:
    [item] = read_wider(write(tmp_path / "list.txt", "a.jpg\n1\n10 20 0 40 0 0 0 0 0 0\n"), images)
    assert item.ignored.tolist() == [True]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("a.jpg\ntwo\n", "line 2"),
        ("a.jpg\n2\n1 2 3 4\n", "line 4"),
        ("a.jpg\n1\n1 2 x 4\n", "line 3"),
        ("gone.jpg\n0\n", "gone.jpg"),
        ("a.jpg\n", "end of the file"),
    ],
    ids=["count", "short", "word", "missing", "end"],
)
def test_a_wrong_wider_list_is_named_by_line(lines: str, words: str, tmp_path: Path, images: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        read_wider(write(tmp_path / "list.txt", lines), images)


def test_voc_counts_from_one_and_includes_both_ends(tmp_path: Path, images: Path) -> None:
    (tmp_path / "xml").mkdir()
    box = "<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>"
    objects = f"<object>{box.format(1)}</object><object><difficult>1</difficult>{box.format(5)}</object>"
    write(tmp_path / "xml" / "a.xml", f"<annotation><filename>a.jpg</filename>{objects}</annotation>")
    [item] = read_voc(tmp_path / "xml", images)
    assert item.boxes.tolist() == [[0, 0, 10, 20], [4, 0, 10, 20]]
    assert item.ignored.tolist() == [False, True]


def test_yolo_boxes_and_points_are_shares_of_the_picture(tmp_path: Path, images: Path) -> None:
    (tmp_path / "labels").mkdir()
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.1 0.2\n0 0.25 0.5 0.1 0.2 " + " ".join(["0.25 0.5"] * 5) + "\n")
    items = {item.path.name: item for item in read_yolo(tmp_path / "labels", images)}
    assert items["a.jpg"].boxes[0] == pytest.approx([90, 40, 110, 60])
    assert np.isnan(items["a.jpg"].points[0]).all()
    assert items["a.jpg"].points[1] == pytest.approx(np.tile([[50.0, 50.0]], (5, 1)))
    assert len(items["b.jpg"].boxes) == 0


def test_pseudo_labels_come_back_as_written(tmp_path: Path, images: Path) -> None:
    faces = Faces([[1, 2, 3, 4.25]], [0.75], np.arange(10).reshape(1, 5, 2))  # type: ignore[arg-type]
    written = [PseudoLabels(images / "a.jpg", faces), PseudoLabels(images / "b.jpg", Faces.empty(landmarks=5))]
    write_pseudo_labels(tmp_path / "labels.jsonl", written, root=tmp_path)
    first, second = read_pseudo_labels(tmp_path / "labels.jsonl", tmp_path)
    assert first.path == images / "a.jpg"
    assert first.faces.boxes.tolist() == [[1, 2, 3, 4.25]]
    assert first.faces.landmarks.tolist() == faces.landmarks.tolist()
    assert len(second.faces) == 0


def test_pseudo_labelled_points_are_read_a_face_an_item(tmp_path: Path, images: Path) -> None:
    points = np.arange(136 * 2).reshape(2, 68, 2)
    faces = Faces([[1, 2, 3, 4], [5, 6, 7, 8]], [0.9, 0.8], points)  # type: ignore[arg-type]
    write_pseudo_labels(tmp_path / "labels.jsonl", [PseudoLabels(images / "a.jpg", faces)], root=tmp_path)
    first, second = read_points("pseudo", tmp_path / "labels.jsonl", tmp_path)
    assert first.path == second.path == images / "a.jpg"
    assert second.points.tolist() == points[1].tolist()
    assert second.box is not None
    assert second.box.tolist() == [5, 6, 7, 8]


def test_pseudo_labels_without_points_and_of_two_layouts_are_named(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "labels.jsonl"
    bare = PseudoLabels(images / "a.jpg", Faces.empty(landmarks=5))
    write_pseudo_labels(path, [bare], root=tmp_path)
    with pytest.raises(DatasetError, match="labels.jsonl: expected faces with points, got none"):
        read_points("pseudo", path, tmp_path)
    several = [Faces([[1, 2, 3, 4]], [0.9], np.zeros((1, count, 2))) for count in (5, 68)]  # type: ignore[arg-type]
    write_pseudo_labels(path, [PseudoLabels(images / "a.jpg", one) for one in several], root=tmp_path)
    with pytest.raises(DatasetError, match="expected as many points of each face, got 5 and 68"):
        read_points("pseudo", path, tmp_path)


def test_a_wrong_pseudo_label_is_named_by_line(tmp_path: Path) -> None:
    path = write(
        tmp_path / "labels.jsonl", '{"image": "a.jpg", "boxes": [], "scores": [], "points": []}\n{"image": 1}\n'
    )
    with pytest.raises(DatasetError, match="line 2"):
        read_pseudo_labels(path, tmp_path)


def test_five_points_with_and_without_a_box(tmp_path: Path, images: Path) -> None:
    points = "1 2 3 4 5 6 7 8 9 10"
    lines = f"a.jpg {points}\n0--Parade\\c.jpg 11 22 33 44 {points}\n"
    plain, boxed = read_five_points(write(tmp_path / "list.txt", lines), images)
    assert plain.points.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert plain.box is None
    assert boxed.box is not None
    assert boxed.box.tolist() == [11, 33, 22, 44]  # left right top bottom becomes x1 y1 x2 y2
    assert boxed.path == images / "0--Parade" / "c.jpg"


def test_68_points_give_five(tmp_path: Path, images: Path) -> None:
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[30], points[48], points[54] = [1, 2], [3, 4], [5, 6], [7, 8], [9, 10]
    line = " ".join(str(value) for value in points.reshape(-1)) + " a.jpg\n"
    [item] = read_68_points(write(tmp_path / "list.txt", line), images)
    assert W300_68.five_of(item.points).tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]


def test_lfw_lists_with_and_without_folds(tmp_path: Path) -> None:
    one = read_lfw_pairs(write(tmp_path / "dev.txt", "1\nAda\t1\t2\nAda\t1\tBob\t3\n"), tmp_path)
    assert [pair.same for pair in one.pairs] == [True, False]
    assert one.pairs[1].second == tmp_path / "Bob" / "Bob_0003.jpg"
    two = read_lfw_pairs(write(tmp_path / "pairs.txt", "2 1\n" + "Ada 1 2\nAda 1 Bob 3\n" * 2), tmp_path)
    assert two.folds == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [("1\nAda 1 2\n", "expected 2 pairs"), ("1\nAda 1 2\nAda one Bob 2\n", "line 3"), ("Ada 1 2\n", "line 1")],
    ids=["few", "word", "head"],
)
def test_a_wrong_list_of_pairs_is_refused(lines: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        read_lfw_pairs(write(tmp_path / "pairs.txt", lines), tmp_path)


def test_people_are_folders(tmp_path: Path, images: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert read_people(tmp_path)["images"] == [images / "a.jpg", images / "b.jpg"]
    with pytest.raises(DatasetError, match="found none"):
        read_people(tmp_path / "empty")


def test_the_part_kept_out_depends_on_the_name_alone() -> None:
    names = [f"picture {number}" for number in range(1000)]
    train, test = held_out(names, key=str)
    assert sorted(train + test) == sorted(names)
    assert 150 < len(test) < 250
    assert held_out(names[:500], key=str)[1] == [name for name in test if name in set(names[:500])]


@pytest.mark.data
def test_the_real_sets_are_read_whole(face_data: Path) -> None:
    crowds = face_data / "faces-in-crowds"
    items = read_wider(crowds / "dev_bbx_gt.txt", crowds / "images")
    assert (len(items), sum(len(item.boxes) for item in items)) == (600, 2949)
    lfw = face_data / "lfw-view1"
    assert len(read_lfw_pairs(lfw / "pairsDevTest.txt", lfw / "images").pairs) == 1000
    five, many = face_data / "landmarks-5pt", face_data / "landmarks-68pt"
    assert len(read_five_points(five / "train_5pt.txt", five / "images")) == 2000
    assert len(read_68_points(many / "train_68pt.txt", many / "images")) == 1542
    assert len(read_people(face_data / "celeba-wild" / "identities")) == 40
