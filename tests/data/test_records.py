"""MXNet records: people and their pictures, also where the file is cut off, and people drawn by a seed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from facereg.data.records import Record, is_record
from facereg.data.subsets import write_people
from facereg.errors import DatasetError, ImageError
from facereg.images import read_image
from tests.calling import Run
from tests.data.layouts import jpeg, pictures, write_record
from tests.disks import small_disk

MAGIC = struct.pack("<I", 0xCED7230A)
PEOPLE = [[jpeg(10 * person + number) for number in range(3)] for person in range(4)]


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "labels"])
def test_people_and_their_pictures_come_out_as_they_were_written(ranges: bool, tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE, ranges=ranges)
    assert is_record(folder)
    with Record(folder) as record:
        assert record.classes == 4
        found = record.people()
        assert [[picture.read() for picture in own] for own in found.values()] == PEOPLE
        assert list(found) == ["0", "1", "2", "3"]
        image = read_image(found["2"][1].open())
    assert image.shape == (112, 112, 3)


def test_a_record_that_holds_the_magic_number_is_put_together(tmp_path: Path) -> None:
    odd = [b"ab" * 2 + MAGIC + b"cdef" + MAGIC * 2 + b"gh", b"abc" + MAGIC + b"d"]  # at a multiple of four, and not
    with Record(write_record(tmp_path, [odd, odd])) as record:
        assert [picture.read() for picture in record.people()["1"]] == odd


def test_a_record_file_cut_off_gives_the_rest_and_a_line(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    path = folder / "train.rec"
    content = path.read_bytes()
    offsets = [int(line.split()[1]) for line in (folder / "train.idx").read_text("ascii").splitlines()]
    path.write_bytes(content[: offsets[9] + 20])  # the ranges are at the end; picture 9 is cut, 10 to 12 are gone
    notes: list[str] = []
    with Record(folder, notice=notes.append) as record:
        found = record.people(notice=notes.append)
        assert {name: len(own) for name, own in found.items()} == {"0": 3, "1": 3, "2": 2}
    assert len(notes) == 4
    assert "7 of 17 records of its index are beyond its end, the others are read" in notes[0]
    assert "the label of every record is read instead" in notes[1]
    assert "left out 1 of 10 records, which are cut off or damaged" in notes[2]
    assert "train.rec: got 3 people, property states 4" in notes[3]


def test_a_damaged_picture_is_named_by_its_number(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    path = folder / "train.rec"
    content = bytearray(path.read_bytes())
    offset = int((folder / "train.idx").read_text("ascii").splitlines()[5].split()[1])
    content[offset] ^= 255
    path.write_bytes(content)
    with Record(folder) as record, pytest.raises(ImageError, match=r"train.rec\[5\]: expected a whole record") as named:
        record.people()["1"][1].read()
    assert str(named.value).count("train.rec") == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("train.idx", "0 zero", "train.idx: expected 'KEY OFFSET' a line"),
        ("train.idx", "0 1 2", "train.idx: expected 'KEY OFFSET' a line"),
        ("property", "many", "property: expected 'PEOPLE,HEIGHT,WIDTH', got 'many'"),
    ],
)
def test_bad_files_beside_a_record_are_named(name: str, content: str, expected: str, tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    (folder / name).write_text(content, "ascii")
    with pytest.raises(DatasetError, match=expected), Record(folder) as record:
        assert record.classes


def test_people_are_drawn_by_a_seed_from_a_record_or_a_folder(tmp_path: Path) -> None:
    folder = write_record(tmp_path / "record", [*PEOPLE, PEOPLE[0][:1]])
    first = write_people(folder, tmp_path / "first", people=2, least=2, seed=7)
    assert (first.people, first.images, first.few, first.errors) == (2, 6, 1, ())
    write_people(folder, tmp_path / "again", people=2, least=2, seed=7)
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("first", "again")]
    assert names[0] == names[1]
    drawn = {tuple(_drawn(folder, tmp_path / f"seed{seed}", seed)) for seed in range(5)}
    assert len(drawn) > 1
    person = names[0][0]
    written = sorted((tmp_path / "first" / person).iterdir())
    assert [path.read_bytes() for path in written] == PEOPLE[int(person)]
    all_of_it = write_people(tmp_path / "first", tmp_path / "copy")
    assert (all_of_it.people, all_of_it.images) == (2, 6)
    assert (tmp_path / "copy" / person / written[0].name).read_bytes() == written[0].read_bytes()


def _drawn(folder: Path, out: Path, seed: int) -> list[str]:
    write_people(folder, out, people=2, least=2, seed=seed)
    return sorted(path.name for path in out.iterdir())


def test_a_disk_that_is_full_ends_the_writing_of_people_in_one_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        for number in range(3):
            path = tmp_path / "in" / f"p{number}" / "1.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(90_000))
        with pytest.raises(DatasetError, match=r"disk/out: cannot be written \(No space left on device\); check"):
            write_people(tmp_path / "in", disk / "out")
        assert list(disk.iterdir()) == []


def test_pictures_of_one_name_in_several_spellings_of_a_person_are_all_kept(tmp_path: Path) -> None:
    for number, folder in enumerate(("Zoe", "Zoe ", " Zoe")):
        pictures(tmp_path / "in", f"{folder}/1.png", size=(10 + number, 10))
    pictures(tmp_path / "in", "Zoe/Zoe -1.png", size=(20, 10))  # what the second would be called
    written = write_people(tmp_path / "in", tmp_path / "out")
    assert (written.people, written.images) == (1, 4)
    assert len({path.read_bytes() for path in (tmp_path / "out" / "Zoe").iterdir()}) == 4


def test_folders_that_differ_by_case_are_one_person(tmp_path: Path) -> None:
    for number, folder in enumerate(("ann", "Ann", "Bo")):
        pictures(tmp_path / "in", f"{folder}/1.png", size=(10 + number, 10))
    notes: list[str] = []
    written = write_people(tmp_path / "in", tmp_path / "out", least=2, notice=notes.append)
    assert (written.people, written.images, written.few) == (1, 2, 1)
    assert sorted(path.name for path in (tmp_path / "out" / "Ann").iterdir()) == ["1.png", "ann-1.png"]
    assert notes == [f"Ann, ann in {tmp_path / 'in'}: names that differ by case only, taken as one person"]


def test_a_folder_that_holds_something_is_refused_before_people_are_drawn(tmp_path: Path) -> None:
    pictures(tmp_path / "out", "old.png")
    with pytest.raises(DatasetError, match="out: expected a new or empty folder"):
        write_people(tmp_path / "none", tmp_path / "out")


def test_people_command_counts_what_is_left_out(run: Run, tmp_path: Path) -> None:
    pictures(tmp_path / "in", "Ann/1.png", "Ann/2.png", "Bo/1.png")
    called = run("data", "people", tmp_path / "in", "--out", tmp_path / "out", "--least", "2", "--json")
    assert called.document == {
        **{"out": str(tmp_path / "out"), "people": 1, "images": 2, "few": 1, "seed": 0},
        **{"skipped": [], "failed": []},
    }
    refused = run("data", "people", tmp_path / "in", "--out", tmp_path / "more", "--people", "3")
    assert (refused.status, refused.out) == (1, "")
    assert "expected 3 people with 1 pictures or more, got 2; ask for fewer" in refused.error


def test_a_cut_record_gives_failed_pictures_and_status_1(run: Run, tmp_path: Path) -> None:
    folder = write_record(tmp_path / "record", PEOPLE)
    content = bytearray((folder / "train.rec").read_bytes())
    offset = int((folder / "train.idx").read_text("ascii").splitlines()[5].split()[1])
    content[offset] ^= 255
    (folder / "train.rec").write_bytes(content)
    called = run("data", "people", folder, "--out", tmp_path / "out", "--json")
    assert called.status == 1
    assert (called.document["people"], called.document["images"]) == (4, 11)
    [failed] = called.document["failed"]  # type: ignore[misc]
    assert failed["image"] == f"{folder / 'train.rec'}[5]"  # type: ignore[has-type]


def test_the_index_may_be_in_any_order(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    lines = (folder / "train.idx").read_text("ascii").splitlines()
    rows = np.random.default_rng(0).permutation(len(lines))
    (folder / "train.idx").write_text("\n".join(lines[row] for row in rows), "ascii")
    with Record(folder) as record:
        assert [[picture.read() for picture in own] for own in record.people().values()] == PEOPLE


def test_an_index_cut_off_gives_the_rest_and_a_line(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    lines = (folder / "train.idx").read_text("ascii").splitlines()
    (folder / "train.idx").write_text("\n".join([*lines[:8], "8"]), "ascii")  # of 9 \t 12345
    notes: list[str] = []
    with Record(folder, notice=notes.append) as record:
        found = record.people(notice=notes.append)
    assert {name: len(own) for name, own in found.items()} == {"0": 3, "1": 3, "2": 1}
    assert "train.idx: cut off in its last line; the 8 records before are read" in notes[0]


def test_a_damaged_range_of_a_person_loses_nobody(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    offsets = [int(line.split()[1]) for line in (folder / "train.idx").read_text("ascii").splitlines()]
    content = bytearray((folder / "train.rec").read_bytes())
    content[offsets[14] + 8 + 24 : offsets[14] + 8 + 28] = struct.pack("<f", float("nan"))
    (folder / "train.rec").write_bytes(content)
    notes: list[str] = []
    with Record(folder) as record:
        found = record.people(notice=notes.append)
        assert [[picture.read() for picture in own] for own in found.values()] == PEOPLE
    assert len(notes) == 1
    assert "train.rec[14]: expected a range of pictures, got [nan, 7.0]; every label is read instead" in notes[0]


def test_ranges_that_float32_rounds_are_not_believed(tmp_path: Path) -> None:
    """As in sets of over 16.7 million pictures: 16,777,217 is read as 16,777,216, the last of the person before."""
    folder = write_record(tmp_path, PEOPLE, ranges=False)
    shift = 2**24
    index = [line.split() for line in (folder / "train.idx").read_text("ascii").splitlines()]
    content = (folder / "train.rec").read_bytes()
    size = len(content)
    header = struct.pack("<IfQQ2f", 2, 0.0, 0, 0, shift + 13.0, shift + 17.0)
    content += MAGIC + struct.pack("<I", len(header)) + header
    (folder / "train.rec").write_bytes(content)
    lines = [f"0 {size}", *(f"{int(key) + shift} {offset}" for key, offset in index)]
    (folder / "train.idx").write_text("\n".join(lines), "ascii")
    notes: list[str] = []
    with Record(folder) as record:
        found = record.people(notice=notes.append)
        assert [[picture.read() for picture in own] for own in found.values()] == PEOPLE
    assert "the ranges of people are rounded; the label of every record is read instead" in notes[0]


def test_a_range_of_millions_that_are_not_there_takes_no_time(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PEOPLE)
    with (folder / "train.idx").open("a", encoding="ascii") as stream:
        stream.write(f"{2**40} 0\n")  # a key far from the others
    with Record(folder) as record:
        assert [len(own) for own in record.people().values()] == [3] * 4
