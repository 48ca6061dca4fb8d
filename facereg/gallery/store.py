"""One SQLite file: people, several embeddings each, where each came from."""

from __future__ import annotations

import io
import sqlite3
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from facereg.disk import write_atomically
from facereg.errors import ContractError, FaceregError, GalleryError, SpaceMismatchError
from facereg.gallery.rows import Row, Source, checksum, insert_row, person_key
from facereg.gallery.schema import APPLICATION_ID, TABLES, VERSION
from facereg.interfaces import Matcher
from facereg.types import Embeddings

WAIT_S = 30.0  # for another writer
FAILURES = (sqlite3.Error, UnicodeDecodeError)  # the second where SQLite's words quote damaged text


@dataclass(frozen=True, slots=True)
class Person:
    """A person known to a gallery."""

    name: str
    embeddings: int
    created: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolment did; `repeated` names sources that the person had already."""

    added: int
    repeated: tuple[str, ...]


class Gallery:
    """People and their embeddings, all of one embedder's space.

    One writer and many readers may have the file open at once. Each change is one transaction: after a kill or a
    full disk the file holds all of it or none. Use it as a context manager; one instance may be shared between
    threads.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, space: str) -> None:
        self.path, self.space = path, space
        self._connection = connection
        self._lock = RLock()

    @classmethod
    def open(cls, path: str | Path, *, space: str | None = None, create: bool = False) -> Gallery:
        """Open a gallery file.

        Args:
            path: of the file.
            space: the embedder's, where embeddings will be added or compared; None opens any gallery to look at it.
            create: make the file where there is none; needs `space`.
        Raises:
            GalleryError: if there is no such file, it is no gallery, or its rights forbid it.
            SpaceMismatchError: if its embeddings come from another embedder.
        """
        path = Path(path)
        try:
            there = path.exists()
        except OSError as error:
            raise GalleryError(f"{path}: cannot be reached ({error.strerror}); check its folder's rights") from error
        if not there and not create:
            raise GalleryError(f"{path}: found no gallery there; make one with 'facereg enroll DIR --gallery {path}'")
        if create and space is None:
            raise ContractError("space: expected the embedder's space to make a gallery, got none")
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA foreign_keys = ON")
            held = cls._space_of(path, connection, space)
        except FAILURES as error:
            if connection is not None:
                connection.close()
            raise GalleryError(f"{path}: {_reason(error)}") from error
        except FaceregError:
            connection.close()  # type: ignore[union-attr]
            raise
        if space is not None and held != space:
            connection.close()
            raise SpaceMismatchError(
                f"{path}: holds embeddings of {held!r}, expected {space!r}; enrol the pictures again into "
                "another file, or use that embedder"
            )
        return cls(path, connection, held)

    @staticmethod
    def _space_of(path: Path, connection: sqlite3.Connection, space: str | None) -> str:
        """Return the space of an existing gallery; make the tables in an empty file."""
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables == 0 and space is not None:
            _log_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:  # nobody was quicker
                for statement in TABLES.split(";")[:-1]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                now = _now()
                connection.execute("INSERT INTO gallery VALUES (?, ?, ?)", (space, now, checksum(space, now)))
            connection.execute("COMMIT")
        identity = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if identity != APPLICATION_ID:
            raise GalleryError(f"{path}: this is no gallery but another SQLite database; check the path")
        if version != VERSION:
            raise GalleryError(f"{path}: expected gallery version {VERSION}, got {version}; upgrade facereg")
        row = connection.execute("SELECT space FROM gallery").fetchone()
        if row is None:
            raise GalleryError(f"{path}: is damaged; restore an export or a copy")
        return str(row[0])

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many people are known."""
        with self._reading():
            return int(self._connection.execute("SELECT count(*) FROM people").fetchone()[0])

    def enroll(self, name: str, embeddings: Embeddings, sources: Sequence[Source]) -> Enrolled:
        """Add embeddings to a person, who is made where unknown; all of them or, on an error, none.

        A source that the person has already is left as it is.

        Raises:
            ContractError: if the name is empty or no line of text, there is no embedding, or not one source for each.
            SpaceMismatchError: if the embeddings come from another embedder.
            GalleryError: if the file cannot be written, as on a full disk.
        """
        if len(sources) != len(embeddings):
            raise ContractError(f"sources: expected one for each of {len(embeddings)} embeddings, got {len(sources)}")
        if len(embeddings) == 0:
            raise ContractError(f"embeddings: expected at least one of {name!r}, got none")
        embeddings.require_space(self.space)
        repeated = []
        with self._writing() as connection:
            person = person_key(connection, name, _now())
            for vector, source in zip(embeddings.vectors, sources, strict=True):
                if not insert_row(connection, person, vector, source, _now()):
                    repeated.append(source.name)
        return Enrolled(len(embeddings) - len(repeated), tuple(repeated))

    def remove(self, name: str) -> int:
        """Forget a person; return how many embeddings were held.

        Raises:
            GalleryError: if nobody of that name is known.
        """
        with self._writing() as connection:
            row = connection.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise GalleryError(f"{self.path}: nobody named {name!r}; see 'facereg gallery list'")
            held = connection.execute("SELECT count(*) FROM embeddings WHERE person = ?", row).fetchone()[0]
            connection.execute("DELETE FROM people WHERE id = ?", row)
        return int(held)

    def people(self) -> list[Person]:
        """Return who is known, by name."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT name, people.created, source FROM people LEFT JOIN embeddings ON person = people.id "
                "ORDER BY name, embeddings.id"
            ).fetchall()
        sources: dict[tuple[str, str], list[str]] = {}
        for name, created, source in rows:
            sources.setdefault((name, created), []).extend([] if source is None else [source])
        return [Person(name, len(own), created, tuple(own)) for (name, created), own in sources.items()]

    def embeddings(self) -> tuple[list[str], Embeddings]:
        """Return the name of each embedding's person, and the embeddings.

        Raises:
            GalleryError: if an embedding is damaged.
        """
        rows = self._rows()
        bad = [row.name for row in rows if row.problem()]
        if bad:
            raise GalleryError(
                f"{self.path}: {len(bad)} damaged embeddings, the first of {bad[0]!r}; run gallery check"
            )
        vectors = [np.frombuffer(row.vector, "<f4") for row in rows]
        if len({len(vector) for vector in vectors}) > 1:
            raise GalleryError(f"{self.path}: holds vectors of several lengths; run gallery check")
        stacked = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
        return [row.name for row in rows], Embeddings(stacked, self.space)

    def fill(self, matcher: Matcher) -> None:
        """Add everybody to a matcher."""
        names, embeddings = self.embeddings()
        matcher.add(names, embeddings)

    def check(self) -> list[str]:
        """Return what is wrong with the file, a line each; nothing where it is sound."""
        with self._reading():
            problems = [
                f"database: {' '.join(row[0].split())}"
                for row in self._connection.execute("PRAGMA integrity_check")
                if row[0] != "ok"
            ]
            if problems:
                return problems
            problems += [
                f"embedding {row[1]}: its person is missing"
                for row in self._connection.execute("PRAGMA foreign_key_check")
            ]
            problems += [
                f"{table} {row[0]!r}: its bytes were altered; restore an export or a copy"
                for table, column in (("gallery", "space"), ("people", "name"))
                for row in self._connection.execute(f"SELECT {column}, created, crc32 FROM {table}")
                if row[2] != checksum(*row[:2])
            ]
            empty = self._connection.execute(
                "SELECT name FROM people WHERE id NOT IN (SELECT person FROM embeddings) ORDER BY name"
            ).fetchall()
            problems += [f"{name!r}: has no embedding" for (name,) in empty]
        rows = self._rows()
        lengths = [len(row.vector) for row in rows if not row.problem()]
        usual = max(set(lengths), key=lengths.count) if lengths else 0
        for row in rows:
            problem = row.problem()
            if not problem and len(row.vector) != usual:
                problem = f"has {len(row.vector) // 4} numbers, the others {usual // 4}"
            if problem:
                problems.append(f"{row.name!r}, {row.source}: {problem}; remove the person and enrol again")
        return problems

    def export(self, path: str | Path) -> int:
        """Write everybody to one .npz file (names, vectors, sources, sha256, created, space); return how many vectors.

        Raises:
            GalleryError: if the file cannot be written or an embedding is damaged.
        """
        names, embeddings = self.embeddings()
        rows = self._rows()
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            names=np.array(names, np.str_),
            vectors=embeddings.vectors,
            sources=np.array([row.source for row in rows], np.str_),
            sha256=np.array([row.sha256 for row in rows], np.str_),
            created=np.array([row.created for row in rows], np.str_),
            space=np.array(self.space),
        )
        try:
            write_atomically(Path(path), stream.getvalue(), private=True)
        except OSError as error:
            raise GalleryError(f"{path}: cannot be written ({error}); check the folder's rights and space") from error
        return len(names)

    def import_(self, path: str | Path) -> int:
        """Add what `export` wrote, in one transaction; return how many vectors were new.

        Raises:
            GalleryError: if the file is no export.
            SpaceMismatchError: if it comes from another embedder.
        """
        held = _read_export(path)
        names, sources, sha256, created = (held[key] for key in ("names", "sources", "sha256", "created"))
        embeddings = Embeddings(held["vectors"], str(held["space"]))
        embeddings.require_space(self.space)
        added = 0
        with self._writing() as connection:
            for name, vector, source, digest, when in zip(
                names, embeddings.vectors, sources, sha256, created, strict=True
            ):
                person = person_key(connection, str(name), str(when))
                added += insert_row(connection, person, vector, Source(str(source), str(digest)), str(when))
        return added

    def _rows(self) -> list[Row]:
        with self._reading():
            rows = self._connection.execute(
                "SELECT name, vector, source, sha256, embeddings.created, embeddings.crc32 FROM embeddings "
                "JOIN people ON people.id = person ORDER BY name, embeddings.id"
            )
            return [Row(*row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except FAILURES as error:
                raise GalleryError(f"{self.path}: {_reason(error)}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):  # closed, or rolled back by SQLite itself
                    self._connection.execute("ROLLBACK")
                if isinstance(error, FAILURES):
                    raise GalleryError(f"{self.path}: {_reason(error)}; nothing was changed") from error
                raise


def exported_space(path: str | Path) -> str:
    """Return the embedder's space of a file that `Gallery.export` wrote.

    Raises:
        GalleryError: if the file is no export.
    """
    return str(_read_export(path)["space"])


def _read_export(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as held:  # it leaves a bad file open
            export = {key: held[key] for key in ("names", "vectors", "sources", "sha256", "created", "space")}
    except (OSError, KeyError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise GalleryError(f"{path}: expected an export of a gallery ({_reason(error)}); check the path") from error
    if len({len(export[key]) for key in ("names", "vectors", "sources", "sha256", "created")}) != 1:
        raise GalleryError(f"{path}: expected as many names, sources, ... as vectors; export the gallery again")
    return export


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, so that readers go on while one writes.

    Where another connection is about to do the same SQLite refuses at once, whatever its timeout: ask again.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _reason(error: Exception) -> str:
    """Say what SQLite's words mean to whoever keeps a gallery."""
    text = " ".join(str(error).split())
    for words, meaning in (
        ("not a database", "this is no gallery but another kind of file; check the path"),
        ("disk is full", "the disk is full; make room and try again"),
        ("disk I/O error", "the disk refused to be read or written; make room, check it, and try again"),
        ("unable to open", "cannot be opened; check that its folder exists and may be written"),
        ("readonly", "may not be written; change its rights"),
        ("locked", f"another program has been writing for over {WAIT_S:.0f} s; try again"),
        *((words, "is damaged; restore an export or a copy") for words in ("malformed", "decode", "no such")),
        ("closed database", "this gallery is closed; open it again"),
    ):
        if words in text:
            return meaning
    return text


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
