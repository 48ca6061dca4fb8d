"""The tables of an index file, and how one is told from other files."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import cache
from pathlib import Path

from facereg.errors import FaceregError, GalleryError
from facereg.gallery.files import FAILURES, connect, log_ahead, make_file, open_to_read

APPLICATION_ID = 0x46494458  # "FIDX", in SQLite's header
VERSION = 1
TABLES = """
CREATE TABLE collection (space TEXT NOT NULL, dim INTEGER NOT NULL);
CREATE TABLE pictures (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE);
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, picture INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE faces (
    id INTEGER PRIMARY KEY, picture INTEGER NOT NULL, box BLOB NOT NULL, score REAL NOT NULL, vector BLOB NOT NULL,
    person INTEGER
);
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE INDEX files_of_picture ON files (picture);
CREATE INDEX faces_of_picture ON faces (picture);
CREATE INDEX faces_of_person ON faces (person);
"""


def is_index(path: str | Path) -> bool:
    """Tell whether a file is an index, or is damaged in a way that does not tell."""
    with suppress(FaceregError, OSError, *FAILURES):
        if Path(path).is_file():
            connection, _ = open_to_read(Path(path))
            try:
                return holds_index(connection)
            finally:
                connection.close()
    return False


def make_index(path: Path, space: str) -> None:
    """Make the file and its tables, unless there is one."""
    if path.exists() and path.stat().st_size:
        return
    make_file(path)
    connection = connect(path, "rw")
    try:
        log_ahead(connection)
        connection.execute("BEGIN IMMEDIATE")
        if not _schema(connection):  # nobody was quicker
            _make_tables(connection)
            connection.execute("INSERT INTO collection VALUES (?, 0)", (space,))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in TABLES.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def holds_index(connection: sqlite3.Connection) -> bool:
    """Tell whether a database has an index's tables, and nothing else: a trigger or a view could say anything.

    Raises:
        GalleryError: without the file's name, if it is a newer index.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return False
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise GalleryError(f"expected index version {VERSION}, got {version}; upgrade facereg")
    return _schema(connection) == _expected_schema()


def _schema(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))


@cache
def _expected_schema() -> frozenset[str]:
    connection = sqlite3.connect(":memory:")
    try:
        _make_tables(connection)
        return _schema(connection)
    finally:
        connection.close()
