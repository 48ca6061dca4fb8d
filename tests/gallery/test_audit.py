"""The audit of a gallery: a line for each change, and no line that can go without being missed."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, rebuild_gallery, restore_gallery, rotate_key
from facereg.testing.pictures import vectors
from tests.calling import Run
from tests.gallery.conftest import Place

DIM = 16
KEY, OTHER = b"sixteen bytes or more", b"another of sixteen bytes"


def source(number: int) -> Source:
    return Source(f"{number}.jpg", f"{number:064x}")


@pytest.fixture(autouse=True)
def _porter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FACEREG_GALLERY_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FACEREG_ACTOR", "the  porter")


def change(place: Place) -> None:
    """Make a gallery and change it in every way."""
    with Gallery.open(place, space="a", create=True) as gallery:
        for number, name in enumerate(("Ada", "Bob", "Eve", "Zoë")):
            own = [source(10 * number + n) for n in range(2)]
            gallery.enroll(name, vectors(2, DIM, "a", seed=number), own)
        gallery.rename("Bob", "Robert")
        gallery.rename("Eve", "Ada", merge=True)
        gallery.remove("Zoë")
        gallery.enroll("Late", vectors(1, DIM, "a", seed=9), [source(90)])
        gallery.enroll("Ada", vectors(2, DIM, "a"), [source(0), source(1)])  # nothing new: no change


@pytest.fixture
def path(tmp_path: Path) -> Path:
    change(tmp_path / "team.gallery")
    return tmp_path / "team.gallery"


def lines(path: Place, key: bytes | None = None) -> list[tuple[str, int | None, str | None, int]]:
    with Gallery.open(path, key=key) as gallery:
        found, problem = gallery.audit()
        assert problem == ""
        assert gallery.check() == []
    return [(line.action, line.person, line.name, line.embeddings) for line in found]


EXPECTED = [
    ("enroll", 1, "Ada", 2),
    ("enroll", 2, "Robert", 2),
    ("enroll", 3, None, 2),
    ("enroll", 4, None, 2),
    ("rename", 2, "Robert", 2),
    ("remove", 3, None, 2),
    ("merge", 1, "Ada", 2),
    ("remove", 4, None, 2),
    ("enroll", 5, "Late", 1),  # a number is given once
]


def test_each_change_has_a_line(place: Place) -> None:
    change(place)
    assert lines(place) == EXPECTED
    with Gallery.open(place) as gallery:
        found, _ = gallery.audit()
    assert {line.actor for line in found} == {"the porter"}
    assert all(line.at.endswith("+00:00") for line in found)


def test_another_key_wherever_it_lies(place: Place) -> None:
    change(place)
    with Gallery.open(place) as gallery:
        held = gallery.embeddings()[1].vectors.tolist()
    for old, new in ((None, KEY), (KEY, OTHER), (OTHER, None)):
        assert rotate_key(place, old_key=old, key=new) == 7
        with Gallery.open(place, key=new) as gallery, ExactMatcher(threshold=0.5) as matcher:
            assert gallery.check() == []
            assert gallery.embeddings()[1].vectors.tolist() == held
            gallery.fill(matcher)
            assert len(matcher) == 3
            gallery.rename("Late", "Early")
            gallery.rename("Early", "Late")
        with pytest.raises(GalleryError, match="key"):
            Gallery.open(place, key=old)


def test_a_removed_person_leaves_no_name(path: Path) -> None:
    content = path.read_bytes()
    assert "Zoë".encode() not in content
    assert b"Eve" not in content
    assert b"Bob" not in content


def test_a_change_that_fails_leaves_no_line(path: Path) -> None:
    with Gallery.open(path, space="a") as gallery:
        with pytest.raises(GalleryError, match="expected vectors of 16 numbers"):
            gallery.enroll("New", vectors(1, 8, "a"), [source(99)])
        with pytest.raises(GalleryError, match="nobody named 'Nobody'"):
            gallery.remove("Nobody")
    assert lines(path) == EXPECTED


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM audit WHERE number = 4", "audit: line 4 is missing"),
        ("DELETE FROM audit WHERE number = 9", "audit: 8 lines are there, 9 were written"),
        ("DELETE FROM audit", "audit: 0 lines are there, 9 were written"),
        ("UPDATE audit SET actor = 'Mallory' WHERE number = 8", "audit: line 8 or the one before it was altered"),
        ("UPDATE audit SET person = 1 WHERE number = 4", "audit: line 4 or the one before it was altered"),
        (
            "INSERT INTO audit SELECT 10, at, actor, action, person, embeddings, seal FROM audit WHERE number = 9",
            "audit: line 10 or the one before it was altered",
        ),
    ],
)
def test_a_line_that_is_missing_or_altered_is_seen(path: Path, statement: str, words: str, run: Run) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    with Gallery.open(path) as gallery:
        assert [line.partition(";")[0].startswith(words) for line in gallery.check()] == [True]
    assert run("gallery", "check", "--gallery", path).status == 1
    called = run("gallery", "audit", "--gallery", path)
    assert called.status == 1
    assert words in called.error
    with pytest.raises(GalleryError, match=r"audit: "):
        rotate_key(path, old_key=None, key=KEY)


def test_the_chain_goes_on_under_another_key_and_through_copies(path: Path, tmp_path: Path) -> None:
    rotate_key(path, old_key=None, key=KEY)
    assert lines(path, KEY) == [*EXPECTED, ("rotate", None, None, 7)]
    restore_gallery(path, tmp_path / "copy", key=KEY)
    assert lines(tmp_path / "copy", KEY) == lines(path, KEY)
    rebuild_gallery(path, tmp_path / "new", old_key=KEY, key=KEY)  # another gallery, whose audit begins
    assert lines(tmp_path / "new", KEY) == [("rebuild", None, None, 7)]
    with Gallery.open(path, key=KEY) as gallery:
        gallery.export(tmp_path / "team.npz")
    with Gallery.open(tmp_path / "fresh", space="a", create=True, key=KEY) as gallery:
        gallery.import_(tmp_path / "team.npz")
    assert lines(tmp_path / "fresh", KEY) == [("import", None, None, 7)]


def test_the_command_says_who_did_what_and_when(path: Path, run: Run) -> None:
    called = run("gallery", "audit", "--gallery", path)
    assert called.status == 0
    assert len(called.out.splitlines()) == 9
    assert " the porter: rename Robert (person 2), 2 embeddings" in called.out
    assert " the porter: remove somebody removed since (person 4), 2 embeddings" in called.out
    first = run("gallery", "audit", "--gallery", path, "--json").lines[0]
    assert set(first) == {"number", "at", "actor", "action", "person", "name", "embeddings"}
