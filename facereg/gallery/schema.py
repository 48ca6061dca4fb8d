"""The tables of a gallery file."""

APPLICATION_ID = 0x46414345  # "FACE", in SQLite's header: tells a gallery from other databases
VERSION = 1
# crc32: of the other columns of its row, keys aside; SQLite's own check sees pages and keys, not what is in a cell
TABLES = """
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
"""
