"""What a gallery's key does: seals, which tell that a row was altered, and vectors that nobody without it can read.

A seal is a BLAKE2b hash over cells. With a key nobody without the key can make one; without a key it finds accidents
and careless tools, and not somebody who knows how seals are made. With a key vectors are stored encrypted by
AES-256-GCM (NIST SP 800-38D) as nonce, ciphertext, tag.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from facereg.disk.reading import read_bytes
from facereg.errors import GalleryError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY, KEY_FILE, KEY_COMMAND = "FACEREG_GALLERY_KEY", "FACEREG_GALLERY_KEY_FILE", "FACEREG_GALLERY_KEY_COMMAND"
SHORTEST_KEY = 16  # bytes: 128 bits where they are random
LONGEST_KEY = 4096
COMMAND_S = 60.0  # a person may have to confirm
SIZE = 32  # bytes of a seal
NONCE = 12  # bytes, drawn: 2**32 vectors under one key before two alike are to be feared (SP 800-38D, section 8.3)
TAG = 16  # bytes
_MODULUS = 1 << (8 * SIZE)


class Sealer:
    """Makes seals with a key, or without one; encrypts vectors where there is one.

    Args:
        key: secret bytes, SHORTEST_KEY at least; None makes seals that anybody can make, and encrypts nothing.
    Raises:
        GalleryError: if the key is too short or too long.
        MissingExtraError: if there is a key and no package that encrypts.
    """

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise GalleryError(
                f"key: expected {SHORTEST_KEY} to {LONGEST_KEY} bytes, got {len(key)}; "
                "make one with 'openssl rand -hex 32'"
            )
        self._key = b"" if key is None else hashlib.blake2b(key, digest_size=SIZE, person=b"facereg key").digest()
        self.fingerprint = "" if key is None else self.seal("fingerprint")[:8].hex()  # tells keys apart, not them
        self._cipher = None if key is None else _cipher(key)

    def require(self, fingerprint: str) -> None:
        """Raise GalleryError unless a gallery that is sealed with the key of that fingerprint is ours."""
        if fingerprint == self.fingerprint:
            return
        if not self.fingerprint:
            raise GalleryError(
                "is sealed and encrypted with a key, got none; name its file in FACEREG_GALLERY_KEY_FILE (without the "
                "key its vectors cannot be read: enrol the pictures again)"
            )
        if fingerprint:
            raise GalleryError("expected the key that it is sealed and encrypted with, got another; give that one")
        raise GalleryError(
            "a key was given, and it is sealed and encrypted with none: somebody may have put it there; unset the "
            "key, or have the gallery take it up with 'facereg gallery rotate --unkeyed'"
        )

    def require_replacing(self, fingerprint: str) -> None:
        """Raise GalleryError where a gallery with the key of that fingerprint would give way to one without a key."""
        if fingerprint and not self.fingerprint:
            raise GalleryError(
                "is encrypted with a key, and what is to take its place would not be; name the file of a key in "
                "FACEREG_GALLERY_KEY_FILE, or take the old gallery away first"
            )

    @property
    def overhead(self) -> int:
        """Return how many bytes longer a vector is encrypted."""
        return 0 if self._cipher is None else NONCE + TAG

    def encrypt(self, vector: bytes, *place: object) -> bytes:
        """Return the bytes to store: as they are without a key.

        Args:
            place: cells that say where they are stored, whose they are among it: elsewhere they do not open.
        """
        if self._cipher is None:
            return vector
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, vector, as_bytes(*place))

    def decrypt(self, stored: bytes, *place: object) -> bytes:
        """Return the vector of stored bytes; none, whose seal is wrong, where they were altered or are another's."""
        if self._cipher is None or not isinstance(stored, bytes):
            return stored
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(stored[:NONCE], stored[NONCE:], as_bytes(*place))
        except (InvalidTag, ValueError):
            return b""

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


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtraError(
            "a gallery with a key is encrypted by cryptography; pip install 'facereg-core[encryption]'"
        ) from error
    return AESGCM(hashlib.blake2b(key, digest_size=32, person=b"facereg aes").digest())


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
    except subprocess.TimeoutExpired as error:  # whose words are the whole command, a secret in it or not
        raise GalleryError(f"{KEY_COMMAND}: the command gave no key in {COMMAND_S:.0f} s; run it by hand") from error
    except (OSError, ValueError, IndexError) as error:
        raise GalleryError(f"{KEY_COMMAND}: the command cannot be run ({error}); check it") from error
    if done.returncode:
        raise GalleryError(f"{KEY_COMMAND}: the command ended with status {done.returncode}; run it by hand")
    return done.stdout
