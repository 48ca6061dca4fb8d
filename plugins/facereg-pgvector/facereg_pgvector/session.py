"""A connection to the database, made anew where it broke."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import psycopg

from facereg.gallery import Connection, Rows
from facereg_pgvector.place import LOCK_S, Place

BATCH = 2000  # rows fetched at once where everybody is read


class Batches:
    """The rows of a cursor in the database, which ends with the transaction."""

    rowcount = -1  # not known before the end

    def __init__(self, raw: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
        self._raw, self._name = raw, name

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while rows := self.fetchmany(BATCH):
            yield from rows

    def fetchmany(self, size: int, /) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        return self._raw.execute(f"FETCH {size} FROM {self._name}", binary=True).fetchall()

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row, if any."""
        return next(iter(self.fetchmany(1)), None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that are left."""
        return list(self)


class Session(Connection):
    """Runs the library's statements, `?` for values; what is read in an order comes by batches.

    Raises:
        psycopg.Error: each method, whatever the database says.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.in_transaction = False
        self.pgvector = ""  # its version; empty where the database has none
        self._numbers = count()
        self._raw = self._connect()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        raw = psycopg.connect(self.place.conninfo, autocommit=True)
        try:
            self.find_pgvector(raw)
            raw.execute(f"SET lock_timeout = '{LOCK_S}s'")
        except BaseException:
            raw.close()
            raise
        return raw

    def find_pgvector(self, raw: psycopg.Connection[tuple[Any, ...]] | None = None) -> None:
        """See which pgvector the database has, in which schema; look for names in the gallery's and in that one."""
        raw = raw or self._raw
        found = raw.execute(
            "SELECT extversion, nspname FROM pg_extension JOIN pg_namespace ON extnamespace = pg_namespace.oid "
            "WHERE extname = 'vector'"
        ).fetchone()
        self.pgvector, *path = found or ("",)
        schemas = ", ".join(f'"{schema}"' for schema in (self.place.schema, *path))
        raw.execute("SELECT set_config('search_path', %s, false)", (schemas,))

    @property
    def server_version(self) -> int:
        """Return the server's version, as 180004 for 18.4."""
        return self._raw.info.server_version

    def execute(self, sql: str, parameters: tuple[Any, ...] = (), /) -> Rows:
        """Run one statement."""
        if self.in_transaction and not parameters and " ORDER BY " in sql:
            cursor = f"rows_{next(self._numbers)}"
            self._raw.execute(f"DECLARE {cursor} CURSOR FOR {sql}")
            return Batches(self._raw, cursor)
        return self._raw.execute(sql.replace("?", "%s"), parameters or None, binary=True)

    def begin(self, how: str) -> None:
        """Begin a transaction; a connection that broke since the last one is made anew, once."""
        for last in (False, True):
            try:
                if self._raw.closed:
                    self._raw = self._connect()
                self._raw.execute(how)
                break
            except psycopg.OperationalError:
                if last or not self._raw.closed:
                    raise
        self.in_transaction = True

    def commit(self) -> None:
        """End the transaction: it is kept."""
        self._raw.execute("COMMIT")
        self.in_transaction = False

    def rollback(self) -> None:
        """End the transaction: nothing of it stays. A connection that is lost has ended it."""
        self.in_transaction = False
        with suppress(psycopg.Error):
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; closing twice is allowed."""
        self._raw.close()
