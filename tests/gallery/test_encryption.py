"""Vectors at rest: with a key nobody without it reads them, from the file, its log or an export."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, rebuild_gallery, restore_gallery, rotate_key
from facereg.gallery.schema import VERSION, make_tables
from facereg.gallery.seals import SIZE, Sealer, added
from facereg.testing.pictures import vectors
from tests.calling import Run
from tests.gallery.conftest import Place

DIM = 16
KEY, OTHER = b"sixteen bytes or more", b"another of sixteen bytes"
SPACE = "a:1"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FACEREG_GALLERY_KEY")]:
        monkeypatch.delenv(name)


def source(number: int) -> Source:
    return Source(f"{number}.jpg", f"{number:064x}")


def make(path: Place, key: bytes | None) -> np.ndarray:
    held = vectors(6, DIM, SPACE)
    with Gallery.open(path, space=SPACE, create=True, key=key) as gallery:
        for row, name in enumerate(("Ada", "Bob", "Eve")):
            own = [source(2 * row), source(2 * row + 1)]
            gallery.enroll(name, held[slice(2 * row, 2 * row + 2)], own)
    return held.vectors


def shows(folder: Path, held: np.ndarray) -> bool:
    """Tell whether a vector, or half of one, stands in any file of a folder."""
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    return any(half.tobytes() in content for half in held.reshape(-1, DIM // 2))


def read(path: Place, key: bytes | None) -> list[list[float]]:
    with Gallery.open(path, space=SPACE, key=key) as gallery:
        assert gallery.check() == []
        found: list[list[float]] = gallery.embeddings()[1].vectors.tolist()
    return found


def test_with_a_key_no_vector_stands_in_the_file_or_its_log(tmp_path: Path) -> None:
    path = tmp_path / "g"
    held = make(path, KEY)
    with Gallery.open(path, space=SPACE, key=KEY) as gallery:
        gallery.rename("Ada", "Anna")
        assert len(list(tmp_path.iterdir())) == 3  # the log among them
        assert not shows(tmp_path, held)
    assert read(path, KEY) == held.tolist()
    assert read(tmp_path / "g", KEY) == held.tolist()


def test_an_export_of_it_is_encrypted_too_and_opens_with_the_key_alone(tmp_path: Path) -> None:
    held = make(tmp_path / "g", KEY)
    (tmp_path / "out").mkdir()
    export = tmp_path / "out" / "e.npz"
    with Gallery.open(tmp_path / "g", key=KEY) as gallery:
        gallery.export(export)
    with np.load(export) as archive:
        assert archive["vectors"].dtype == np.uint8
        assert not any(row.tobytes() in archive["vectors"].tobytes() for row in held)
    for key, words in ((OTHER, "got one made with another key"), (None, "got one made with a key")):
        with (
            Gallery.open(tmp_path / f"to {key!r}", space=SPACE, create=True, key=key) as gallery,
            pytest.raises(GalleryError, match=words),
        ):
            gallery.import_(export)
    with Gallery.open(tmp_path / "same", space=SPACE, create=True, key=KEY) as gallery:
        assert gallery.import_(export) == 6
    assert read(tmp_path / "same", KEY) == held.tolist()


def test_a_vector_that_is_put_in_anothers_place_does_not_open(tmp_path: Path) -> None:
    make(tmp_path / "g", KEY)
    with closing(sqlite3.connect(tmp_path / "g")) as connection:
        connection.execute("UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 3) WHERE id = 1")
        connection.commit()
    with Gallery.open(tmp_path / "g", key=KEY) as gallery:
        assert gallery.check() == ["'Ada', 0.jpg: its bytes were altered; remove the person and enrol again"]
    with pytest.raises(GalleryError, match="holds damaged embeddings, the first of 'Ada'"):
        rotate_key(tmp_path / "g", old_key=KEY, key=OTHER)
    assert rebuild_gallery(tmp_path / "g", tmp_path / "new", old_key=KEY, key=KEY).embeddings == 5


@pytest.mark.parametrize(
    ("old", "new"), [(None, KEY), (KEY, OTHER), (KEY, None)], ids=["its first", "another", "none any more"]
)
def test_a_gallery_gets_another_key_where_it_lies(tmp_path: Path, old: bytes | None, new: bytes | None) -> None:
    path = tmp_path / "g"
    held = make(path, old)
    assert shows(tmp_path, held) == (old is None)
    assert rotate_key(path, old_key=old, key=new) == 6
    assert shows(tmp_path, held) == (new is None)  # what was overwritten is gone too
    assert read(path, new) == held.tolist()
    with pytest.raises(GalleryError, match="key"):
        Gallery.open(path, key=old)


def test_a_backup_without_a_key_takes_no_encrypted_gallerys_place(place: Place, tmp_path: Path) -> None:
    for at, key in ((place, KEY), (tmp_path / "plain", None)):
        make(at, key)
    with Gallery.open(tmp_path / "plain") as gallery:
        gallery.export(tmp_path / "plain.npz")
    for backup in ("plain", "plain.npz"):
        with pytest.raises(GalleryError, match="is encrypted with a key, and what is to take its place would not be"):
            restore_gallery(tmp_path / backup, place)
    assert read(place, KEY)
    assert restore_gallery(tmp_path / "plain.npz", place, key=KEY, unsealed=True) == 3
    assert read(place, KEY)


def test_whoever_has_it_open_is_told_that_it_has_another_key(tmp_path: Path) -> None:
    make(tmp_path / "g", KEY)
    with Gallery.open(tmp_path / "g", key=KEY) as reader:
        rotate_key(tmp_path / "g", old_key=KEY, key=OTHER)
        for call in (
            *(reader.people, reader.embeddings, reader.audit, reader.check),
            *(lambda: reader.remove("Ada"), lambda: len(reader)),
        ):
            with pytest.raises(GalleryError, match="expected the key that it is sealed and encrypted with, got anoth"):
                call()


def test_each_wrong_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    make(tmp_path / "keyed", KEY)
    make(tmp_path / "plain", None)
    (tmp_path / "old.key").write_bytes(OTHER)
    listed = ["gallery", "list", "--gallery"]
    lost = run(*listed, tmp_path / "keyed")
    assert (lost.status, lost.out) == (1, "")
    assert "keyed: is sealed and encrypted with a key, got none; name its file in FACEREG_GALL" in lost.error
    monkeypatch.setenv("FACEREG_GALLERY_KEY", OTHER.decode())
    wrong = run(*listed, tmp_path / "keyed")
    assert "expected the key that it is sealed and encrypted with, got another; give that one" in wrong.error
    needless = run(*listed, tmp_path / "plain")
    assert "a key was given, and it is sealed and encrypted with none" in needless.error
    rotate = ["gallery", "rotate", "--gallery", tmp_path / "keyed"]
    assert run(*rotate).status == 2
    assert "got another; give that one" in run(*rotate, "--old-key-file", tmp_path / "old.key").error
    assert "got none; name its file" in run(*rotate, "--unkeyed").error
    (tmp_path / "old.key").write_bytes(KEY)
    assert run(*rotate, "--old-key-file", tmp_path / "old.key", "--json").document == {"embeddings": 6}
    assert run(*listed, tmp_path / "keyed").status == 0


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_a_gallery_of_before_is_read_as_it_is_and_encrypted_by_the_first_change(
    tmp_path: Path, key: bytes | None
) -> None:
    path, sealer = tmp_path / "g", Sealer(key)
    held = vectors(2, DIM, SPACE).vectors
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        make_tables(connection, 2)
        connection.execute("INSERT INTO people VALUES (7, 'Ada', 'then')")
        total = bytes(SIZE)
        for number, vector in enumerate(held, 1):
            cells = (7, "Ada", "then", number, vector.tobytes(), "x.jpg", f"{number:064x}", "then")
            seal = sealer.seal("embedding", "id", SPACE, *cells)
            total = added(total, seal)
            connection.execute(
                "INSERT INTO embeddings VALUES (?, 7, ?, 'x.jpg', ?, 'then', ?)", (number, cells[4], cells[6], seal)
            )
        state = ("id", SPACE, "then", DIM, sealer.fingerprint, 1, 1, 2, total)
        row = (*state, sealer.seal("gallery", *state))
        connection.execute(f"INSERT INTO gallery VALUES ({', '.join('?' * 10)})", row)
    before = path.read_bytes()
    assert read(path, key) == held.tolist()
    assert path.read_bytes() == before
    with pytest.raises(GalleryError, match="key"):
        Gallery.open(path, key=OTHER)
    with Gallery.open(path, space=SPACE, key=key) as gallery:
        gallery.enroll("Bob", vectors(1, DIM, SPACE, seed=3), [source(3)])
        assert [line.action for line in gallery.audit()[0]] == ["migrate", "enroll"]
    assert read(path, key)[:2] == held.tolist()
    assert shows(tmp_path, held) == (key is None)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
