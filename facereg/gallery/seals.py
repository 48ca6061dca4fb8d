"""Seals: what lets a gallery tell that a row was altered, exchanged, added or taken away by another program.

A seal is a BLAKE2b hash over cells. With a key nobody without the key can make one; without a key it finds accidents
and careless tools, and not somebody who knows how seals are made.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from pathlib import Path

from facereg.disk.reading import read_bytes
from facereg.errors import GalleryError

KEY, KEY_FILE, KEY_COMMAND = "FACEREG_GALLERY_KEY", "FACEREG_GALLERY_KEY_FILE", "FACEREG_GALLERY_KEY_COMMAND"
SHORTEST_KEY = 16  # bytes: 128 bits where they are random
LONGEST_KEY = 4096
COMMAND_S = 60.0  # a person may have to confirm
SIZE = 32  # bytes of a seal
_MODULUS = 1 << (8 * SIZE)


class Sealer:
    """Makes seals with a key, or without one.

    Args:
        key: secret bytes, SHORTEST_KEY at least; None makes seals that anybody can make.
    Raises:
        GalleryError: if the key is too short or too long.
    """

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise GalleryError(
                f"key: expected {SHORTEST_KEY} to {LONGEST_KEY} bytes, got {len(key)}; "
                "make one with 'openssl rand -hex 32'"
            )
        self._key = b"" if key is None else hashlib.blake2b(key, digest_size=SIZE, person=b"facereg key").digest()
        self.fingerprint = "" if key is None else self.seal("fingerprint")[:8].hex()  # tells keys apart, not them

    @classmethod
    def of(cls, key: bytes | None) -> Sealer:
        """Return the sealer of a key; of that which the environment names, if any, where it is None.

        Raises:
            GalleryError: if the key is none.
        """
        return cls(key_from_environment() if key is None else key)

    def seal(self, *cells: object) -> bytes:
        """Return the seal of cells: None, whole numbers, text or bytes."""
        digest = hashlib.blake2b(digest_size=SIZE, key=self._key, person=b"facereg seal")
        digest.update(as_bytes(*cells))
        return digest.digest()

    def running(self) -> hashlib.blake2b:
        """Return a hash to feed with many rows (`as_bytes`), sealed as `seal` does."""
        return hashlib.blake2b(digest_size=SIZE, key=self._key, person=b"facereg export")


def as_bytes(*cells: object) -> bytes:
    """Return cells so that no other cells give the same bytes: each with its kind and its length."""
    parts = []
    for cell in cells:
        if isinstance(cell, bytes):
            kind, content = b"b", cell
        elif isinstance(cell, str):
            kind, content = b"s", cell.encode("utf-8", "surrogatepass")
        else:
            kind, content = type(cell).__name__[:1].encode(), repr(cell).encode()
        parts += [kind, len(content).to_bytes(8, "big"), content]
    return b"".join(parts)


def added(total: bytes, seal: object, sign: int = 1) -> bytes:
    """Return the sum of seals with one more, or (sign -1) one less: it does not depend on their order.

    What another program put in the place of a seal may be no bytes: it counts for nothing.
    """
    if not isinstance(seal, bytes):
        return total
    value = int.from_bytes(total, "big") + sign * int.from_bytes(seal, "big")
    return (value % _MODULUS).to_bytes(SIZE, "big")


def key_from_environment() -> bytes | None:
    """Return the key of galleries: of FACEREG_GALLERY_KEY, or of the file or command that a variable names, or None.

    Line ends about it are no part of it.

    Raises:
        GalleryError: if several variables are set, or the file or the command gives no key.
    """
    given = [name for name in (KEY, KEY_FILE, KEY_COMMAND) if name in os.environ]
    if not given:
        return None
    if len(given) > 1:
        raise GalleryError(f"expected one of {', '.join(given)}, got {len(given)}; unset the others")
    [name] = given
    value = os.environ[name]
    if name == KEY:
        key = os.fsencode(value)
    elif name == KEY_FILE:
        key = read_key_file(Path(value))
    else:
        key = _key_of_command(value)
    key = key.strip(b"\r\n")
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:  # here the variable can be named
        raise GalleryError(
            f"{name}: expected a key of {SHORTEST_KEY} to {LONGEST_KEY} bytes, got {len(key)}; "
            "make one with 'openssl rand -hex 32'"
        )
    return key


def read_key_file(path: Path) -> bytes:
    """Return the key that a file holds.

    Raises:
        GalleryError: if it cannot be read.
    """
    content = read_bytes(path, expected="the key of a gallery", limit=LONGEST_KEY + 2, error=GalleryError)
    return content.strip(b"\r\n")


def _key_of_command(command: str) -> bytes:
    try:
        done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, timeout=COMMAND_S, check=False)
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise GalleryError(f"{KEY_COMMAND}: the command cannot be run ({error}); check it") from error
    if done.returncode:
        raise GalleryError(f"{KEY_COMMAND}: the command ended with status {done.returncode}; run it by hand")
    return done.stdout
