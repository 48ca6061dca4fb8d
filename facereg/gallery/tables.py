"""The tables of an SQLite file: made, read, and held against what they should be; of galleries and of indexes."""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import TypeAlias

Schema: TypeAlias = frozenset[tuple[str, str, str, str | None]]  # type, name, table and statement of each entry


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
