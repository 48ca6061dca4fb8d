"""Galleries that earlier versions made: read as they are, migrated by the first change, damage still named."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import GalleryError
from facereg.gallery import Gallery, Person, Source, rebuild_gallery
from facereg.gallery.schema import VERSION, make_tables
from facereg.testing.pictures import vectors

DIM = 16
NFD, NFC = "Zoe\u0308", "Zo\u00eb"  # one name, typed on a Mac and elsewhere


def crc(*cells: object) -> int:
    return zlib.crc32(repr(cells).encode("utf-8", "backslashreplace"))


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A gallery as version 1 wrote it, with its secrets of who was removed in free pages."""
    path = tmp_path / "old.gallery"
    with database(path) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        make_tables(connection, 1)
        connection.execute("INSERT INTO gallery VALUES ('a', 'then', ?)", (crc("a", "then"),))
        for number, name in enumerate(("Ada", NFD, NFC, "Gone")):
            connection.execute("INSERT INTO people VALUES (?, ?, 'then', ?)", (number + 1, name, crc(name, "then")))
            for n, vector in enumerate(vectors(3, DIM, "a", seed=number).vectors):
                # the two spellings have a picture in common
                cells = (vector.tobytes(), f"{number}{n}.jpg", f"{(10 * number + n) % 20 or 12:064x}", "then")
                connection.execute(
                    "INSERT INTO embeddings (person, vector, source, sha256, created, crc32) VALUES (?, ?, ?, ?, ?, ?)",
                    (number + 1, *cells, crc(*cells)),
                )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM people WHERE name = 'Gone'")
    return path


def everybody(path: Path) -> tuple[list[Person], list[list[float]], str]:
    with Gallery.open(path, space="a") as gallery:
        assert gallery.check() == []
        return gallery.people(), gallery.embeddings()[1].vectors.tolist(), gallery.id


def version(path: Path) -> int:
    with database(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_an_old_gallery_is_read_and_left_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    people, held, _ = everybody(old)
    assert [(person.name, person.created) for person in people] == [("Ada", "then"), (NFC, "then")]
    assert [person.embeddings for person in people] == [3, 5]  # people of one spelling are one, the picture comes once
    assert held[:3] == vectors(3, DIM, "a", seed=0).vectors.tolist()
    assert old.read_bytes() == before
    assert os.listdir(old.parent) == [old.name]


def test_the_first_change_migrates_it(old: Path) -> None:
    people, held, identity = everybody(old)
    with Gallery.open(old, space="a") as gallery, Gallery.open(old, space="a") as reader:
        assert reader.people() == people
        gallery.enroll("Bob", vectors(1, DIM, "a", seed=9), [Source("bob.jpg", "b" * 64)])
        assert [person.name for person in reader.people()] == ["Ada", "Bob", NFC]
    assert version(old) == VERSION
    with Gallery.open(old, space="a") as gallery:
        assert gallery.id == identity
        assert gallery.remove("Bob") == 1
    assert everybody(old) == (people, held, identity)
    assert b"Gone" not in old.read_bytes()  # what version 1 left in free pages
    assert vectors(3, DIM, "a", seed=3).vectors[0].tobytes() not in old.read_bytes()


def test_damage_of_before_is_still_named_and_mended_as_before(old: Path) -> None:
    with database(old) as connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(64) WHERE person = 1 AND source = '01.jpg'")
    line = "'Ada', 01.jpg: its bytes were altered; remove the person and enrol again"
    with Gallery.open(old, space="a") as gallery:
        assert gallery.check() == [line]
        with pytest.raises(GalleryError, match="holds damaged embeddings, the first of 'Ada'"):
            gallery.people()
        gallery.remove(NFC)  # another change migrates the file
        assert gallery.check() == [line]
        gallery.remove("Ada")
        assert gallery.check() == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE people SET name = 'Eve' WHERE id = 1", "'Eve', 00.jpg: its bytes were altered"),
        ("UPDATE gallery SET space = 'b'", "is damaged; restore an export or a copy"),
        ("DELETE FROM gallery", "is damaged; restore an export or a copy"),
        ("DELETE FROM people WHERE id = 1", "embeddings: 5 are there, 8 were enrolled"),
        ("UPDATE embeddings SET vector = 'text' WHERE id = 1", "'Ada', 00.jpg: its bytes were altered"),
        ("CREATE TRIGGER t AFTER INSERT ON people BEGIN DELETE FROM people; END", "its tables are not a gallery's"),
        ("ALTER TABLE people ADD COLUMN more", "its tables are not a gallery's (table 'people')"),
    ],
)
def test_what_other_programs_did_to_it_is_found(old: Path, statement: str, words: str) -> None:
    with database(old) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement)
    try:
        with Gallery.open(old) as gallery:
            found = gallery.check()
    except GalleryError as error:
        found = [str(error)]
    assert words in found[0]


def test_an_old_gallery_in_place_of_a_sealed_one_is_refused(old: Path, tmp_path: Path) -> None:
    key = b"sixteen bytes or more"
    with pytest.raises(GalleryError, match="a key was given, and it is sealed and encrypted with none"):
        Gallery.open(old, key=key)
    assert rebuild_gallery(old, tmp_path / "new", key=key).embeddings == 8
    with Gallery.open(tmp_path / "new", key=key) as gallery:
        assert [person.name for person in gallery.people()] == ["Ada", NFC]
        assert np.array_equal(gallery.embeddings()[1].vectors[:3], vectors(3, DIM, "a", seed=0).vectors)
