"""The first directory of a TIFF file or an EXIF block: where its tags are, and nothing read that is not asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facereg.decoding.limits import MAX_PARTS

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes
NUMBERS = (1, 3, 4, 16)  # BYTE, SHORT, LONG, LONG8
ORIENTATION = 274  # EXIF 2.3, table 4


@dataclass(frozen=True, slots=True)
class Tag:
    """Values of one tag: how many, of what kind, and the first byte of them in the file."""

    kind: int
    count: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return SIZES.get(self.kind, 1) * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    """Tags by number, the first of each; whether another directory follows; whether numbers are little-endian."""

    tags: Mapping[int, Tag]
    followed: bool
    little: bool

    def number(self, content: bytes, tag: int, default: int) -> int:
        """Return the first value of a tag of whole numbers, `default` where there is none."""
        found = self.tags.get(tag)
        if found is None or found.kind not in NUMBERS or found.count < 1:
            return default
        value = content[found.place : found.place + SIZES[found.kind]]
        return int.from_bytes(value, "little" if self.little else "big") if value else default

    def numbers(self, content: bytes, tag: int, default: int) -> list[int]:
        """Return the values of a tag, at most MAX_PARTS of them."""
        found = self.tags.get(tag)
        if found is None or found.kind not in NUMBERS or found.count < 1:
            return [default]
        size, order = SIZES[found.kind], "little" if self.little else "big"
        stop = min(found.place + size * min(found.count, MAX_PARTS), len(content))
        return [
            int.from_bytes(content[at : at + size], "little" if order == "little" else "big")
            for at in range(found.place, stop, size)
        ] or [default]


def read_directory(content: bytes) -> Directory:
    """Return the first directory; what is odd or cut off is left out, and nothing is raised.

    Source: TIFF 6.0, section 2; BigTIFF: 8-byte offsets and counts, 20-byte entries.
    """
    little = content[:2] != b"MM"

    def number(place: int, size: int) -> int:
        return int.from_bytes(content[place : place + size], "little" if little else "big")

    big = number(2, 2) == 43
    width, entry = (8, 20) if big else (4, 12)  # bytes of an offset, of an entry
    start = number(8, 8) if big else number(4, 4)
    counted = 8 if big else 2
    tags: dict[int, Tag] = {}
    count = min(number(start, counted), (len(content) - start) // entry + 1, MAX_PARTS)
    for place in range(start + counted, start + counted + count * entry, entry):
        if place + entry > len(content):
            break
        tag = Tag(number(place + 2, 2), number(place + 4, width), place + 4 + width)
        if tag.size > width:
            tag = Tag(tag.kind, tag.count, number(tag.place, width))
        tags.setdefault(number(place, 2), tag)
    return Directory(tags, number(start + counted + count * entry, width) != 0, little)


def orientation_of(exif: bytes) -> int:
    """Return how an EXIF block says that the picture is turned: 1 to 8, and 1 where it says nothing or nonsense."""
    block = exif.removeprefix(b"Exif\0\0")
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    value = read_directory(block).number(block, ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1
