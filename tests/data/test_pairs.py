"""Lists of pairs in the layouts they are published in, and .bin files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from facereg.data.bins import read_bin
from facereg.data.pairs import read_pairs
from facereg.errors import ContractError, DatasetError
from facereg.images import read_image
from tests.calling import Run
from tests.data.layouts import jpeg
from tests.disks import small_disk


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_calfw_has_two_lines_a_pair_and_states_the_folds_of_genuine_pairs(tmp_path: Path) -> None:
    lines = []
    for fold in range(10, 0, -1):  # not in order, so that a tenth by place would be wrong
        lines += [f"Ann_Lee_{fold:04d}.jpg {fold}", f"Ann_Lee_{fold + 20:04d}.jpg {fold}"]
    for number in range(20):
        lines += [f"Ann_Lee_{number:04d}.jpg 0", f"Bo_{number:04d}.jpg 0"]
    listed = read_pairs("calfw", write(tmp_path / "pairs_CALFW.txt", *lines), tmp_path / "aligned images")
    assert listed.pairs[0].first == tmp_path / "aligned images" / "Ann_Lee_0010.jpg"
    assert [pair.same for pair in listed.pairs] == [True] * 10 + [False] * 20
    assert listed.folds == (*range(9, -1, -1), *(row // 2 for row in range(20)))
    assert (listed.pairs[0].people, listed.pairs[-1].people) == (("Ann_Lee", "Ann_Lee"), ("Ann_Lee", "Bo"))


def test_cplfw_has_tenths_of_each_kind_for_folds(tmp_path: Path) -> None:
    lines = []
    for number in range(20):
        kind = int(number % 2 == 0)  # in turns
        lines += [f"Ann_{number}.jpg {kind}", f"{'Ann' if kind else 'Bo'}_{number + 50}.jpg {kind}"]
    listed = read_pairs("cplfw", write(tmp_path / "pairs_CPLFW.txt", *lines), tmp_path)
    assert listed.folds == tuple(row // 2 for row in range(20))
    few = read_pairs("cplfw", write(tmp_path / "few.txt", *lines[:8]), tmp_path)
    assert few.folds == (0, 0, 0, 0)  # four pairs make no tenths


def test_agedb_names_its_people_in_the_files_and_others_in_folders(tmp_path: Path) -> None:
    lines = ["0_MariaCallas_35_f.jpg 7_MariaCallas_45_f.jpg 1", "x/a.jpg y/b.jpg -1"]
    listed = read_pairs("agedb", write(tmp_path / "pairs.txt", *lines), tmp_path)
    assert [pair.people for pair in listed.pairs] == [("MariaCallas", "MariaCallas"), ("x", "y")]
    assert [pair.same for pair in listed.pairs] == [True, False]


def cfp(folder: Path) -> Path:
    """Write the protocol of two people with two frontal pictures and one in profile each; all folds alike."""
    protocol = folder / "Protocol"
    frontal = [f"{person:03d}/frontal/{number:02d}.jpg" for person in (1, 2) for number in (1, 2)]
    profile = [f"{person:03d}/profile/01.jpg" for person in (1, 2)]
    for name, paths in (("F", frontal), ("P", profile)):
        rows = [f"{row} ../Data/Images/{path}" for row, path in enumerate(paths, 1)]
        write(protocol / f"Pair_list_{name}.txt", *rows)
    for fold in range(1, 11):
        for split, same, diff in (("FP", "1,1", "1,2"), ("FF", "1,2", "1,3")):
            write(protocol / "Split" / split / f"{fold:02d}" / "same.txt", same)
            write(protocol / "Split" / split / f"{fold:02d}" / "diff.txt", diff)
    return protocol


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("cfp-fp", ["001/profile/01.jpg", "002/profile/01.jpg"]),
        ("cfp-ff", ["001/frontal/02.jpg", "002/frontal/01.jpg"]),
    ],
)
def test_cfp_pairs_are_read_from_its_split(format: str, expected: list[str], tmp_path: Path) -> None:
    listed = read_pairs(format, cfp(tmp_path), tmp_path / "Data" / "Images")
    assert listed.folds == tuple(row // 2 for row in range(20))
    assert [pair.same for pair in listed.pairs[:2]] == [True, False]
    assert listed.pairs[0].first == tmp_path / "Data" / "Images" / "001/frontal/01.jpg"
    assert [pair.second.relative_to(tmp_path / "Data" / "Images").as_posix() for pair in listed.pairs[:2]] == expected
    assert [pair.people for pair in listed.pairs[:2]] == [("001", "001"), ("001", "002")]


@pytest.mark.parametrize(
    ("format", "lines", "expected"),
    [
        ("calfw", ["a_1.jpg 1"], "expected two lines a pair"),
        ("cplfw", ["a_1.jpg 1", "a_2.jpg 0"], "line 1: expected 'FILE LABEL' twice, with one label"),
        ("cplfw", ["../a_1.jpg 1", "a_2.jpg 1"], "line 1: '../a_1.jpg': expected a name without '..'"),
        ("agedb", ["a.jpg b.jpg 2"], "line 1: expected 'FILE FILE 1' or 'FILE FILE 0'"),
        ("list", [""], "expected pairs, 'FILE FILE LABEL' a line, got none"),
    ],
)
def test_a_list_of_another_layout_is_named_with_its_line(
    format: str, lines: list[str], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=expected):
        read_pairs(format, write(tmp_path / "pairs.txt", *lines), tmp_path)
    with pytest.raises(ContractError, match="format: expected one of lfw, calfw"):
        read_pairs("lfw2", tmp_path, tmp_path)


def test_a_number_that_no_pair_list_has_is_named(tmp_path: Path) -> None:
    protocol = cfp(tmp_path)
    write(protocol / "Split" / "FP" / "03" / "diff.txt", "1,9")
    with pytest.raises(DatasetError, match=r"03.diff.txt, line 1: expected 'I,J' of the pair lists, got '1,9'"):
        read_pairs("cfp-fp", protocol, tmp_path)


FILES = [jpeg(colour) for colour in (10, 10, 10, 200)]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_bin_is_read_without_unpickling(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((FILES, [True, False]), protocol))
    assert read_bin(path) == (FILES, [True, False])


def test_a_bin_of_python_2_is_read(tmp_path: Path) -> None:
    # protocol 2, as cPickle wrote it there: a str is bytes, U its short form and T its long one
    long = b"T" + len(FILES[0]).to_bytes(4, "little") + FILES[0]
    path = tmp_path / "lfw.bin"
    path.write_bytes(b"\x80\x02]q\x01(" + long + b"q\x02U\x03abce]q\x03\x88a\x86q\x04.")
    assert read_bin(path) == ([FILES[0], b"abc"], [True])


class Asks:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pickle.dumps(([Asks()], [True])), "got the instruction .*posix"),
        (pickle.dumps((["text", "text"], [True])), "got the instruction SHORT_BINUNICODE"),
        (pickle.dumps((FILES, [True, False]))[:-40], "which is cut off or damaged"),
        (pickle.dumps((FILES, [True])), "expected two pictures a pair, got 4 for 1 pairs"),
        (pickle.dumps((FILES, [True, 7])), "got no list of true or false"),
        (pickle.dumps([FILES]), "got no list of bytes"),
        (b"\x80\x04r\xff\xff\xff\x7f.", "which is cut off or damaged"),  # a memo of two thousand million places
        (b"", "which is cut off or damaged|got a file of 0 bytes|no end"),
    ],
    ids=["code", "text", "cut", "count", "numbers", "one", "memo", "empty"],
)
def test_a_bin_that_asks_for_more_than_lists_and_bytes_is_refused_in_one_line(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=expected) as refused:
        read_bin(path)
    assert str(refused.value).startswith(f"{path}: expected ")
    assert "\n" not in str(refused.value)


def test_a_bins_pictures_are_unpacked_once_and_over_no_other_folder(tmp_path: Path) -> None:
    path, folder = tmp_path / "lfw.bin", tmp_path / "unpacked"
    path.write_bytes(pickle.dumps((FILES, [True, False])))
    listed = read_pairs("bin", path, folder)
    assert [pair.same for pair in listed.pairs] == [True, False]
    assert read_image(listed.pairs[1].second).shape == (112, 112, 3)
    assert listed.people is None
    times = [pair.first.stat().st_mtime_ns for pair in listed.pairs]
    assert read_pairs("bin", path, folder).pairs == listed.pairs
    assert [pair.first.stat().st_mtime_ns for pair in listed.pairs] == times
    path.write_bytes(pickle.dumps((FILES[::-1], [True, False])))
    with pytest.raises(DatasetError, match="expected a new folder for the pictures of"):
        read_pairs("bin", path, folder)


def test_a_bin_is_evaluated_as_crops(painted: list[str], run: Run, tmp_path: Path) -> None:
    path = tmp_path / "set.bin"
    colours = [row * 12 for row in range(20)]
    files = [jpeg(colour) for colour in colours for _ in (0, 1)]  # ten pairs of one colour
    for row in range(10):
        files += [jpeg(colours[row]), jpeg(colours[row + 10])]
    path.write_bytes(pickle.dumps((files[:20] + files[40:], [True] * 10 + [False] * 10)))
    words = ["evaluate", "verification", "--pairs", path, "--images", tmp_path / "crops", "--format", "bin", "--json"]
    figures = run(*words, *painted, "--detector", "aligned").document
    assert (figures["pairs"], figures["missing"], figures["folds"]) == (20, 0, 10)
    assert figures["accuracy"] == pytest.approx(1.0)


def test_a_bin_that_finds_no_room_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([bytes(90_000)] * 4, [True, False])))
    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(DatasetError, match=r"disk/out: cannot be written \(No space left on device\); check"):
            read_pairs("bin", tmp_path / "a.bin", disk / "out")
        assert list(disk.iterdir()) == []
