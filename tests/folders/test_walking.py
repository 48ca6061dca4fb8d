"""Folders walked: links, rights, endings; each entry in one of three lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from facereg.errors import ImageError
from facereg.folders.people import find_people
from facereg.folders.walking import find_images, find_pictures
from facereg.images import read_image
from tests.kinds import painted
from tests.rights import folder_with


def test_pictures_come_in_order_of_name_within_what_was_named(tmp_path: Path) -> None:
    paths = [painted(tmp_path / name) for name in ("b/1.png", "a/2.png", "a/1.png", "a/deep/er/0.png", "c.png")]
    found = find_pictures([tmp_path / "b", tmp_path])
    assert found.pictures == [paths[0], paths[2], paths[1], paths[3], paths[0], paths[4]]
    assert len(found) == 6


def test_a_named_file_is_taken_for_a_picture_whatever_it_is(tmp_path: Path) -> None:
    named = [tmp_path / "gone.jpg", tmp_path / "notes.txt", tmp_path / ".hidden.jpg"]
    named[1].touch()
    named[2].touch()
    assert find_pictures(named).pictures == named


def test_a_hidden_folder_that_is_named_is_walked(tmp_path: Path) -> None:
    inside = painted(tmp_path / ".cache" / "1.png")
    assert find_images([tmp_path / ".cache"]) == [inside]


def test_a_folder_has_its_pictures_under_its_own_name_whatever_links_lead_to_it(tmp_path: Path) -> None:
    real = painted(tmp_path / "all" / "z-real" / "1.png")
    (tmp_path / "all" / "a-link").symlink_to("z-real")
    found = find_pictures([tmp_path / "all"])
    assert found.pictures == [real]
    assert [item.path.name for item in found.skipped] == ["a-link"]


def test_links_that_lead_round_in_rings_end(tmp_path: Path) -> None:
    one, other = painted(tmp_path / "all" / "x" / "1.png"), painted(tmp_path / "far" / "2.png")
    (tmp_path / "all" / "x" / "to-far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "all" / "x")
    (tmp_path / "far" / "root").symlink_to("/")
    found = find_pictures([tmp_path / "all"])
    assert found.pictures == [one, tmp_path / "all" / "x" / "to-far" / "2.png"]
    assert other.exists()
    assert {item.path.name: item.reason for item in found.skipped} == {
        "back": f"the same folder as {tmp_path}/all/x, whose pictures are taken there",
        "root": "a link to a folder above, which is not followed",
    }


def test_a_folder_without_rights_has_failed_and_its_neighbours_are_done() -> None:
    with folder_with(0o755) as folder:
        painted(folder / "open" / "1.png")
        painted(folder / "shut" / "1.png")
        (folder / "shut").chmod(0)
        found = find_pictures([folder])
        people = find_people(folder)
        (folder / "shut").chmod(0o755)
    for left_out in (found.failed, people.failed):
        assert [str(item) for item in left_out] == [
            f"{folder}/shut: cannot be read (Permission denied); change its rights"
        ]
    assert found.pictures == [folder / "open" / "1.png"]
    assert people.people == {"open": [folder / "open" / "1.png"]}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.heic", "HEIC needs another package to be read; install it: pip install pillow-heif"),
        ("a.NEF", "a camera's raw file; develop it to JPEG first"),
        ("a.mp4", "a video; give it to 'facereg identify' by itself"),
        ("a.pdf", "expected a picture, got a file that ends in .pdf"),
        ("a", "expected a picture, got a file of another kind, without an ending"),
        ("a.jpg.part", "a download that has not ended, by its ending .part; fetch it again"),
        ("a.JPG.crdownload", "a download that has not ended, by its ending .crdownload; fetch it again"),
        ("10.11.12", "expected a picture, got a file of another kind, without an ending"),
        ("a.jpg_large", "expected a picture, got a file of another kind, without an ending"),
    ],
)
def test_a_file_that_is_no_picture_is_skipped_with_what_to_do(name: str, reason: str, tmp_path: Path) -> None:
    painted(tmp_path / "good.png")
    (tmp_path / name).write_text("text")
    [item] = find_pictures([tmp_path]).skipped
    assert (item.path.name, item.minor) == (name, False)
    assert item.reason.startswith(reason)


def test_a_folder_without_a_picture_is_an_error_of_find_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match="expected pictures in this folder, found none"):
        find_images([tmp_path])


@pytest.mark.parametrize(
    "text",
    [
        "P5 ",
        "P5 is the fifth",
        "P6 3 pictures",
        "P2 10",
        "P4\n7\nseven",
        "Pf 1 2 three",
        "P3 # a note\nmore",
        "BMW i3",
        "BM",
    ],
)
def test_a_text_without_an_ending_that_begins_as_a_picture_does_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text(text)
    painted(tmp_path / "1.png")
    [left_out] = find_pictures([tmp_path]).skipped
    assert left_out.reason == "expected a picture, got a file of another kind, without an ending"


@pytest.mark.parametrize(
    "content",
    [
        b"P5 1 1 255\n\x07",
        b"P6\n# made by hand\n1 1\n255\n\1\2\3",
        b"P1\n2 1\n1 0",
        b"P4 1 1\n\x80",
        b"Pf\n1 1\n-1.0\n" + bytes(4),
        b"P2 # a remark that is longer than the bytes that tell the kind\n1 1 9 5",
    ],
)
def test_a_picture_of_netpbm_without_an_ending_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(content)
    [path] = find_pictures([tmp_path]).pictures
    assert read_image(path).ndim == 3


@pytest.mark.parametrize("name", [".1.jpg.icloud", "1.HEIC.icloud", "1.png.nextcloud", "1.jpg.owncloud"])
def test_a_placeholder_of_a_picture_in_a_cloud_has_failed(name: str, tmp_path: Path) -> None:
    painted(tmp_path / "Ada" / "2.png")
    (tmp_path / "Ada" / name).write_bytes(b"bplist00")
    for found in (find_pictures([tmp_path]), find_people(tmp_path)):
        [item] = found.failed
        assert (item.path.name, item.minor) == (name, False)
        assert item.reason == "a placeholder of a picture that lies in a cloud; download it first"


def test_a_time_in_a_name_is_no_ending(tmp_path: Path) -> None:
    painted(tmp_path / "1.png")
    (tmp_path / "1.png").rename(tmp_path / "2023-05-14 10.11.12")
    assert [path.name for path in find_pictures([tmp_path]).pictures] == ["2023-05-14 10.11.12"]


def test_a_picture_by_another_ending_is_said_to_be_one(tmp_path: Path) -> None:
    painted(tmp_path / "1.png")
    (tmp_path / "J.Smith").write_bytes((tmp_path / "1.png").read_bytes())
    [item] = find_pictures([tmp_path]).skipped
    assert item.reason == "a picture by what it holds, but its name ends in .smith; rename it if it is to be read"
