"""A list names pictures below the folder of its pictures; a folder is a folder, and a list is a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from facereg.data.formats import read_boxes
from facereg.data.pairs import PAIR_READERS, read_pairs
from facereg.data.points import READERS, read_points
from facereg.data.templates import read_templates
from facereg.data.wider import read_wider_truth
from facereg.errors import DatasetError
from facereg.folders.people import find_people
from tests.data.layouts import pictures, write_wider_truth

Read = Callable[[Path, Path], object]
OUTSIDE = {"up": "../out.jpg", "down and up": "a/../../out.jpg", "absolute": "/out.jpg", "windows": "..\\out.jpg"}
PSEUDO = '{"image": "NAME", "boxes": [], "scores": [], "points": []}\n'


def count(numbers: int) -> str:
    return " ".join(map(str, range(numbers)))


def boxes(format: str) -> Read:
    return lambda listed, images: read_boxes(format, listed, images)


def pairs(format: str) -> Read:
    return lambda listed, images: read_pairs(format, listed, images)


def points(format: str) -> Read:
    return lambda listed, images: read_points(format, listed, images)


def templates(listed: Path, images: Path) -> object:
    (listed.parent / "pairs.txt").write_text("1 1 1\n")
    return read_templates(listed, listed.parent / "pairs.txt", images)


LISTS: dict[str, tuple[str, int, Read]] = {  # the text, the line where the name stands, and what reads it
    "wider": ("a.jpg\n0\nNAME\n0\n", 3, boxes("wider")),
    "celeba": ("1\nnames\nNAME 1 2 3 4\n", 3, boxes("celeba")),
    "pseudo": (PSEUDO.replace("NAME", "a.jpg") + PSEUDO, 2, boxes("pseudo")),
    "5pt": (f"a.jpg {count(10)}\nNAME {count(10)}\n", 2, points("5pt")),
    "68pt": (f"{count(136)} NAME\n", 1, points("68pt")),
    "wflw": (f"{count(200)} 0 0 0 0 0 0 NAME\n", 1, points("wflw")),
    "cofw": (f"{count(58)} {'0 ' * 29}NAME\n", 1, points("cofw")),
    "lfw": ("1\nann 1 2\nNAME 1 ann 2\n", 3, pairs("lfw")),
    "calfw": ("a.jpg 0\nNAME 0\n", 1, pairs("calfw")),
    "agedb": ("a.jpg b.jpg 1\na.jpg NAME 0\n", 2, pairs("agedb")),
    "templates": ("a.jpg 1 1\nNAME 1 2\n", 2, templates),
}


@pytest.mark.parametrize("name", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("layout", LISTS)
def test_a_name_outside_the_folder_of_pictures_is_refused_with_its_line(layout: str, name: str, tmp_path: Path) -> None:
    text, line, read = LISTS[layout]
    images = pictures(tmp_path / "images", "a.jpg", "b.jpg")
    pictures(tmp_path, "out.jpg")
    listed = tmp_path / "list.txt"
    listed.write_text(text.replace("NAME", name.replace("\\", "\\\\") if layout == "pseudo" else name))
    with pytest.raises(DatasetError, match=rf"list.txt, line {line}: .*(without '\.\.'|a relative name)") as caught:
        read(listed, images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OUTSIDE.values(), ids=OUTSIDE)
def test_a_name_outside_is_refused_in_labels_of_one_picture_a_file(name: str, tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "a.jpg")
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc/a.xml").write_text(f"<annotation><filename>{name}</filename></annotation>")
    with pytest.raises(DatasetError, match=r"a.xml: .*(without '\.\.'|a relative name)"):
        read_boxes("voc", tmp_path / "voc", images)
    truth = write_wider_truth(tmp_path / "mat", {"event": {f"../{name}": [[0, 0, 9, 9]]}}, {})
    with pytest.raises(DatasetError, match=r"wider_face_val.mat: .*without '\.\.'"):
        read_boxes("wider", truth / "wider_face_val.mat", images)
    with pytest.raises(DatasetError, match=r"wider_face_val.mat: .*without '\.\.'"):
        read_wider_truth(truth)


def test_a_link_among_the_pictures_is_the_users_own(tmp_path: Path) -> None:
    images, kept = tmp_path / "images", pictures(tmp_path / "elsewhere", "a.jpg")
    images.mkdir()
    (images / "b.jpg").symlink_to(kept / "a.jpg")
    (tmp_path / "list.txt").write_text("b.jpg b.jpg 1\n")
    [pair] = read_pairs("agedb", tmp_path / "list.txt", images).pairs
    assert pair.first == images / "b.jpg"


@pytest.mark.parametrize("layout", LISTS)
def test_a_file_in_place_of_the_folder_of_pictures_is_named(layout: str, tmp_path: Path) -> None:
    text, _, read = LISTS[layout]
    (tmp_path / "list.txt").write_text(text.replace("NAME", "b.jpg"))
    (tmp_path / "images").write_text("")
    with pytest.raises(DatasetError, match="images: expected a folder of pictures, found a file; check the path"):
        read(tmp_path / "list.txt", tmp_path / "images")


@pytest.mark.parametrize("layout", LISTS)
def test_a_folder_in_place_of_a_list_is_named(layout: str, tmp_path: Path) -> None:
    _, _, read = LISTS[layout]
    (tmp_path / "list.txt").mkdir()
    # of CelebA the folder may be given, which holds none here
    expected = (
        "list_bbox_celeba.txt: expected .* missing" if layout == "celeba" else "list.txt: expected .*got a folder"
    )
    with pytest.raises(DatasetError, match=expected):
        read(tmp_path / "list.txt", tmp_path)


@pytest.mark.parametrize("made", ["file", "nothing", "pipe"])
@pytest.mark.parametrize(
    ("read", "words"),
    [
        (boxes("voc"), "expected a folder of VOC .xml files"),
        (boxes("yolo"), "expected a folder of YOLO .txt files"),
        (points("pts"), "expected a folder of .pts files"),
        (lambda folder, images: find_people(folder), "expected a folder with one folder a person"),
    ],
    ids=["voc", "yolo", "pts", "people"],
)
def test_what_is_in_place_of_a_folder_is_named(made: str, read: Read, words: str, tmp_path: Path) -> None:
    images, folder = pictures(tmp_path / "images", "a.jpg"), tmp_path / "folder"
    if made == "file":
        folder.write_text("")
    elif made == "pipe":
        os.mkfifo(folder)
    found = {"file": "a file", "nothing": "none", "pipe": "a pipe"}[made]
    with pytest.raises(DatasetError, match=f"folder: {words}, found {found}; check the path"):
        read(folder, images)


@pytest.mark.parametrize("layout", ["cfp-fp", "cfp-ff"])
def test_a_file_in_place_of_a_protocols_folder_is_named(layout: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file/Pair_list_F.txt: expected .*, found none, as .*file is a file"):
        read_pairs(layout, tmp_path / "file", tmp_path)
    with pytest.raises(DatasetError, match="wider_face_val.mat: .* found none, as .*file is a file and no folder"):
        read_wider_truth(tmp_path / "file")


def test_every_layout_of_a_list_is_tried() -> None:
    assert set(LISTS) == {*READERS, *PAIR_READERS, "wider", "celeba", "pseudo", "templates"} - NOT_LISTS


NOT_LISTS = {"pts", "cfp-fp", "cfp-ff", "bin", "cplfw", "list"}  # folders, a packed file, and readers tried above
