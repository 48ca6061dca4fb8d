"""What a matcher holds, kept in a file beside its gallery and mapped into memory: opened, not read again.

The file: arrays, each at a multiple of ALIGN bytes; JSON that says which, of which gallery and of which state of it,
and the sha256 of the arrays; the length of the JSON (8 bytes), its seal (32), and MAGIC.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from facereg.disk.reading import open_file
from facereg.disk.replacing import whole_file
from facereg.errors import GalleryError
from facereg.gallery.contract import Store
from facereg.gallery.seals import SIZE, Sealer

MAGIC = b"FACEidx1"
ALIGN = 64  # bytes of a line of the processor's cache
FOOT = 8 + SIZE + len(MAGIC)
LONGEST = 1 << 20  # bytes of the JSON
CHUNK = 1 << 20
REMEDY = "it is made anew"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept: of which state of the gallery (its seal), and the arrays, mapped into memory."""

    state: bytes
    arrays: Arrays


def write_kept(path: Path, held: Store, kind: str, kept: Kept) -> None:
    """Write a file, its owner's alone; the old one or the new one is there, never a part.

    Raises:
        OSError: if it cannot be written.
    """
    placed: dict[str, tuple[str, list[int], int]] = {}
    if path.is_symlink() or not path.is_file():  # the name is ours: nothing goes through a link or a pipe put there
        path.unlink(missing_ok=True)
    with whole_file(path, private=True) as stream:
        digest, end = hashlib.sha256(), 0
        for name, array in kept.arrays.items():
            placed[name] = (array.dtype.str, list(array.shape), end)
            content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            gap = bytes(-len(content) % ALIGN)
            for part in (content, gap):
                stream.write(part)
                digest.update(part)
            end += len(content) + len(gap)
        said = {"kind": kind, "gallery": held.id, "space": held.space, "state": kept.state.hex(), "arrays": placed}
        text = json.dumps(said | {"sha256": digest.hexdigest()}).encode()
        stream.write(text + len(text).to_bytes(8, "big") + held.sealer.seal("kept", text) + MAGIC)


def read_kept(path: Path, held: Store, kind: str) -> Kept:
    """Open a file, once its seal and every byte were looked at.

    Raises:
        GalleryError: if it is no such file, was cut off or altered, or is another gallery's or kind's.
    """
    with open_file(path, expected="what a matcher kept", error=GalleryError) as stream:
        try:
            said, size = _said(stream, held.sealer)
        except (ValueError, OSError) as error:
            raise GalleryError(f"{path}: {error}; {REMEDY}") from error
        if (said["gallery"], said["space"], said["kind"]) != (held.id, held.space, kind):
            raise GalleryError(f"{path}: belongs to another gallery; {REMEDY}")
        if not size:
            return Kept(bytes.fromhex(said["state"]), {})
        mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
    arrays = {
        name: np.frombuffer(mapped, kind, int(np.prod(shape)), offset).reshape(shape)
        for name, (kind, shape, offset) in said["arrays"].items()
    }
    return Kept(bytes.fromhex(said["state"]), arrays)


def _said(stream: BinaryIO, sealer: Sealer) -> tuple[dict[str, Any], int]:
    """Return what the file says of itself, and the bytes of its arrays, both compared with their seals."""
    whole = stream.seek(0, 2)
    stream.seek(max(0, whole - FOOT))
    foot = stream.read(FOOT)
    length = int.from_bytes(foot[:8], "big")
    size = whole - FOOT - length
    if not foot.endswith(MAGIC) or length > LONGEST or size < 0:
        raise ValueError("was cut off, or is no file of a matcher")
    stream.seek(size)
    text = stream.read(length)
    if foot[8 : 8 + SIZE] != sealer.seal("kept", text):
        raise ValueError("was altered, or sealed with another key")
    said: dict[str, Any] = json.loads(text)
    stream.seek(0)
    digest, left = hashlib.sha256(), size
    while left and (part := stream.read(min(left, CHUNK))):
        digest.update(part)
        left -= len(part)
    if digest.hexdigest() != said["sha256"]:
        raise ValueError("was altered")
    return said, size
