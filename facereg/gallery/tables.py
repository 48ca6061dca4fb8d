"""The tables of an SQLite file: made, read, and held against what they should be; of galleries and of indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import TypeAlias

from facereg.errors import GalleryError
from facereg.gallery.files import FAILURES, connect, log_ahead, make_file, open_to_read

Schema: TypeAlias = frozenset[tuple[str, str, str, str | None]]  # type, name, table and statement of each entry


def make_database(path: Path, write: Callable[[sqlite3.Connection], None]) -> None:
    """Make a database, its owner's alone, and its tables, unless there is one; of programs that come at once one does.

    Args:
        write: makes the tables, in the transaction that is open.
    Raises:
        OSError, sqlite3.Error: if it cannot be made.
    """
    if path.exists() and path.stat().st_size and not _holds_nothing(path):
        return
    make_file(path)
    with closing(connect(path, "rw")) as connection:
        if not read_schema(connection):
            log_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
            if not read_schema(connection):  # nobody was quicker
                write(connection)
            connection.execute("COMMIT")


def _holds_nothing(path: Path) -> bool:
    """Tell whether a file is a database without tables, as one is for a moment while it is made, and after a kill."""
    with suppress(GalleryError, *FAILURES), closing(open_to_read(path)[0]) as connection:
        return read_header(connection)[0] == 0 and not read_schema(connection)
    return False


def write_tables(connection: sqlite3.Connection, statements: str, *, application_id: int, version: int) -> None:
    """Make the tables, in the transaction that is open, and write into the header whose file it is."""
    for statement in statements.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(f"PRAGMA user_version = {version}")


def read_header(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the application's id and the version."""
    [identity], [version] = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    return identity, version


def read_schema(connection: sqlite3.Connection) -> Schema:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


@cache
def expected_schema(statements: str) -> Schema:
    """Return the schema of a file that these statements made."""
    connection = sqlite3.connect(":memory:")
    try:
        write_tables(connection, statements, application_id=0, version=0)
        return read_schema(connection)
    finally:
        connection.close()
