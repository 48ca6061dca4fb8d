"""A gallery in a file: who makes it, who may write it, and what is no gallery."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from facereg.errors import GalleryError
from facereg.gallery import Gallery
from facereg.gallery import files as files_module
from facereg.testing.pictures import vectors
from tests.gallery.test_store import DIM, Watched, sources
from tests.rights import folder_with


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "team.gallery"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with Gallery.open(path, space="a", create=True) as held:
        yield held


def test_a_file_that_another_program_has_just_begun_is_made_and_not_refused(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as maker:
        maker.execute("PRAGMA journal_mode = WAL")  # writes the first page, before any table
        assert path.stat().st_size
        with pytest.raises(GalleryError, match="is empty, no gallery yet; enrol or import into it"):
            Gallery.open(path)
        with Gallery.open(path, space="a", create=True) as held:
            assert held.people() == []


def test_who_opens_a_file_that_another_is_making_waits(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as maker:
        maker.execute("BEGIN IMMEDIATE")
        done = Timer(0.2, maker.execute, ["ROLLBACK"])
        done.start()
        with Gallery.open(path, space="a", create=True) as held:
            assert held.people() == []
        done.join()


def test_a_writer_that_waits_in_vain_says_so(path: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "WAIT_S", 0.05)
    messages: list[str] = []

    def write_too() -> None:
        with Gallery.open(path, space="a") as other, pytest.raises(GalleryError) as caught:
            other.enroll("Eve", vectors(1, DIM, "a"), sources(1))
        messages.append(str(caught.value))

    gallery.enroll("Bob", vectors(2, DIM, "a"), Watched(sources(2), write_too))
    [message] = messages
    assert "another program has been writing" in message
    assert [person.name for person in gallery.people()] == ["Bob"]


def no_database(path: Path) -> None:
    path.write_text("a shopping list, longer than the 100 bytes of SQLite's header " * 3)


def other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (name)")
    connection.close()


def newer_gallery(path: Path) -> None:
    Gallery.open(path, space="a", create=True).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_database, "no gallery but another kind of file; check the path"),
        (other_database, "no gallery but another SQLite database; check the path"),
        (newer_gallery, "expected gallery version 3, got 99; upgrade facereg"),
        (Path.mkdir, "cannot be opened; check"),
    ],
    ids=["text", "database", "newer", "folder"],
)
@pytest.mark.parametrize("space", [None, "a"], ids=["to look at", "to write"])
def test_what_is_no_gallery_is_refused_and_left_alone(make: object, words: str, path: Path, space: str | None) -> None:
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(GalleryError, match=words) as caught:
        Gallery.open(path, space=space, create=space is not None)
    assert str(path) in str(caught.value)
    assert path.is_dir() or path.read_bytes() == before


def test_a_folder_that_may_not_be_written_is_named() -> None:
    with folder_with(0o555) as folder, pytest.raises(GalleryError, match="x.gallery: .*may be written"):
        Gallery.open(folder / "x.gallery", space="a", create=True)


def test_a_folder_that_may_not_be_entered_is_named() -> None:
    with folder_with(0) as folder, pytest.raises(GalleryError, match="x.gallery: cannot be reached.*rights"):
        Gallery.open(folder / "x.gallery")


def test_a_gallery_that_may_not_be_written_can_be_read() -> None:
    with folder_with(0o755) as folder:
        path = folder / "x.gallery"
        with Gallery.open(path, space="a", create=True) as held:
            held.enroll("Ada", vectors(1, DIM, "a"), sources(1))
        path.chmod(0o444)
        with Gallery.open(path, space="a") as held:
            assert len(held) == 1
            with pytest.raises(GalleryError, match="may not be written; change its rights; nothing was changed"):
                held.enroll("Bob", vectors(1, DIM, "a"), sources(1))


def test_an_export_into_a_folder_without_rights_is_named(gallery: Gallery) -> None:
    with folder_with(0o555) as folder, pytest.raises(GalleryError, match="x.npz: cannot be written.*rights"):
        gallery.export(folder / "x.npz")
