"""Unknown faces in groups: made, named, merged, split, drawn and enrolled, by the command."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from facereg.collection import Index
from facereg.collection.grouping import Grouping, balanced_threshold
from facereg.errors import ContractError
from facereg.gallery import Gallery
from facereg.gallery.thresholds import Calibration
from facereg.images import read_image, write_image
from tests.calling import Run
from tests.disks import filled, small_disk
from tests.fakes import picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of person 1 in six pictures, 2 in three, 3 in two, 4 in one."""
    for number, people in enumerate([(1,), (1, 2), (1, 2), (1, 3), (1, 3), (1,), (2, 4)]):
        image = picture(*people)
        image[0, 0] = number  # no two files are the same
        write_image(tmp_path / "photos" / f"{number}.png", image)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path, photos: Path, painted: list[str], run: Run) -> Path:
    """Return their index, grouped."""
    out = tmp_path / "photos.index"
    called = run("group", photos, "--out", out, "--threshold", "0.999", *painted)
    assert called.status == 0
    assert called.out.splitlines() == [
        "1: person 1, 6 faces",
        "2: person 2, 3 faces",
        "3: person 3, 2 faces",
    ]
    assert "12 faces: 3 groups, 1 alone" in called.err
    return out


def sizes(run: Run, index: Path) -> dict[object, int]:
    """Return the number of faces of each group."""
    return {line["group"]: len(line["faces"]) for line in run("group", "show", index, "--json").lines}  # type: ignore[arg-type]


def test_a_folder_is_grouped_and_nothing_is_left_behind(
    tmp_path: Path, photos: Path, painted: list[str], run: Run
) -> None:
    called = run("group", photos, "--threshold", "0.999", "--sheets", tmp_path / "people", "--json", *painted)
    assert [len(line["faces"]) for line in called.lines] == [6, 3, 2]  # type: ignore[arg-type]
    first = called.lines[0]["faces"]
    assert isinstance(first, list)
    assert {Path(face["image"]).name for face in first} == {f"{n}.png" for n in range(6)}
    assert first[0]["box"] == [0, 0, 111, 111]
    assert sorted(path.name for path in (tmp_path / "people").iterdir()) == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert read_image(tmp_path / "people" / "00003.jpg").shape == (128, 252, 3)  # two squares of 120 px, gaps of 4
    assert {path.name for path in tmp_path.iterdir()} <= {"photos", "people", "home"}


def test_groups_are_merged_and_split_by_hand(index: Path, run: Run) -> None:
    assert run("group", "merge", index, "1", "2", "3").out == "1: person 1, 11 faces\n"
    assert sizes(run, index) == {1: 11}
    shown = run("group", "show", index, "--json").document["faces"]
    assert isinstance(shown, list)
    mine = [face["face"] for face in shown[:2]]
    called = run("group", "split", index, "1", "--face", mine[0], "--face", mine[1], "--json")
    assert [len(line["faces"]) for line in called.lines] == [9, 2]  # type: ignore[arg-type]
    assert sorted(sizes(run, index).values()) == [2, 9]


def test_a_group_is_divided_by_how_alike_its_faces_are(index: Path, run: Run) -> None:
    before = {frozenset(face["face"] for face in line["faces"]) for line in run("group", "show", index, "--json").lines}  # type: ignore[attr-defined]
    run("group", "merge", index, "3", "1", "2")
    assert run("group", "split", index, "3", "--into", "3").status == 0
    after = {frozenset(face["face"] for face in line["faces"]) for line in run("group", "show", index, "--json").lines}  # type: ignore[attr-defined]
    assert after == before


def test_a_group_with_a_name_stays_as_it_is(index: Path, photos: Path, painted: list[str], run: Run) -> None:
    assert run("group", "merge", index, "2", "3").status == 0
    assert run("group", "name", index, "2", " Ada  Lovelace ").out == "2: Ada Lovelace, 5 faces\n"
    again = run("group", index, "--threshold", "0.999", "--json", *painted)
    assert sorted((line["name"] or "", len(line["faces"])) for line in again.lines) == [("", 6), ("Ada Lovelace", 5)]  # type: ignore[arg-type]
    clash = next(line["group"] for line in again.lines if not line["name"])
    taken = run("group", "name", index, clash, "Ada Lovelace")
    assert (taken.status, "has the name 'Ada Lovelace' already; merge the two" in taken.err) == (1, True)


def test_groups_are_enrolled_and_then_identified(
    tmp_path: Path, index: Path, photos: Path, painted: list[str], run: Run
) -> None:
    gallery = tmp_path / "g"
    assert "no group has a name" in run("group", "enroll", index, "--gallery", gallery).err
    run("group", "name", index, "2", "Bob")
    assert run("group", "enroll", index, "--gallery", gallery, "--json").lines == [{"name": "Bob", "enrolled": 3}]
    assert run("group", "enroll", index, "--gallery", gallery, "--unnamed", "--json").lines == [
        {"name": "person 1", "enrolled": 6},
        {"name": "Bob", "enrolled": 0},
        {"name": "person 3", "enrolled": 2},
    ]
    with Gallery.open(gallery) as held:
        assert [person.name for person in held.people()] == ["Bob", "person 1", "person 3"]
        assert held.person("Bob").sources == tuple(str(photos / f"{n}.png") for n in (1, 2, 6))
    words = ("--gallery", gallery, "--threshold", "0.999", "--json", *painted)
    names = [line["label"] for line in run("identify", photos / "6.png", *words).lines]
    assert names == ["Bob", None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["merge", "1", "9"], "there is no group 9; see 'facereg group show'"),
        (["split", "2", "--face", "1"], "group 2 has no face 1"),
        (["split", "3", "--into", "3"], "group 3: expected 2 to 2 parts, got 3"),
        (["name", "9", "Ada"], "there is no group 9"),
        (["name", "1", ""], "expected a value for each argument"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(index: Path, run: Run, words: list[str], said: str) -> None:
    before = sizes(run, index)
    called = run("group", words[0], index, *words[1:])
    assert called.status in (1, 2)
    assert said in called.error
    assert sizes(run, index) == before


def test_a_damaged_name_is_one_line(index: Path, run: Run) -> None:
    with closing(sqlite3.connect(index, isolation_level=None)) as other:
        other.execute("UPDATE people SET name = x'00ff'")
    called = run("group", "show", index, "--json")
    assert (called.status, called.error) == (
        1,
        f"facereg: {index}: is damaged; index the collection again into another file",
    )


def test_an_index_that_may_not_be_written_is_shown_and_enrolled(index: Path, run: Run, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        held = shutil.copy(index, disk)
        with filled(disk):
            assert len(run("group", "show", held, "--json").lines) == 3
            assert len(run("group", "enroll", held, "--unnamed", "--gallery", tmp_path / "g", "--json").lines) == 3


def test_a_picture_that_is_gone_is_a_grey_square(tmp_path: Path, index: Path, photos: Path, run: Run) -> None:
    (photos / "3.png").unlink()
    called = run("group", "show", index, "--sheets", tmp_path / "people")
    assert called.status == 0
    assert "3.png" in called.err
    assert len(list((tmp_path / "people").iterdir())) == 3


def test_an_empty_collection_has_no_groups(tmp_path: Path, painted: list[str], run: Run) -> None:
    Index.open(tmp_path / "none.index", space="painted-colours:1", create=True).close()
    called = run("group", tmp_path / "none.index", "--threshold", "0.5", "--json", *painted)
    assert (called.status, called.out) == (0, "")


def test_without_a_threshold_or_a_calibration_nothing_is_grouped(index: Path, painted: list[str], run: Run) -> None:
    called = run("group", index, *painted)
    assert (called.status, "no threshold is known for" in called.error) == (1, True)
    with pytest.raises(ContractError, match="expected one, or a calibration, for agglomerative, got neither"):
        Grouping()


def test_the_threshold_is_where_so_many_pairs_are_of_one_person() -> None:
    # strangers' similarities are normal, of deviation 0.1: 800 directions of 100 numbers; each comes twice
    rng = np.random.default_rng(1)
    people = rng.normal(size=(800, 100))
    faces = np.repeat(people / np.linalg.norm(people, axis=1, keepdims=True), 2, 0).astype(np.float32)
    calibration = Calibration({0.01: norm.isf(0.01) / 10, 0.001: norm.isf(0.001) / 10}, "by hand")
    # 1600 faces have 1,279,200 pairs, 800 of one person: half are by chance where 800 of them are, at a rate of 6.25e-4
    made = balanced_threshold(faces, calibration, share=0.5)
    assert made == pytest.approx(norm.isf(800 / 1_279_200) / 10, abs=0.02)
    assert balanced_threshold(faces, calibration, share=0.2) < made
    few = balanced_threshold(np.repeat(faces[:40], 10, 0), calibration, share=0.5)
    assert few < made  # more pictures of each: a lower threshold
