"""What is written is read back, and what a layout cannot hold is counted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.io import savemat

from facereg.data.boxes import LabelledImage, PseudoLabels, read_wider, write_pseudo_labels
from facereg.data.formats import WRITERS, read_boxes
from facereg.data.points import read_five_points
from facereg.data.wider import write_wider_predictions
from facereg.data.writing import folder_in_one_piece, write_five_points, write_voc, write_wider, write_yolo
from facereg.errors import ContractError, DatasetError
from facereg.types import Faces
from tests.data.layouts import cells, pictures


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return pictures(tmp_path / "images", "a.jpg", "0--Parade/b.jpg", "empty.jpg")


def items_of(images: Path) -> list[LabelledImage]:
    boxes = np.array([[10, 20, 40, 60], [100.25, 0, 120.5, 30]], np.float32)
    return [
        LabelledImage.without_points(images / "0--Parade/b.jpg", boxes[:1]),
        LabelledImage.without_points(images / "a.jpg", boxes, np.array([False, True])),
        LabelledImage.without_points(images / "empty.jpg", boxes[:0]),
    ]


@pytest.mark.parametrize("layout", ["wider", "voc", "yolo"])
def test_boxes_come_back_as_written(layout: str, tmp_path: Path, images: Path) -> None:
    written = WRITERS[layout](items_of(images), tmp_path / "out", images)
    assert (written.images, written.faces + written.left_out) == (3, 3)
    back = {item.path: item for item in read_boxes(layout, tmp_path / "out", images)}
    for item in items_of(images):
        kept = ~item.ignored if layout == "yolo" else np.ones(len(item.boxes), np.bool_)
        assert back[item.path].boxes == pytest.approx(item.boxes[kept], abs=1e-3)
        assert back[item.path].ignored.tolist() == item.ignored[kept].tolist()


def test_wider_lines_are_those_of_the_published_list(tmp_path: Path, images: Path) -> None:
    write_wider(items_of(images), tmp_path / "list.txt", images)
    assert (tmp_path / "list.txt").read_text().splitlines() == [
        "0--Parade/b.jpg",
        "1",
        "10 20 30 40 0 0 0 0 0 0",
        "a.jpg",
        "2",
        "10 20 30 40 0 0 0 0 0 0",
        "100.25 0 20.25 30 0 0 0 1 0 0",
        "empty.jpg",
        "0",
        "0 0 0 0 0 0 0 0 0 0",
    ]


def test_yolo_lines_are_shares_cut_at_the_edge(tmp_path: Path, images: Path) -> None:
    boxes = np.array([[-20, 50, 20, 150], [300, 10, 320, 20]], np.float32)  # half outside; all outside
    written = write_yolo([LabelledImage.without_points(images / "a.jpg", boxes)], tmp_path / "out", images)
    assert (tmp_path / "out" / "a.txt").read_text() == "0 0.050000 0.750000 0.100000 0.500000\n"
    assert (written.faces, written.left_out) == (1, 1)


def test_yolo_points_come_back_and_a_face_without_them_stays_without(tmp_path: Path, images: Path) -> None:
    item = LabelledImage.without_points(images / "a.jpg", np.array([[0, 0, 50, 50], [100, 0, 150, 50]], np.float32))
    item.points[0] = [[10, 10], [40, 10], [25, 25], [15, 40], [35, 40]]
    write_yolo([item], tmp_path / "out", images)
    back = next(own for own in read_boxes("yolo", tmp_path / "out", images) if own.path == item.path)
    assert back.points[0] == pytest.approx(item.points[0], abs=1e-3)
    assert np.isnan(back.points[1]).all()


def test_yolo_shares_are_of_the_upright_picture(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    exif = Pillow.Exif()
    exif[0x0112] = 6  # lies on its side: 200 x 100 is shown 100 x 200
    Pillow.new("RGB", (200, 100)).save(folder / "a.jpg", exif=exif)
    item = LabelledImage.without_points(folder / "a.jpg", np.array([[0, 100, 50, 200]], np.float32))
    write_yolo([item], tmp_path / "out", folder)
    assert (tmp_path / "out" / "a.txt").read_text() == "0 0.250000 0.750000 0.500000 0.500000\n"


def test_voc_files_count_from_one_and_are_named_by_event(tmp_path: Path, images: Path) -> None:
    write_voc(items_of(images), tmp_path / "out", images)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0--Parade__b.xml", "a.xml", "empty.xml"]
    root = ElementTree.parse(tmp_path / "out" / "0--Parade__b.xml").getroot()
    assert [root.findtext(f"object/bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")] == [
        "11",
        "21",
        "40",
        "60",
    ]
    assert (root.findtext("size/width"), root.findtext("size/height")) == ("200", "100")


def test_points_of_single_faces_are_listed(tmp_path: Path, images: Path) -> None:
    single = LabelledImage.without_points(images / "a.jpg", np.array([[0, 5, 50, 60]], np.float32))
    single.points[0] = [[10, 10], [40, 10], [25, 25], [15, 40], [35, 40]]
    written = write_five_points([single, *items_of(images)], tmp_path / "list.txt", images)
    assert (written.faces, written.left_out) == (1, 3)
    [back] = read_five_points(tmp_path / "list.txt", images)
    assert back.points.tolist() == single.points[0].tolist()
    assert back.box is not None
    assert back.box.tolist() == [0, 5, 50, 60]
    with pytest.raises(DatasetError, match="none of 3"):
        write_five_points(items_of(images), tmp_path / "none.txt", images)


def test_two_pictures_for_one_label_file_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a.jpg", "a.png")
    items = [LabelledImage.without_points(path, np.empty((0, 4), np.float32)) for path in sorted(images.iterdir())]
    with pytest.raises(DatasetError, match=r"a\.txt"):
        write_yolo(items, tmp_path / "out", images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_a_folder_with_old_labels_is_not_mixed_with_new_ones(tmp_path: Path, images: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    with pytest.raises(DatasetError, match="new or empty folder"):
        write_yolo(items_of(images), tmp_path / "out", images)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old.txt"]


def test_a_folder_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with folder_in_one_piece(tmp_path / "out") as inside:
            (inside / "half").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_elsewhere_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(DatasetError, match="expected a picture inside"):
        write_wider(items_of(images), tmp_path / "list.txt", images / "0--Parade")


def test_the_mat_list_of_wider_gives_what_the_text_gives(tmp_path: Path, images: Path) -> None:
    write_wider(items_of(images)[:1], tmp_path / "list.txt", images)
    flags = [cells([np.array([[0], [1]])])]
    savemat(
        tmp_path / "wider_face_val.mat",
        {
            "event_list": cells(["0--Parade"]),
            "file_list": cells([cells(["b"])]),
            "face_bbx_list": cells([cells([np.array([[10.0, 20, 30, 40], [1, 2, 3, 4]])])]),
            "invalid_label_list": cells(flags),
        },
    )
    [text] = read_wider(tmp_path / "list.txt", images)
    [mat] = read_boxes("wider", tmp_path / "wider_face_val.mat", images)
    assert mat.path == text.path
    assert mat.boxes[:1].tolist() == text.boxes.tolist()
    assert mat.ignored.tolist() == [False, True]


def test_pseudo_labels_are_labels(tmp_path: Path, images: Path) -> None:
    faces = Faces([[1, 2, 30, 40]], [0.75], np.arange(10).reshape(1, 5, 2))  # type: ignore[arg-type]
    write_pseudo_labels(tmp_path / "labels.jsonl", [PseudoLabels(images / "a.jpg", faces)], root=images)
    [item] = read_boxes("pseudo", tmp_path / "labels.jsonl", images)
    assert item.boxes.tolist() == [[1, 2, 30, 40]]
    assert item.points.tolist() == faces.landmarks.tolist()


def test_only_celeba_has_partitions(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="celeba"):
        read_boxes("wider", tmp_path, tmp_path, partition="test")


@pytest.mark.parametrize("layout", ["yolo", "voc", "wider"])
@pytest.mark.parametrize("name", ["../victim.jpg", "a/../../victim.jpg", "a\\..\\..\\victim.jpg", "a\n/../../x.jpg"])
def test_a_listed_name_that_leads_out_writes_nothing(layout: str, name: str, tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a/x.jpg", name)
    (tmp_path / "victim.txt").write_text("before")
    item = LabelledImage.without_points(images / name, np.array([[0, 0, 9, 9]], np.float32))
    with pytest.raises(DatasetError, match=r"inside"):
        WRITERS[layout]([item], tmp_path / "out", images)
    assert (tmp_path / "victim.txt").read_text() == "before"
    assert not (tmp_path / "out").exists()


def test_predictions_of_a_name_that_leads_out_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "victim.txt").write_text("before")
    for name in ("../victim", str(tmp_path / "victim"), "event/../../victim"):
        with pytest.raises(ContractError):
            write_wider_predictions(tmp_path / "out", [name], [Faces.empty()])
    assert (tmp_path / "victim.txt").read_text() == "before"


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names of bytes")
@pytest.mark.parametrize(
    ("layout", "name", "expected"),
    [
        *[(layout, os.fsdecode(b"b\xff.jpg"), "a name in UTF-8") for layout in ("yolo", "voc", "wider", "5pt")],
        *[(layout, "two\nlines.jpg", "a name without control characters") for layout in ("voc", "wider", "yolo")],
        ("wider", "two\u2028lines.jpg", "a name of one line"),
        ("wider", "space at its end.jpg ", "without a space at its end"),
        ("voc", "red\x1b[31m.jpg", "a name without control characters"),
        ("5pt", "two words.jpg", "a name without spaces"),
    ],
)
def test_a_name_that_the_layout_cannot_hold_keeps_no_other_picture_out(
    layout: str, name: str, expected: str, tmp_path: Path
) -> None:
    images = pictures(tmp_path / "images", "a.jpg")
    odd = images / name
    odd.write_bytes((images / "a.jpg").read_bytes())
    box, points = np.array([[0, 0, 9, 9]], np.float32), np.ones((1, 5, 2), np.float32)
    items = [LabelledImage(path, box, np.zeros(1, np.bool_), points) for path in (odd, images / "a.jpg")]
    written = WRITERS[layout](items, tmp_path / "out", images)
    assert (written.images, written.faces, written.left_out) == (1, 1, 0)
    [error] = written.errors
    assert Path(error.path) == odd
    assert expected in error.reason


def test_a_picture_that_cannot_be_opened_keeps_no_other_out(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a.jpg", "b.jpg")
    (tmp_path / "labels").mkdir()
    for name in "ab":
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (images / "a.jpg").write_text("no picture")
    unread, read = read_boxes("yolo", tmp_path / "labels", images)
    assert (len(unread.boxes), read.error) == (1, None)
    for layout in ("wider", "voc", "yolo"):
        written = WRITERS[layout]([unread, read], tmp_path / layout, images)
        assert (written.images, written.faces) == (1, 1)
        assert [Path(error.path).name for error in written.errors] == ["a.jpg"]
