"""One SQLite file with the faces of a collection: where each was found, its vector, and the group that it is in."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from facereg.collection.schema import holds_index, make_index
from facereg.errors import ContractError, GalleryError, SpaceMismatchError
from facereg.gallery.access import named
from facereg.gallery.files import connect, open_to_read
from facereg.gallery.seals import NONCE, TAG, Sealer
from facereg.types import Embeddings, FloatArray, IntArray

ASKED = 500  # values of one question
DAMAGED = "is damaged; index the collection again into another file"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when it was looked at: another size or time may mean another picture."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> File:
        """Return the file at a path.

        Raises:
            OSError: if there is none.
        """
        path = Path(os.path.abspath(path))
        found = path.stat()
        return cls(path, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A picture file and its faces; none where the picture is known by its sha256 already.

    Args:
        boxes, scores, vectors: (N, 4), (N,) and (N, D) float32, in pixels of the file; None where it is known.
    """

    file: File
    sha256: str
    boxes: FloatArray | None = None
    scores: FloatArray | None = None
    vectors: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class IndexedFaces:
    """Some N faces of an index.

    Args:
        numbers: (N,) by which the index knows them.
        files: those that hold the picture of each face: copies of one picture have the same faces.
        sha256: of the picture of each.
        boxes, scores: (N, 4) and (N,) float32, in pixels of the file.
        embeddings: of each.
        people: (N,) the number of the group of each; -1 for none.
    """

    numbers: IntArray
    files: tuple[tuple[Path, ...], ...]
    sha256: tuple[str, ...]
    boxes: FloatArray
    scores: FloatArray
    embeddings: Embeddings
    people: IntArray

    def __len__(self) -> int:
        return len(self.numbers)


class Index:
    """The faces of a collection, all of one embedder's space.

    Each change is one transaction. The file is its owner's alone; one writer and many readers may have it open. With a
    key, that of galleries, vectors are encrypted.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self.path, self._connection, self._sealer = path, connection, sealer
        self.space = self._said("space", str)

    @property
    def dim(self) -> int:
        """Return how many numbers a vector has; 0 until there is one, which another program may have brought since."""
        return self._said("dim", int)

    def _said(self, what: str, kind: type[T]) -> T:
        """Return what it says of itself."""
        match self.ask(f"SELECT {what} FROM collection"):
            case [(value,)] if isinstance(value, kind):
                return value
        raise GalleryError(f"{self.path}: {DAMAGED}")

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        space: str | None = None,
        create: bool = False,
        write: bool = False,
        key: bytes | None = None,
    ) -> Self:
        """Open an index.

        Args:
            space: the embedder's, where its vectors are added or compared; None opens any.
            create: make the file where there is none; needs `space`.
            write: it will be changed.
            key: encrypts vectors; None takes that which the environment names, if any, as `Gallery.open` does.
        Raises:
            GalleryError: if there is no such file, it is no index, or the key is not that of its vectors.
            SpaceMismatchError: if its vectors come from another embedder.
        """
        path, sealer = Path(path), Sealer.of(key)
        if create and space is None:
            raise ContractError("space: expected the embedder's space to make an index, got none")
        if not create and not path.exists():
            raise GalleryError(f"{path}: found no index there; make one with 'facereg index DIR --out {path}'")
        with named(path):
            if create and space is not None:
                make_index(path, space)
            connection = connect(path, "rw") if write or create else open_to_read(path)[0]
            try:
                if not holds_index(connection):
                    raise GalleryError("this is no index but another database; check the path")
                index = cls(path, connection, sealer)
                if write or create:
                    index._require_key()
            except BaseException:
                connection.close()
                raise
        if space is not None and index.space != space:
            index.close()
            raise SpaceMismatchError(
                f"{path}: holds faces of {index.space!r}, expected {space!r}; index into another file, or use that "
                "embedder"
            )
        return index

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _require_key(self) -> None:
        """Raise GalleryError unless its vectors are stored by our key, or without one where we have none."""
        first = "SELECT sha256, box, vector FROM faces JOIN pictures ON pictures.id = picture LIMIT 1"
        for sha256, box, stored in self.ask(first):
            size = len(stored) if isinstance(stored, bytes) else 0
            encrypted, ours = size == 4 * self.dim + NONCE + TAG, self._sealer.overhead > 0
            reason = ""
            if encrypted and not ours:
                reason = "is encrypted with a key, got none; name its file in FACEREG_GALLERY_KEY_FILE"
            elif ours and not encrypted:
                reason = "its vectors are not encrypted, and a key was given; unset it, or index into another file"
            elif ours and not self._sealer.decrypt(stored, *_place(sha256, box)):
                reason = "expected the key that it is encrypted with, got another (or it is damaged); give that one"
            if reason:
                raise GalleryError(f"{self.path}: {reason}")

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Hold one transaction that changes the file; an error leaves it as it was.

        Raises:
            GalleryError: if it cannot be written.
        """
        with named(self.path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def counts(self) -> tuple[int, int, int]:
        """Return how many files, pictures and faces it holds."""
        with named(self.path):
            asked = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("files", "pictures", "faces"))
            files, pictures, faces = self._connection.execute(f"SELECT {asked}").fetchone()
        return files, pictures, faces

    def current(self, paths: Sequence[Path]) -> set[Path]:
        """Return those files that it holds as they are, by size and time."""
        of_key = {os.fsencode(os.path.abspath(path)): path for path in paths}
        current = set()
        for key, size, mtime_ns in self._ask("SELECT path, size, mtime_ns FROM files WHERE path IN", list(of_key)):
            path = of_key[key]
            with suppress(OSError):
                file = File.of(path)
                if (file.size, file.mtime_ns) == (size, mtime_ns):
                    current.add(path)
        return current

    def known(self, sha256: Sequence[str]) -> set[str]:
        """Return those pictures that it holds."""
        return {row[0] for row in self._ask("SELECT sha256 FROM pictures WHERE sha256 IN", sha256)}

    def add(self, seen: Iterable[Seen]) -> int:
        """Hold files, with the faces of pictures that are new, in one transaction; return how many faces are new.

        Raises:
            GalleryError: if the file cannot be written.
        """
        added = 0
        with self.changing() as connection:
            for one in seen:
                ask = "SELECT id FROM pictures WHERE sha256 = ?"
                held = connection.execute(ask, (one.sha256,)).fetchone()
                if held is None:
                    added += self._add_picture(connection, one)
                    held = connection.execute(ask, (one.sha256,)).fetchone()
                before = _picture_of(connection, one.file.path)
                connection.execute(
                    "INSERT OR REPLACE INTO files (path, size, mtime_ns, picture) VALUES (?, ?, ?, ?)",
                    (os.fsencode(one.file.path), one.file.size, one.file.mtime_ns, held[0]),
                )
                _drop_unheld(connection, before)
        return added

    def _add_picture(self, connection: sqlite3.Connection, one: Seen) -> int:
        if one.boxes is None or one.scores is None or one.vectors is None:
            raise ContractError(f"{one.file.path}: expected its faces, as its picture is not known, got none")
        picture = connection.execute("INSERT INTO pictures (sha256) VALUES (?)", (one.sha256,)).lastrowid
        for box, score, vector in zip(one.boxes, one.scores, one.vectors, strict=True):
            where = box.astype("<f4").tobytes()
            stored = self._sealer.encrypt(vector.astype("<f4").tobytes(), *_place(one.sha256, where))
            connection.execute(
                "INSERT INTO faces (picture, box, score, vector) VALUES (?, ?, ?, ?)",
                (picture, where, float(score), stored),
            )
        if self.dim == 0 and len(one.vectors):
            connection.execute("UPDATE collection SET dim = ?", (one.vectors.shape[1],))
        return len(one.boxes)

    def forget(self, gone: Iterable[Path]) -> None:
        """Forget files, and the pictures and faces that no file holds any more."""
        with self.changing() as connection:
            for path in gone:
                before = _picture_of(connection, path)
                connection.execute("DELETE FROM files WHERE path = ?", (os.fsencode(path),))
                _drop_unheld(connection, before)

    def files(self) -> Iterator[Path]:
        """Yield every file, by path."""
        with named(self.path):
            for (path,) in self._connection.execute("SELECT path FROM files ORDER BY path"):
                yield Path(os.fsdecode(path))

    def faces(self, *, person: int | None = None, size: int = 4096) -> Iterator[IndexedFaces]:
        """Yield the faces, or those of one group, in batches of at most `size`, in the order they were indexed.

        Raises:
            GalleryError: if it is damaged.
        """
        self._require_key()
        last = 0
        while True:
            with named(self.path):
                rows = self._connection.execute(
                    "SELECT faces.id, sha256, box, score, vector, person, picture FROM faces "
                    "JOIN pictures ON pictures.id = picture WHERE faces.id > ? AND (? IS NULL OR person = ?) "
                    "ORDER BY faces.id LIMIT ?",
                    (last, person, person, size),
                ).fetchall()
                if not rows:
                    return
                yield self._batch(rows)
            last = rows[-1][0]

    def _batch(self, rows: list[tuple[int, str, bytes, float, bytes, int | None, int]]) -> IndexedFaces:
        numbers, sha256, boxes, scores, _, people, pictures = zip(*rows, strict=True)
        try:
            found = self._ask("SELECT picture, path FROM files WHERE picture IN", sorted(set(pictures)))
            held = groupby(sorted(found), key=lambda row: row[0])
            paths = {picture: tuple(Path(os.fsdecode(path)) for _, path in own) for picture, own in held}
            dim = self.dim
            vectors = [self._sealer.decrypt(row[4], *_place(row[1], row[2])) for row in rows]
            return IndexedFaces(
                np.array(numbers, np.int64),
                tuple(paths[picture] for picture in pictures),
                sha256,
                np.frombuffer(b"".join(boxes), "<f4").reshape(len(rows), 4),
                np.array(scores, np.float32),
                Embeddings(np.frombuffer(b"".join(vectors), "<f4").reshape(len(rows), dim), self.space),
                np.array([-1 if person is None else person for person in people], np.int64),
            )
        except (ValueError, TypeError, KeyError) as error:  # ContractError is a ValueError
            raise GalleryError(DAMAGED) from error

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """Return the rows that answer a question in SQL."""
        with named(self.path):
            return self._connection.execute(question).fetchall()

    def _ask(self, question: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), ASKED):
            some = values[start : start + ASKED]
            with named(self.path):
                yield from self._connection.execute(f"{question} ({', '.join('?' * len(some))})", some)


def _place(sha256: str, box: bytes) -> tuple[object, ...]:
    """Return what binds an encrypted vector to its face: the picture, and where in it."""
    return ("index", sha256, box)


def _picture_of(connection: sqlite3.Connection, path: Path) -> int | None:
    found = connection.execute("SELECT picture FROM files WHERE path = ?", (os.fsencode(path),)).fetchone()
    return None if found is None else int(found[0])


def _drop_unheld(connection: sqlite3.Connection, picture: int | None) -> None:
    """Forget a picture, and its faces, where no file has it any more."""
    if connection.execute("SELECT 1 FROM files WHERE picture = ?", (picture,)).fetchone() is None:
        connection.execute("DELETE FROM faces WHERE picture = ?", (picture,))
        connection.execute("DELETE FROM pictures WHERE id = ?", (picture,))
