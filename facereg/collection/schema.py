"""The tables of an index file, and how one is told from other files."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from facereg.errors import FaceregError, GalleryError
from facereg.gallery.files import FAILURES, open_to_read
from facereg.gallery.tables import expected_schema, make_database, read_header, read_schema, write_tables

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

    def write(connection: sqlite3.Connection) -> None:
        write_tables(connection, TABLES, application_id=APPLICATION_ID, version=VERSION)
        connection.execute("INSERT INTO collection VALUES (?, 0)", (space,))

    make_database(path, write)


def holds_index(connection: sqlite3.Connection) -> bool:
    """Tell whether a database has an index's tables, and nothing else: a trigger or a view could say anything.

    Raises:
        GalleryError: without the file's name, if it is a newer index, or nothing yet.
    """
    identity, version = read_header(connection)
    if identity == 0 and not read_schema(connection):  # a kill or a full disk ended what made it
        raise GalleryError("is empty, no index yet; call 'facereg index' with it again")
    if identity != APPLICATION_ID:
        return False
    if version > VERSION:
        raise GalleryError(f"expected index version {VERSION}, got {version}; upgrade facereg")
    return read_schema(connection) == expected_schema(TABLES)
