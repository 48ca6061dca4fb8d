"""Galleries of earlier versions, brought to this one."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from dataclasses import replace
from typing import Any

from facereg.errors import ContractError, GalleryError
from facereg.gallery.changing import Change
from facereg.gallery.rows import Row, State
from facereg.gallery.schema import make_tables
from facereg.gallery.seals import SIZE, Sealer, added
from facereg.names import clean_name

OLD = ("embeddings", "people", "gallery")  # tables of earlier versions
_UNSOUND = bytes(SIZE)  # a seal that fits no row: what was altered before stays so


def migrate(connection: sqlite3.Connection, sealer: Sealer) -> None:
    """Bring a gallery of an earlier version to this version, in the transaction that is open.

    Raises:
        GalleryError: without the file's name, if the gallery's own row is damaged, or sealed with another key.
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
        _from_first(connection)
    else:
        _from_second(connection, sealer)


def _from_second(connection: sqlite3.Connection, sealer: Sealer) -> None:
    """Bring a gallery along whose seals are those of today; what was altered before has a seal as wrong as it had."""
    held: list[Any] = [cell for row in connection.execute("SELECT * FROM gallery").fetchmany(2) for cell in row]
    if len(held) != 10:
        raise GalleryError("is damaged; restore an export or a copy")
    sealer.require(held[4])
    _set_aside(connection)
    connection.execute("INSERT INTO people SELECT id, name, created FROM old_people")
    connection.execute("INSERT INTO embeddings SELECT * FROM old_embeddings")
    change = Change(connection, State(*(*held[:-1], 0, b"", b"")), sealer)
    for number, person, vector in connection.execute("SELECT id, person, vector FROM old_embeddings"):
        if isinstance(vector, bytes) and sealer.overhead:
            row = Row(person, "", "", number, vector, "", "", "", b"")
            stored = sealer.encrypt(vector, *row.place(change.state))
            connection.execute("UPDATE embeddings SET vector = ? WHERE id = ?", (stored, number))
    _finish(connection, change, sound=held[-1] == sealer.seal("gallery", *held[:-1]))


def _set_aside(connection: sqlite3.Connection) -> None:
    for table in OLD:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    make_tables(connection)


def _finish(connection: sqlite3.Connection, change: Change, *, sound: bool = True) -> None:
    change.note("migrate", None, change.state.embeddings)
    (change.state.resealed(change.sealer) if sound else change.state).write(connection)
    for table in OLD:
        connection.execute(f"DROP TABLE old_{table}")


def _from_first(connection: sqlite3.Connection) -> None:
    """Bring a gallery of version 1 along, which had no key.

    Its rows had checksums. A row whose checksum is wrong gets a seal that is wrong, so that `check` names it as before.
    Names get their one spelling; two people of one spelling become one.
    """
    sealer = Sealer()
    space, created, crc32 = connection.execute("SELECT space, created, crc32 FROM gallery").fetchone() or ("", "", -1)
    if crc32 != _checksum(space, created):
        raise GalleryError("is damaged; restore an export or a copy")
    _set_aside(connection)
    state = State.new(space, sealer, id_=_same_each_time(connection, space, created), created=created)
    people: dict[str, int] = {}
    for person, name, since, crc32 in connection.execute("SELECT id, name, created, crc32 FROM old_people ORDER BY id"):
        sound = crc32 == _checksum(name, since)
        kept = _spelling(name)
        if kept not in people:
            people[kept] = person
            connection.execute("INSERT INTO people (id, name, created) VALUES (?, ?, ?)", (person, kept, since))
        state = _take_along(connection, person, people[kept], state, sealer, sound=sound)
    counted = connection.execute("SELECT count(DISTINCT person) FROM embeddings").fetchone()[0]
    lost = connection.execute(  # their person is missing: counted, so that reading says that they are
        "SELECT count(*) FROM old_embeddings WHERE person NOT IN (SELECT id FROM old_people)"
    ).fetchone()[0]
    state = replace(state, people=counted, embeddings=state.embeddings + lost)
    _finish(connection, Change(connection, state, sealer))


def _take_along(
    connection: sqlite3.Connection, old: int, person: int, state: State, sealer: Sealer, *, sound: bool
) -> State:
    name, since = connection.execute("SELECT name, created FROM people WHERE id = ?", (person,)).fetchone()
    for number, *cells, crc32 in connection.execute(
        "SELECT id, vector, source, sha256, created, crc32 FROM old_embeddings WHERE person = ? ORDER BY id", (old,)
    ):
        vector, source, sha256, created = cells
        row = Row(person, name, since, number, vector, source, sha256, created, _UNSOUND)
        if sound and crc32 == _checksum(*cells) and isinstance(vector, bytes) and len(vector) % 4 == 0:
            state = replace(state, dim=state.dim or len(vector) // 4)
            if len(vector) == 4 * state.dim:
                row = row._replace(seal=row.sealed(sealer, state))
        done = connection.execute(
            "INSERT OR IGNORE INTO embeddings (id, person, vector, source, sha256, created, seal) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, person, vector, source, sha256, created, row.seal),
        )
        if done.rowcount:  # people of one spelling may have had the same picture
            state = replace(state, embeddings=state.embeddings + 1, total=added(state.total, row.seal))
    return state


def _spelling(name: str) -> str:
    try:
        return clean_name(name)
    except ContractError:  # taken before names had rules: it stays until somebody renames the person
        return name


def _same_each_time(connection: sqlite3.Connection, space: str, created: str) -> str:
    """Return an id made of what the file holds: who reads a copy in memory and who changes the file agree on it."""
    first = connection.execute("SELECT name, sha256 FROM old_embeddings JOIN old_people ON old_people.id = person")
    return hashlib.blake2b(repr((space, created, first.fetchone())).encode(), digest_size=16).hexdigest()


def _checksum(*cells: object) -> int:
    """Return the checksum that version 1 had for cells."""
    return zlib.crc32(repr(cells).encode("utf-8", "backslashreplace"))
