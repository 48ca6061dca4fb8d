"""What a matcher holds, kept beside the gallery: the same answers, and never somebody else's or somebody removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facereg.builtin import indexed
from facereg.builtin.exact import ExactMatcher
from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, following, keeping, restore_gallery, rotate_key, rows
from facereg.testing.pictures import vectors
from facereg.types import Embeddings, Matches

DIM, PEOPLE = 16, 50
PROBES = vectors(40, DIM, "a", seed=77)


def source(number: int) -> Source:
    return Source(f"{number}.jpg", f"{number:064x}")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExactMatcher, "kept_from", 1)
    monkeypatch.setattr(indexed, "FRESH", 20)  # so that there are people in the index and beside it
    monkeypatch.setattr(following, "BATCH", 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "team.gallery"
    with Gallery.open(path, space="a", create=True) as gallery:
        for person in range(PEOPLE):
            given = vectors(1 + person % 3, DIM, "a", seed=person)
            gallery.enroll(f"Person-{person:02}", given, [source(10 * person + row) for row in range(len(given))])
    return path


def kept_beside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.index"))


def asked(path: Path, *, key: bytes | None = None, said: list[str] | None = None, templates: bool = True) -> Matches:
    """Return what a new matcher, filled from the gallery, answers."""
    notice = (list[str]() if said is None else said).append
    with Gallery.open(path, key=key) as gallery, ExactMatcher(threshold=0.5, templates=templates) as matcher:
        gallery.fill(matcher, notice=notice)
        return matcher.match(PROBES, k=4)


def anew(path: Path, *, templates: bool = True) -> Matches:
    """Return what a matcher answers that was given everybody by hand."""
    with Gallery.open(path) as gallery, ExactMatcher(threshold=0.5, templates=templates) as matcher:
        matcher.add(*gallery.embeddings())
        return matcher.match(PROBES, k=4)


def require_same(got: Matches, expected: Matches) -> None:
    assert got.labels == expected.labels
    assert got.similarities == pytest.approx(expected.similarities, abs=1e-6)  # sums in another order


@pytest.mark.parametrize("templates", [True, False])
def test_what_was_kept_answers_as_the_gallery(path: Path, templates: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, said = anew(path, templates=templates), list[str]()
    require_same(asked(path, templates=templates, said=said), expected)
    [file] = kept_beside(path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setattr(following.Following, "take_up", lambda *given: pytest.fail("the gallery was read again"))
    require_same(asked(path, templates=templates, said=said), expected)
    assert said == []


def test_who_came_since_is_added_to_what_was_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(path)
    before = kept_beside(path)[0].read_bytes()
    with Gallery.open(path, space="a") as gallery:
        gallery.enroll("Ada", PROBES[:1], [source(5000)])
        gallery.enroll("Person-03", PROBES[1:2], [source(5001)])
    read: list[str] = []
    real = rows.read_rows

    def read_rows(*given: Any) -> Iterator[rows.Row]:
        for row in real(*given):
            read.append(row.name)
            yield row

    monkeypatch.setattr(following, "read_rows", read_rows)
    said: list[str] = []
    got = asked(path, said=said)
    assert got.labels[0][0] == "Ada"
    require_same(got, anew(path))
    assert (sorted(set(read)), said) == (["Ada", "Person-03"], [])
    assert kept_beside(path)[0].read_bytes() != before
    monkeypatch.setattr(following.Following, "take_up", lambda *given: pytest.fail("the gallery was read again"))
    require_same(asked(path), got)


@pytest.mark.parametrize("how", ["remove", "rename", "restore"])
def test_who_was_removed_is_in_no_file_beside_it(path: Path, how: str, tmp_path: Path) -> None:
    if how == "restore":
        with Gallery.open(tmp_path / "other.gallery", space="a", create=True) as other:
            other.enroll("Bob", vectors(1, DIM, "a", seed=900), [source(1)])
    for templates in (True, False):
        asked(path, templates=templates)
    assert len(kept_beside(path)) == 2
    assert all(b"Person-17" in file.read_bytes() for file in kept_beside(path))
    with Gallery.open(path, space="a") as gallery, ExactMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        if how == "remove":
            gallery.remove("Person-17")
        elif how == "rename":
            gallery.rename("Person-17", "Ada")
        else:
            restore_gallery(tmp_path / "other.gallery", path)
            with pytest.raises(GalleryError, match="another gallery"):
                matcher.match(PROBES)
        if how != "restore":
            assert "Person-17" not in {name for names in matcher.match(PROBES, k=PEOPLE).labels for name in names}
        assert kept_beside(path) == []
    require_same(asked(path), anew(path))
    assert not any(b"Person-17" in file.read_bytes() for file in tmp_path.iterdir())


def test_nothing_is_kept_of_who_was_removed_while_it_was_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = keeping.write_kept

    def write(*given: object) -> None:
        with Gallery.open(path, space="a") as gallery:
            gallery.remove("Person-17")
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(following, "write_kept", write)
    asked(path)
    assert kept_beside(path) == []


def test_an_old_file_of_somebody_removed_since_leaves_nothing_of_them(path: Path) -> None:
    asked(path)
    [file] = kept_beside(path)
    old = file.read_bytes()
    with Gallery.open(path, space="a") as gallery:
        gallery.remove("Person-17")
    file.write_bytes(old)  # as a backup would bring it back
    require_same(asked(path), anew(path))
    assert b"Person-17" not in file.read_bytes()


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _altered(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def _of_another_state(content: bytes) -> bytes:
    at = content.rindex(b'"state"') + 12
    return content[:at] + (b"0" if content[at : at + 1] != b"0" else b"1") + content[at + 1 :]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_cut, "was cut off, or is no file of a matcher"),
        (lambda content: b"", "was cut off, or is no file of a matcher"),
        (lambda content: content[-60:], "was cut off, or is no file of a matcher"),
        (_altered, "was altered"),
        (_of_another_state, "was altered, or sealed with another key"),
    ],
    ids=["cut off", "empty", "foot alone", "array altered", "stamp altered"],
)
def test_a_damaged_file_is_said_and_made_anew(path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    asked(path)
    [file] = kept_beside(path)
    sound = file.read_bytes()
    file.write_bytes(change(sound))
    said: list[str] = []
    require_same(asked(path, said=said), anew(path))
    assert said == [f"{file}: {reason}; it is made anew"]
    require_same(asked(path, said=said), anew(path))
    assert len(said) == 1


def test_the_file_of_another_gallery_is_made_anew(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gallery"
    with Gallery.open(other, space="a", create=True) as gallery:
        gallery.enroll("Mallory", PROBES[:1], [source(1)])
    asked(other)
    [file] = kept_beside(other)
    mine = file.with_name(file.name.replace("other", "team"))
    mine.write_bytes(file.read_bytes())
    said: list[str] = []
    require_same(asked(path, said=said), anew(path))
    assert said == [f"{mine}: belongs to another gallery; it is made anew"]


def test_beside_an_encrypted_gallery_nothing_is_kept(path: Path) -> None:
    asked(path)
    assert kept_beside(path)
    key = b"sixteen bytes or more"
    rotate_key(path, old_key=None, key=key)
    assert kept_beside(path) == []
    assert len(asked(path, key=key)) == len(PROBES)
    assert kept_beside(path) == []


def test_people_taken_away_by_another_program_are_found_out(path: Path) -> None:
    import sqlite3

    asked(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM embeddings WHERE id = 3")
    with pytest.raises(GalleryError, match="added or taken away by another program"):
        asked(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_keeps_nothing(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        require_same(asked(path), anew(path))
        assert kept_beside(path) == []
    finally:
        path.parent.chmod(0o700)


def test_a_file_of_another_version_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(path)
    real, failures = ExactMatcher._load, [KeyError("index.codes")]

    def load(matcher: ExactMatcher, arrays: Any) -> int:
        if failures:
            raise failures.pop()
        return real(matcher, arrays)

    monkeypatch.setattr(ExactMatcher, "_load", load)
    said: list[str] = []
    require_same(asked(path, said=said), anew(path))
    [line] = said
    assert "cannot be taken up (matcher 'ExactMatcher' failed: KeyError: 'index.codes'); it is made anew" in line


@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_what_somebody_put_in_the_files_place_is_not_written_through(path: Path, what: str) -> None:
    asked(path)
    [file], victim = kept_beside(path), path.parent / "victim"
    file.unlink()
    victim.write_text("precious")
    if what == "pipe":
        os.mkfifo(file)
    elif what == "link":
        file.symlink_to(victim)
    else:
        file.mkdir()
    require_same(asked(path), anew(path))
    assert victim.read_text() == "precious"
    assert file.is_dir() if what == "folder" else stat.S_ISREG(file.lstat().st_mode)
    with Gallery.open(path) as gallery:
        gallery.remove("Person-17")


def test_beside_a_name_that_leaves_no_room_for_an_ending_nothing_is_kept(path: Path) -> None:
    long = path.rename(path.with_name("x" * 230))
    require_same(asked(long), anew(long))
    assert kept_beside(long) == []


def test_a_full_disk_keeps_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(following, "write_kept", full)
    require_same(asked(path), anew(path))
    assert kept_beside(path) == []


def test_a_matcher_that_knows_somebody_already_keeps_them_to_itself(path: Path) -> None:
    with Gallery.open(path) as gallery, ExactMatcher(threshold=0.5) as matcher:
        matcher.add(["Stranger"], PROBES[:1])
        gallery.fill(matcher)
        assert matcher.match(PROBES[:1], k=1).labels == (("Stranger",),)
        assert len(matcher) == PEOPLE + 1
    assert kept_beside(path) == []


def test_few_are_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExactMatcher, "kept_from", 1000)
    asked(path)
    assert kept_beside(path) == []


def test_what_was_loaded_is_not_written_to(path: Path) -> None:
    asked(path)
    with Gallery.open(path) as gallery, ExactMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        matcher.remove("Person-01")
        matcher.add(["Person-02", "New"], PROBES[:2])
        assert len(matcher) == PEOPLE
        assert matcher.match(PROBES[1:2], k=1).labels == (("New",),)
    require_same(asked(path), anew(path))


def test_embeddings_of_another_space_are_refused_by_what_was_loaded(path: Path) -> None:
    from facereg.errors import SpaceMismatchError

    asked(path)
    with Gallery.open(path) as gallery, ExactMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher, follow=False)
        with pytest.raises(SpaceMismatchError):
            matcher.match(Embeddings(PROBES.vectors, "b"))
        with pytest.raises(SpaceMismatchError):
            matcher.match(Embeddings(np.eye(8, dtype=np.float32), "a"))
