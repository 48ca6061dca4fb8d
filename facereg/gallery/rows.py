"""What a gallery's rows hold, and how each is sealed and read."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from facereg.disk.replacing import file_sha256
from facereg.errors import ContractError, GalleryError, ImageError
from facereg.gallery.seals import SIZE, Sealer, added

LONGEST_SOURCE = 4096  # characters: Linux's PATH_MAX


@dataclass(frozen=True, slots=True)
class Source:
    """Where an embedding came from: a name for people, and the sha256 of the picture file in hex.

    Raises:
        ContractError: if the sha256 is none, or the name is too long; a person has each picture only once.
    """

    name: str
    sha256: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ContractError(f"sha256: expected 64 hex digits, got {self.sha256[:80]!r}; use Source.of(path)")
        if len(self.name) > LONGEST_SOURCE or "\0" in self.name or _is_no_text(self.name):
            raise ContractError(f"source: expected text of at most {LONGEST_SOURCE} characters, got {self.name[:80]!a}")

    @classmethod
    def of(cls, path: Path) -> Source:
        """Return the source of a picture file.

        Raises:
            ImageError: if it cannot be read.
        """
        try:
            # a file name may hold bytes that are no text, a gallery may not
            return cls(str(path).encode("utf-8", "backslashreplace").decode(), file_sha256(path))
        except OSError as error:
            raise ImageError(path, f"cannot be read ({error.strerror}); check that it is still there") from error


def _is_no_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class Rows(Protocol):
    """What a statement gave: `sqlite3.Cursor`, or another store's."""

    @property
    def rowcount(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def fetchone(self) -> Any: ...
    def fetchmany(self, size: int, /) -> list[Any]: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """What runs statements: `sqlite3.Connection`, or another store's."""

    def execute(self, sql: str, parameters: tuple[Any, ...] = ..., /) -> Rows: ...


class Row(NamedTuple):
    """One embedding with its person; the store holds the vector encrypted where there is a key."""

    person: int
    name: str
    known_since: str
    number: int
    vector: bytes
    source: str
    sha256: str
    created: str
    seal: bytes

    def sealed(self, sealer: Sealer, gallery: State) -> bytes:
        """Return the seal that it should have in that gallery."""
        return sealer.seal("embedding", gallery.id, gallery.space, *self[:-1])

    def place(self, gallery: State) -> tuple[object, ...]:
        """Return what binds its encrypted vector to it: the gallery, the person and the number."""
        return ("embedding", gallery.id, self.person, self.number)

    def opened(self, sealer: Sealer, gallery: State) -> Row:
        """Return it with its vector as it is, once it was read as it is stored."""
        return self._replace(vector=sealer.decrypt(self.vector, *self.place(gallery)))


@dataclass(frozen=True, slots=True)
class State:
    """What a gallery says of itself: the one row of its table `gallery`.

    Args:
        id: made once; two galleries never share it.
        dim: numbers of each vector; 0 until there is one.
        key: fingerprint of the key that seals it; empty without one.
        revision: counts changes.
        people, embeddings: how many there are.
        total: the sum of the embeddings' seals.
        audited: how many lines the audit has.
        head: seal of the last one.
        seal: over all of that.
    """

    id: str
    space: str
    created: str
    dim: int
    key: str
    revision: int
    people: int
    embeddings: int
    total: bytes
    audited: int
    head: bytes
    seal: bytes

    @classmethod
    def new(cls, space: str, sealer: Sealer, *, id_: str = "", created: str = "") -> State:
        """Return the state of a gallery that knows nobody, made now unless an id and a date are given."""
        return cls(
            id_ or uuid.uuid4().hex, space, created or now(), 0, sealer.fingerprint, 0, 0, 0, bytes(SIZE), 0, b"", b""
        ).resealed(sealer)

    @classmethod
    def read(cls, connection: Connection) -> State:
        """Return the state as the file has it.

        Raises:
            GalleryError: without the file's name, if there is not just one row, of the right kinds.
        """
        columns = ", ".join(field.name for field in fields(cls))
        rows = connection.execute(f"SELECT {columns} FROM gallery").fetchmany(2)
        kinds = (str, str, str, int, str, int, int, int, bytes, int, bytes, bytes)
        if len(rows) != 1 or tuple(map(type, rows[0])) != kinds:
            raise GalleryError("is damaged; restore an export or a copy")
        return cls(*rows[0])

    def _seal(self, sealer: Sealer) -> bytes:
        return sealer.seal("gallery", *astuple(self)[:-1])

    def resealed(self, sealer: Sealer) -> State:
        """Return it with the seal that it should have."""
        return replace(self, seal=self._seal(sealer))

    def is_sound(self, sealer: Sealer) -> bool:
        """Tell whether it has that seal."""
        return self.seal == self._seal(sealer)

    def require_sound(self, sealer: Sealer) -> None:
        """Raise GalleryError unless it has that seal, of that key: it may have another since the gallery was opened."""
        sealer.require(self.key)
        if not self.is_sound(sealer):
            raise GalleryError("what it says of itself was altered by another program; run gallery check")

    def write(self, connection: Connection) -> None:
        """Put it into the store in place of the old one."""
        cells = astuple(self)
        places = ", ".join("?" * len(cells))
        columns = ", ".join(field.name for field in fields(self))
        done = connection.execute(f"UPDATE gallery SET ({columns}) = ({places})", cells)
        if done.rowcount == 0:
            connection.execute(f"INSERT INTO gallery ({columns}) VALUES ({places})", cells)


# by name without sorting whole rows: people in the order of their index, and each one's few embeddings
JOINED = "people CROSS JOIN embeddings WHERE person = people.id"
CELLS = "people.id, name, people.created, embeddings.id, vector, source, sha256, embeddings.created, seal"


def read_rows(connection: Connection, state: State, sealer: Sealer, person: int | None = None) -> Iterator[Row]:
    """Yield each embedding, by name, then in the order of enrolment, or those of one person, its seal not looked at."""
    one = "" if person is None else "AND people.id = ?"
    for row in connection.execute(
        f"SELECT {CELLS} FROM {JOINED} {one} ORDER BY name, embeddings.id", () if person is None else (person,)
    ):
        yield Row(*row).opened(sealer, state)


def sound_rows(connection: Connection, state: State, sealer: Sealer) -> Iterator[Row]:
    """Yield each embedding, by name and then in the order of enrolment, once its seal was looked at.

    Use nothing of it before the last one came: only then it is known that none is missing.

    Raises:
        GalleryError: without the file's name, at the first one that was altered; at the end, if some were added or
            taken away.
    """
    state.require_sound(sealer)
    count, total, people = 0, bytes(SIZE), set()
    for row in read_rows(connection, state, sealer):
        if row.seal != row.sealed(sealer, state):
            raise GalleryError(f"holds damaged embeddings, the first of {row.name!r}; run gallery check")
        count, total = count + 1, added(total, row.seal)
        people.add(row.person)
        yield row
    listed = connection.execute("SELECT count(*) FROM people").fetchone()[0]
    if (count, len(people), total, listed) != (state.embeddings, state.people, state.total, state.people):
        raise GalleryError("people or embeddings were added or taken away by another program; run gallery check")


def now() -> str:
    """Return the time as a gallery writes it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
