"""The tables of a gallery file, as this version and the ones before it make them."""

from __future__ import annotations

import sqlite3

from facereg.errors import GalleryError
from facereg.gallery.tables import expected_schema, read_header, read_schema, write_tables

APPLICATION_ID = 0x46414345  # "FACE", in SQLite's header: tells a gallery from other databases
VERSION = 3
SEALED_EMBEDDINGS = """CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
    vector BLOB NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    created TEXT NOT NULL,
    seal BLOB NOT NULL,
    UNIQUE (person, sha256)
);
"""  # of versions 2 and 3
TABLES = {
    # crc32: of the other columns of its row, keys aside
    1: """
CREATE TABLE gallery (space TEXT NOT NULL, created TEXT NOT NULL, crc32 INTEGER NOT NULL);
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    crc32 INTEGER NOT NULL
);
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
    vector BLOB NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    created TEXT NOT NULL,
    crc32 INTEGER NOT NULL,
    UNIQUE (person, sha256)
);
""",
    # seal of an embedding: over it, its person's row and the gallery's id; seal of the gallery: over its row, which has
    # the sum of the embeddings' seals. sha256: of the picture file, by which one picture under two names is found
    2: f"""
CREATE TABLE gallery (
    id TEXT NOT NULL,
    space TEXT NOT NULL,
    created TEXT NOT NULL,
    dim INTEGER NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    people INTEGER NOT NULL,
    embeddings INTEGER NOT NULL,
    total BLOB NOT NULL,
    seal BLOB NOT NULL
);
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL
);
{SEALED_EMBEDDINGS}""",
    # people's numbers are given once, so that lines of the audit, which name nobody, go on meaning the same person;
    # vectors are encrypted where there is a key, see `Row.place`. head: seal of the audit's last line
    3: f"""
CREATE TABLE gallery (
    id TEXT NOT NULL,
    space TEXT NOT NULL,
    created TEXT NOT NULL,
    dim INTEGER NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    people INTEGER NOT NULL,
    embeddings INTEGER NOT NULL,
    total BLOB NOT NULL,
    audited INTEGER NOT NULL,
    head BLOB NOT NULL,
    seal BLOB NOT NULL
);
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL
);
{SEALED_EMBEDDINGS}CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    person INTEGER,
    embeddings INTEGER NOT NULL,
    seal BLOB NOT NULL
);
""",
}


def make_tables(connection: sqlite3.Connection, version: int = VERSION) -> None:
    """Make the tables of a version, in the transaction that is open."""
    write_tables(connection, TABLES[version], application_id=APPLICATION_ID, version=version)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return which version's tables a file has; nothing else may be in it.

    A trigger or a view would be run by reading or writing, and could say anything.

    Raises:
        GalleryError: without the file's name, if it is another database, a newer gallery, or holds more or less.
    """
    identity, version = read_header(connection)
    if identity != APPLICATION_ID:
        if identity == 0 and not read_schema(connection):  # a kill or a full disk ended what made it
            raise GalleryError("is empty, no gallery yet; enrol or import into it, or restore a copy")
        raise GalleryError("this is no gallery but another SQLite database; check the path")
    if version not in TABLES:
        raise GalleryError(f"expected gallery version {VERSION}, got {version}; upgrade facereg")
    held, expected = read_schema(connection), expected_schema(TABLES[version])
    if held != expected:
        odd = sorted({f"{kind} {name!a}" for kind, name, _, _ in held ^ expected})
        raise GalleryError(f"its tables are not a gallery's ({', '.join(odd)[:200]}); restore an export or a copy")
    return version


def require_tables(connection: sqlite3.Connection, version: int) -> None:
    """Raise GalleryError unless the tables are a gallery's, whatever else is in the file.

    A view by a table's name could give rows without end.
    """
    tables = {entry for entry in expected_schema(TABLES[version]) if entry[0] == "table"}
    if not tables <= read_schema(connection):
        raise GalleryError("its tables are not a gallery's; restore an export or a copy")
