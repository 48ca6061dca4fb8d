"""What a gallery's rows hold, and how each tells that it was altered."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facereg.disk import file_sha256
from facereg.errors import ContractError, ImageError
from facereg.types import FloatArray


@dataclass(frozen=True, slots=True)
class Source:
    """Where an embedding came from: a name for people, and the sha256 of the picture file in hex.

    Raises:
        ContractError: if the sha256 is none; a person has each only once.
    """

    name: str
    sha256: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ContractError(f"sha256: expected 64 hex digits, got {self.sha256!r}; use Source.of(path)")

    @classmethod
    def of(cls, path: Path) -> Source:
        """Return the source of a picture file.

        Raises:
            ImageError: if it cannot be read.
        """
        try:
            # a file name may hold bytes that are no text, a gallery may not
            return cls(str(path).encode("utf-8", "backslashreplace").decode(), file_sha256(path))
        except OSError as error:
            raise ImageError(path, f"cannot be read ({error.strerror}); check that it is still there") from error


def person_key(connection: sqlite3.Connection, name: str, created: str) -> int:
    """Return the key of a person, who is made where unknown.

    Raises:
        ContractError: if the name is empty or not one line of text.
    """
    check_name(name)
    connection.execute(
        "INSERT OR IGNORE INTO people (name, created, crc32) VALUES (?, ?, ?)", (name, created, checksum(name, created))
    )
    return int(connection.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()[0])


def insert_row(connection: sqlite3.Connection, person: int, vector: FloatArray, source: Source, created: str) -> int:
    """Add one row; return 0 where the person has that source."""
    blob = np.ascontiguousarray(vector, np.dtype("<f4")).tobytes()
    return connection.execute(
        "INSERT OR IGNORE INTO embeddings (person, vector, source, sha256, created, crc32) VALUES (?, ?, ?, ?, ?, ?)",
        (person, blob, source.name, source.sha256, created, checksum(blob, source.name, source.sha256, created)),
    ).rowcount


class Row(NamedTuple):
    """One embedding as the file holds it."""

    name: str
    vector: bytes
    source: str
    sha256: str
    created: str
    crc32: int

    def problem(self) -> str:
        """Say what is wrong with it; nothing where it is sound."""
        if self.crc32 != checksum(self.vector, self.source, self.sha256, self.created):
            return "its bytes were altered"
        if len(self.vector) == 0 or len(self.vector) % 4:
            return f"has {len(self.vector)} bytes, which is no float32 vector"
        length = float(np.linalg.norm(np.frombuffer(self.vector, "<f4")))
        return "" if abs(length - 1) < 1e-3 else f"has length {length:.3f}, expected 1"


def checksum(*cells: object) -> int:
    """Return the checksum of cells; repr tells bytes from text, which damage may swap, and parts the cells."""
    return zlib.crc32(repr(cells).encode("utf-8", "backslashreplace"))


def check_name(name: str) -> None:
    """Raise ContractError unless a name is one line of text."""
    if not name.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise ContractError(f"name: expected a person's name in one line of text, got {name!r}; rename the person")
