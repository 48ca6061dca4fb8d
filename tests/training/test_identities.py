"""Identities from folders: who is learned from, who is kept out, and what is left out and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facereg.errors import ContractError, DatasetError, ImageError
from facereg.images import write_image
from facereg.training.identities import read_crops, read_identities
from tests.data.layouts import jpeg, write_record


def write(folder: Path, *pictures: str, size: int = 8) -> Path:
    for number, name in enumerate(pictures):
        write_image(folder / name, np.full((size, size, 3), number, np.uint8))
    return folder


def test_people_are_numbered_in_order_and_their_crops_lie_together(tmp_path: Path) -> None:
    write(tmp_path / "set", "b/1.png", "a/2.png", "a/1.png", "b/0.png", "c/1.png", "c/2.png", "c/3.png")
    found = read_identities([tmp_path / "set"], size=8)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert found.people == ("a", "b", "c")
    assert found.files[:3] == ("set/a/1.png", "set/a/2.png", "set/b/0.png")
    assert found.images[:, 0, 0, 0].tolist() == [2, 1, 3, 0, 4, 5, 6]


def test_what_is_left_out_is_counted_in_one_line_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "c/1.png", "stray.png")
    (folder / "empty").mkdir()
    (folder / "a" / "notes.txt").write_text("x")
    found = read_identities([folder], size=8)
    assert found.people == ("a", "b")
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    [line] = lines
    assert line.startswith("2 people with 4 pictures, 4 of them grey; left out: ")
    assert "1 people with fewer than 2 pictures" in line
    assert "notes.txt" in line or "stray.png" in line


def test_folders_that_differ_by_case_are_one_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_identities([write(tmp_path, "Ann/1.png", "ann/1.png", "bob/1.png", "bob/2.png")], size=8)
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert len(set(found.files)) == 4
    assert "Ann, ann" in capsys.readouterr().err


def test_a_name_in_two_data_folders_is_two_people(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, "7/1.png", "7/2.png") for name in ("one", "two")]
    found = read_identities(folders, size=8)
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.files[2] == "two/7/1.png"
    with pytest.raises(ContractError, match="expected folders of different names"):
        read_identities([folders[0], folders[0]])


def test_grey_pictures_and_those_of_other_sizes_are_read(tmp_path: Path) -> None:
    PillowImage.new("L", (30, 20), 77).save(tmp_path / "grey.png")
    right = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    write_image(tmp_path / "right.png", right)
    read = read_crops([tmp_path / "grey.png", tmp_path / "right.png"], size=16)
    assert (read[0] == 77).all()
    assert (read[1] == right).all()


def test_people_of_a_record_are_read_as_those_of_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey, colour = jpeg(77, mode="L"), jpeg(10)
    write_record(tmp_path / "ms1m", [[colour, colour], [colour], [], [grey, colour, colour]])
    write(tmp_path / "set", "0/1.png", "0/2.png")
    found = read_identities([tmp_path / "ms1m", tmp_path / "set"], size=16)
    assert found.people == ("0", "3", "0")
    assert found.labels.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert found.files[:3] == ("ms1m/0/00000001", "ms1m/0/00000002", "ms1m/3/00000004")
    assert np.abs(found.images[2].astype(int) - 77).max() <= 1
    line = "3 people with 7 pictures, 3 of them grey; left out: 2 people with fewer than 2 pictures\n"
    assert capsys.readouterr().err.endswith(line)  # those of `write` are grey, too


def test_a_record_that_is_cut_off_gives_its_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_record(tmp_path / "ms1m", [[jpeg(10 * person)] * 2 for person in range(4)], ranges=False)
    content = (folder / "train.rec").read_bytes()
    (folder / "train.rec").write_bytes(content[:-10])
    found = read_identities([folder], size=16)
    assert found.people == ("0", "1", "2")
    assert "left out 1 of 8 records, which are cut off or damaged" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_counts_for_nobody(tmp_path: Path) -> None:
    from facereg.data.readable import left_out

    write(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "c/1.png", "c/2.png")
    (tmp_path / "c" / "2.png").write_bytes(b"no picture")
    told: list[ImageError] = []
    with left_out(told.append):
        found = read_identities([tmp_path], size=8)
    assert found.people == ("a", "b")
    assert len(told) == 1


def test_too_few_people_and_no_data_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="got none; pass --data DIR"):
        read_identities([])
    write(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    with pytest.raises(DatasetError, match="expected two people with 2 pictures, got 1"):
        read_identities([tmp_path])


def test_people_are_kept_out_by_their_names(tmp_path: Path) -> None:
    write(tmp_path, *(f"p{person}/{number}.png" for person in range(20) for number in range(2)))
    found = read_identities([tmp_path], size=8)
    learned, kept_out = found.split(4)
    assert set(learned.people).isdisjoint(kept_out.people)
    assert set(learned.people) | set(kept_out.people) == set(found.people)
    assert 2 <= len(kept_out.people) < 10
    for part in (learned, kept_out):
        assert [file.split("/")[-2] for file in part.files] == [part.people[label] for label in part.labels]
        assert part.labels.tolist() == sorted(part.labels.tolist())
        assert part.labels.max() == len(part.people) - 1
    rows = dict(zip(found.files, found.images, strict=True))
    assert all((rows[file] == image).all() for file, image in zip(learned.files, learned.images, strict=True))
    everybody, nobody = found.split(0)
    assert (everybody.files, nobody.files) == (found.files, ())
    with pytest.raises(DatasetError, match="expected two people to learn from and two kept out"):
        found.split(1)
