"""What somebody changes in a gallery's file, with or without its key: found by all that read, never another answer."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.errors import FaceregError, GalleryError
from facereg.gallery import Gallery, Source
from facereg.gallery.rows import State, read_rows
from facereg.gallery.seals import KEY, KEY_COMMAND, KEY_FILE, Sealer, as_bytes, key_from_environment
from facereg.testing.pictures import vectors

SPACE = "model:0123456789ab"
DIM = 16
PEOPLE = ("Ada", "Bob", "Eve", "Zoë")
SECRET = b"sixteen bytes or more"
COLUMNS = {
    "gallery": tuple(State.__slots__),
    "people": ("id", "name", "created"),
    "embeddings": ("id", "person", "vector", "source", "sha256", "created", "seal"),
    "audit": ("number", "at", "actor", "action", "person", "embeddings", "seal"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "team.gallery"
    make(path)
    return path


def make(path: Path, *, seed: int = 0, key: bytes | None = None) -> None:
    with Gallery.open(path, space=SPACE, create=True, key=key) as gallery:
        for number, name in enumerate(PEOPLE):
            own = [Source(f"{name}{n}.jpg", f"{10 * number + n + 1:064x}") for n in range(3)]
            gallery.enroll(name, vectors(3, DIM, SPACE, seed=seed + number), own)


@pytest.fixture
def sound(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "team.gallery"
    shutil.copy(made, path)
    return path


def answers(path: Path, key: bytes | None = None) -> tuple[object, ...]:
    """Return everything that a gallery tells: who is named, with what similarity, who is known, from what."""
    with Gallery.open(path, space=SPACE, key=key) as gallery, ExactMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher, follow=False)
        matches = matcher.match(vectors(12, DIM, SPACE, seed=1))
        found = [(match.label, match.similarity, match.candidates) for match in matches]
        return found, gallery.people(), gallery.embeddings()[1].vectors.tolist(), gallery.pictures(), len(gallery)


def verdict(path: Path, key: bytes | None = None) -> list[str]:
    try:
        with Gallery.open(path, key=key) as gallery:
            return gallery.check()
    except GalleryError as error:
        return [str(error)]


def is_said_or_the_same(path: Path, expected: object) -> bool:
    """Tell whether reading ends with one line of error, or gives what it gave before; checking says the same."""
    said = ""
    try:
        found = answers(path)
    except FaceregError as error:
        said = str(error)
    assert "\n" not in said
    assert not said or verdict(path), f"reading says '{said}', checking nothing"
    return bool(said) or found == expected


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def one_cell(rng: np.random.Generator, path: Path) -> str:
    """Change a cell: to another row's, to a changed one of its own, or to a value of another kind."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        table = str(rng.choice(list(COLUMNS)))
        column = str(rng.choice(COLUMNS[table]))
        cells = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        row, value = cells[rng.integers(len(cells))]
        other = cells[rng.integers(len(cells))][1]
        new = [other, altered(value, rng), 0, "", b"", None, 1 << 40, "Ada", -1.5][min(int(rng.integers(12)), 8)]
        if rng.random() < 0.5:
            new = altered(value, rng)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))
        except sqlite3.IntegrityError:
            return ""
        return f"{table}.{column} of row {row}: {value!r} to {new!r}"


def altered(value: object, rng: np.random.Generator) -> object:
    if isinstance(value, bytes):
        place = int(rng.integers(len(value)))
        return value[:place] + bytes([value[place] ^ 1 << int(rng.integers(8))]) + value[place + 1 :]
    if isinstance(value, str):
        place = int(rng.integers(len(value) + 1))
        return value[:place] + chr(int(rng.integers(32, 300))) + value[place + 1 :]
    assert isinstance(value, int)
    return value + int(rng.integers(-2, 3))


def test_a_cell_that_is_changed_never_gives_another_answer(sound: Path, tmp_path: Path) -> None:
    expected, rng, path = answers(sound), np.random.default_rng(0), tmp_path / "changed"
    before = sound.read_bytes()
    done = 0
    for _ in range(300):
        path.write_bytes(before)
        what = one_cell(rng, path)
        assert is_said_or_the_same(path, expected), what
        done += bool(what)
    assert done > 200  # some are refused by SQLite


def test_bytes_that_are_changed_never_give_another_answer(sound: Path, tmp_path: Path) -> None:
    expected, rng, path = answers(sound), np.random.default_rng(0), tmp_path / "changed"
    before = sound.read_bytes()
    for _ in range(300):
        content = bytearray(before)
        start = int(rng.integers(len(content)))
        length = int(rng.choice([1, 1, 1, 4, 40, 400]))
        kind = rng.integers(3)
        if kind == 0:
            content[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[start : start + length] = rng.bytes(len(content[start : start + length]))
        else:  # a piece over another
            source = int(rng.integers(len(content)))
            content[start : start + length] = content[source : source + length]
        path.write_bytes(content)
        assert is_said_or_the_same(path, expected), f"{kind} {start} {length}"


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE embeddings SET person = 2 WHERE id = 1",),
        ("UPDATE embeddings SET person = person % 4 + 1",),
        ("UPDATE people SET name = 'x' WHERE id = 1", "UPDATE people SET name = 'Ada' WHERE id = 2"),
        ("UPDATE people SET id = 9 WHERE id = 1", "UPDATE embeddings SET person = 9 WHERE person = 1"),
        ("UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 5) WHERE id = 1",),
        (
            "UPDATE embeddings SET (vector, seal, source) = (SELECT vector, seal, source FROM embeddings e "
            "WHERE e.id = 13 - embeddings.id)",
        ),
        ("DELETE FROM embeddings WHERE id = 3",),
        ("DELETE FROM embeddings WHERE person = 1", "DELETE FROM people WHERE id = 1"),
        ("DELETE FROM embeddings", "DELETE FROM people"),
        ("INSERT INTO embeddings SELECT 99, 2, vector, source, sha256, created, seal FROM embeddings WHERE id = 1",),
        ("INSERT INTO people VALUES (9, 'Mallory', 'now')",),
        ("UPDATE gallery SET space = 'model:ffffffffffff'",),
        ("UPDATE gallery SET embeddings = 11", "DELETE FROM embeddings WHERE id = 12"),
        ("INSERT INTO gallery SELECT * FROM gallery",),
        ("DELETE FROM gallery",),
        ("CREATE TRIGGER t AFTER INSERT ON embeddings BEGIN UPDATE people SET name = 'x'; END",),
        ("ALTER TABLE people RENAME TO p", "CREATE VIEW people AS SELECT id, 'Eve' || id AS name, created FROM p"),
        ("CREATE TABLE more (x)",),
        ("CREATE INDEX more ON embeddings (sha256)",),
    ],
    ids=lambda statements: statements[0][:50],
)
def test_rows_exchanged_added_or_taken_away_are_found(sound: Path, statements: tuple[str, ...]) -> None:
    change(sound, *statements)
    assert verdict(sound)
    with pytest.raises(GalleryError, match=r"team\.gallery: "):
        answers(sound)


def test_a_row_of_another_gallery_is_no_row_of_this_one(sound: Path, tmp_path: Path) -> None:
    """Both have the same key, and the row its right seal: it names its gallery."""
    make(tmp_path / "other", seed=50)
    change(
        sound,
        f"ATTACH '{tmp_path / 'other'}' AS other",
        "UPDATE embeddings SET (vector, seal) = (SELECT vector, seal FROM other.embeddings o WHERE o.id = 1) "
        "WHERE id = 1",
    )
    assert "'Ada', Ada0.jpg: its bytes were altered" in verdict(sound)[0]


@pytest.mark.parametrize("seal", ["'text'", "7", "1.5", "zeroblob(9)"])
def test_a_person_whose_seals_are_none_can_be_removed(sound: Path, seal: str) -> None:
    change(sound, f"UPDATE embeddings SET seal = {seal} WHERE person = 1")
    with Gallery.open(sound, space=SPACE) as gallery:
        assert gallery.remove("Ada") == 3
        assert "run gallery rebuild" in gallery.check()[0]


def test_an_enrolment_or_a_removal_hides_no_change(sound: Path) -> None:
    change(sound, "UPDATE people SET name = 'x' WHERE id = 1")
    with Gallery.open(sound, space=SPACE) as gallery:
        gallery.enroll("New", vectors(1, DIM, SPACE, seed=30), [Source("new.jpg", "f" * 64)])
        gallery.remove("Bob")
        with pytest.raises(GalleryError, match="damaged embeddings, the first of 'x'"):
            gallery.people()
        with pytest.raises(GalleryError, match="damaged embeddings, the first of 'x'"):
            gallery.rename("x", "Ada")  # a new seal would hide it


def forge(path: Path, sealer: Sealer) -> None:
    """Change a name as somebody who knows how seals are made."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE people SET name = 'Mallory' WHERE name = 'Ada'")
        state = State.read(connection)
        total = 0
        for row in list(read_rows(connection, state, sealer)):
            seal = row.sealed(sealer, state)
            connection.execute("UPDATE embeddings SET seal = ? WHERE id = ?", (seal, row.number))
            total += int.from_bytes(seal, "big")
        fields = {name: getattr(state, name) for name in State.__slots__}
        State(**fields | {"total": (total % (1 << 256)).to_bytes(32, "big")}).resealed(sealer).write(connection)


def test_a_forger_without_the_key_is_found_and_without_any_key_is_not(sound: Path, tmp_path: Path) -> None:
    forge(sound, Sealer())
    assert verdict(sound) == []  # as the documents say: without a key a seal is no protection against this
    keyed = tmp_path / "keyed.gallery"
    make(keyed, key=SECRET)
    forge(keyed, Sealer())
    assert "its bytes were altered" in verdict(keyed, SECRET)[0]
    with pytest.raises(GalleryError, match="altered"):
        answers(keyed, SECRET)


def test_a_gallery_opens_with_its_key_alone(sound: Path, tmp_path: Path) -> None:
    keyed = tmp_path / "keyed.gallery"
    make(keyed, key=SECRET)
    assert answers(keyed, SECRET)[0] == answers(sound)[0]
    with pytest.raises(GalleryError, match="keyed.gallery: is sealed and encrypted with a key, got none; name its fi"):
        answers(keyed)
    with pytest.raises(GalleryError, match="expected the key that it is sealed and encrypted with, got another"):
        answers(keyed, b"another of sixteen bytes")
    with pytest.raises(GalleryError, match="a key was given, and it is sealed and encrypted with none"):
        answers(sound, SECRET)  # somebody may have put it in place of a keyed one
    with pytest.raises(GalleryError, match="key: expected 16 to 4096 bytes, got 3; make one with"):
        Gallery.open(keyed, key=b"abc")


@pytest.fixture
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY, KEY_FILE, KEY_COMMAND):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_key")
def test_the_key_comes_from_a_variable_a_file_or_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_from_environment() is None
    (tmp_path / "key").write_bytes(SECRET + b"\r\n")
    for name, value in (
        (KEY, SECRET.decode()),
        (KEY_FILE, str(tmp_path / "key")),
        (KEY_COMMAND, f"cat '{tmp_path / 'key'}'"),
    ):
        with monkeypatch.context() as given:
            given.setenv(name, value)
            assert key_from_environment() == SECRET


@pytest.mark.usefixtures("_no_key")
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({KEY: ""}, f"{KEY}: expected a key of 16 to 4096 bytes, got 0"),
        ({KEY: "short"}, f"{KEY}: expected a key of 16 to 4096 bytes, got 5"),
        ({KEY_FILE: "/nowhere/key"}, "/nowhere/key: expected the key of a gallery, but the file is missing"),
        ({KEY_FILE: "/dev/zero"}, "/dev/zero: expected the key of a gallery, got a device"),
        ({KEY_COMMAND: "/nowhere/program"}, "the command cannot be run"),
        ({KEY_COMMAND: "'"}, "the command cannot be run"),
        ({KEY_COMMAND: ""}, "the command cannot be run"),
        ({KEY_COMMAND: "false"}, "the command ended with status 1"),
        ({KEY_COMMAND: "true"}, f"{KEY_COMMAND}: expected a key of 16 to 4096 bytes, got 0"),
        ({KEY: "a" * 20, KEY_FILE: "b"}, "expected one of FACEREG_GALLERY_KEY, FACEREG_GALLERY_KEY_FILE, got 2"),
    ],
)
def test_a_key_that_cannot_be_had_is_one_line_and_never_no_key(
    variables: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(GalleryError) as caught:
        Gallery.open(tmp_path / "new.gallery", space=SPACE, create=True)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new.gallery").exists()


def test_other_cells_give_other_bytes() -> None:
    cells: list[tuple[object, ...]] = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (b"abc",),
        ("", "abc"),
        (1,),
        ("1",),
        (None,),
    ]
    assert len({as_bytes(*own) for own in cells}) == len(cells)
