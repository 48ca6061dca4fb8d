"""What a picture file is, and the part of it that is the picture: the rest is never given to a decoder.

Metadata is where decoders break and where small files grow large: EXIF, comments, text, colour profiles, thumbnails,
further pages. What is needed of it, orientation and profile, is read here, within limits.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from facereg.decoding.limits import MAX_EXIF, MAX_PARTS, MAX_PIXELS, MAX_PROFILE
from facereg.decoding.tiff_tags import ORIENTATION, Directory, orientation_of, read_directory

MAX_BLOCKS = 2_000_000  # of 255 bytes: more than MAX_BYTES
START = 32  # bytes that tell the kind
AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
SCAN_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # in coded data; 0xFF00 is a byte, D0 to D7 are restarts
TAG_STRIPS, TAG_TILES, TAG_PROFILE, TAG_TILE_WIDTH, TAG_TILE_HEIGHT = 273, 324, 34675, 322, 323


class BrokenFile(Exception):  # noqa: N818  (the reason, on its way to the ImageError that names the file)
    """A file that is not as its kind should be, or too much of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """A picture file, taken apart.

    Args:
        kind: Pillow's name of the format.
        content: the file without what is no picture.
        orientation: 1 to 8 as in EXIF; None where only the decoder knows.
        profile: the ICC profile; None where there is none, where only the decoder knows, or where it is too long.
        several: whether more frames or pages follow the first; None where only the decoder knows.
        scans: of a JPEG; the decoder walks over the picture so many times.
        tags: of a TIFF.
    """

    kind: str
    content: bytes
    orientation: int | None = None
    profile: bytes | None = None
    several: bool | None = None
    scans: int = 1
    tags: Directory | None = None


def kind_of(start: bytes) -> str | None:
    """Return Pillow's name of the format that a file of these first bytes has; None: it is none that is read."""
    for kind, signature in SIGNATURES:
        if signature.match(start):
            return kind if kind != "PPM" or _begins_as_ppm(start) else None
    if start[4:8] == b"ftyp":
        brands = {start[8:12], *(start[at : at + 4] for at in range(16, min(len(start), START), 4))}
        if brands & AVIF_BRANDS:
            return "AVIF"
        return "HEIF" if brands & HEIF_BRANDS else None
    return None


SIGNATURES = tuple(
    (kind, re.compile(signature, re.DOTALL))
    for kind, signature in (
        ("JPEG", rb"\xff\xd8\xff"),
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("GIF", rb"GIF8[79]a"),
        ("BMP", rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"),  # the sizes of its headers: BM begins words, too
        ("TIFF", rb"II[*+]\0|MM\0[*+]"),
        ("WEBP", rb"RIFF....WEBP"),
        ("PPM", rb"P[1-6fF][ \t\r\n\v\f#]"),
        ("JPEG2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    )
)


def _begins_as_ppm(start: bytes) -> bool:
    """Tell a header of Netpbm, of numbers with white space and comments between them, from a text that begins `P5 `."""
    words = re.sub(rb"#[^\r\n]*", b"", start[2:]).split()
    needed = 2 if start[1:2] in b"14" else 3  # width, height, and the largest value, of bitmaps none
    if len(words) < needed and len(start) < START:
        return False
    return all(
        re.fullmatch(rb"[-+.0-9eE]+" if place == 2 else rb"[0-9]+", word) for place, word in enumerate(words[:needed])
    )


def take_apart(content: bytes) -> Container | None:
    """Return what a file holds; None if it is no picture of a kind that is read.

    Raises:
        BrokenFile: if it is damaged so that its picture cannot be found, or has more parts than are looked at.
    """
    kind = kind_of(content[:START])
    if kind is None:
        return None
    return READERS[kind](content) if kind in READERS else Container(kind, content)


def _jpeg(content: bytes) -> Container:
    """Keep the frame, its tables, JFIF and Adobe markers, which tell the colours: ITU T.81, annex B."""
    kept, profile, exif, components = [content[:2]], [], b"", 0
    place = 2
    for _ in range(MAX_PARTS):
        place = content.find(b"\xff", place)
        while content[place : place + 2] == b"\xff\xff":  # fill bytes
            place += 1
        marker = content[place + 1 : place + 2]
        if place < 0 or not marker or marker == b"\xd9":
            raise BrokenFile("damaged or truncated picture (a JPEG without pixels); copy it again")
        if marker in b"\x00\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8":  # stand alone
            place += 2
            continue
        segment = content[place : place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")]
        body = segment[4:]
        if marker == b"\xda":  # the first scan
            break
        if marker == b"\xe1" and body.startswith(b"Exif\0\0") and not exif:
            exif = body[:MAX_EXIF]
        elif marker == b"\xe2" and body.startswith(b"ICC_PROFILE\0"):
            profile.append(body[12:])  # its number, how many, the bytes
        elif not (b"\xe1" <= marker <= b"\xed" or marker in b"\xef\xfe"):
            kept.append(segment)
            if marker[0] in range(0xC0, 0xD0) and marker not in b"\xc4\xc8\xcc":
                components = body[5] if len(body) > 5 else 0
                progressive = marker in b"\xc2\xc6\xca\xce"
        place += max(len(segment), 4)
    else:
        raise BrokenFile(f"expected at most {MAX_PARTS:,} segments in a JPEG, got more; save it anew")
    one_scan = components != 0 and not progressive and body[:1] == bytes([components])
    kept.append(content[place:])
    whole = b"".join(part[2:] for part in sorted(profile, key=lambda part: part[:1]))
    return Container(
        "JPEG",
        b"".join(kept),
        orientation_of(exif),
        whole if 0 < len(whole) <= MAX_PROFILE else None,
        several=False,
        scans=1 if one_scan else _count_scans(content, place),
    )


def _count_scans(content: bytes, place: int) -> int:
    scans = 0
    for _ in range(MAX_PARTS):
        marker = content[place + 1 : place + 2]
        if marker == b"\xd9":
            return scans
        scans += marker == b"\xda"
        place += 2 + max(int.from_bytes(content[place + 2 : place + 4], "big"), 2)
        found = SCAN_MARKER.search(content, place)
        if found is None:
            return scans
        place = found.start()
    return MAX_PARTS


def _png(content: bytes) -> Container:
    """Keep the chunks that make the picture: PNG, third edition, section 5.6."""
    kept, exif, profile, several = [content[:8]], b"", None, False
    place, end = 8, False
    for _ in range(MAX_PARTS):
        length = int.from_bytes(content[place : place + 4], "big")
        name, stop = content[place + 4 : place + 8], place + 12 + length
        if len(name) < 4:
            break
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(content[place:stop])
        elif name == b"eXIf":
            exif = content[place + 8 : place + 8 + min(length, MAX_EXIF)]
        elif name == b"iCCP":
            profile = _inflated(content[place + 8 : stop - 4].partition(b"\0")[2][1:], MAX_PROFILE)
        elif name in (b"zTXt", b"tEXt") and not exif:
            exif = _raw_exif(name, content[place + 8 : stop - 4])
        several |= name == b"fdAT"
        end = name == b"IEND"
        if end:
            break
        place = stop
    else:
        raise BrokenFile(f"expected at most {MAX_PARTS:,} chunks in a PNG, got more; save it anew")
    return Container("PNG", b"".join(kept), orientation_of(exif), profile, several)


def _inflated(packed: bytes, limit: int) -> bytes | None:
    """Return what zlib packed; None if it is damaged or longer."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, limit)
    except zlib.error:
        return None
    return content if unpacker.eof else None


def _raw_exif(name: bytes, text: bytes) -> bytes:
    """Return the EXIF that ImageMagick wrote into PNGs as text before they had a chunk for it."""
    key, _, value = text.partition(b"\0")
    if key not in (b"Raw profile type exif", b"Raw profile type APP1"):
        return b""
    unpacked = _inflated(value[1:], 3 * MAX_EXIF) if name == b"zTXt" else value
    try:
        return bytes.fromhex(b"".join((unpacked or b"").split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _gif(content: bytes) -> Container:
    """Keep the screen and the first frame with its transparency: GIF89a, appendix B."""
    place = 13 + _gif_table(content[10:11])
    kept, found = [content[:place]], False
    for _ in range(MAX_PARTS):
        start, mark = place, content[place : place + 1]
        if mark == b"!":
            place = _after_blocks(content, place + 2)
            if content[start + 1 : start + 2] == b"\xf9" and not found:
                kept.append(content[start:place])
        elif mark == b"," and not found:
            found, place = True, place + 10
            place = _after_blocks(content, place + _gif_table(content[place - 1 : place]) + 1)
            kept.append(content[start:place])
        else:
            return Container("GIF", b"".join([*kept, b";"]), 1, None, mark == b",")
    raise BrokenFile(f"expected at most {MAX_PARTS:,} blocks in a GIF, got more; save it anew")


def _gif_table(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _after_blocks(content: bytes, place: int) -> int:
    for _ in range(MAX_BLOCKS):
        if place >= len(content) or not content[place]:
            return place + 1
        place += 1 + content[place]
    raise BrokenFile(f"expected at most {MAX_BLOCKS:,} blocks of bytes in a GIF, got more; save it anew")


def _tiff(content: bytes) -> Container:
    """Compare the tags with the file before a decoder believes them; write that it lies upright: it is turned later."""
    directory = read_directory(content)
    sizes = [tag.size for tag in directory.tags.values()]
    if sum(size for size in sizes if size > 8) > len(content):
        raise BrokenFile("damaged or truncated picture (its tags claim more bytes than the file has); copy it again")
    pieces = max((tag.count for number, tag in directory.tags.items() if number in (TAG_STRIPS, TAG_TILES)), default=0)
    if pieces > MAX_PARTS:
        raise BrokenFile(f"expected at most {MAX_PARTS:,} strips in a TIFF, got {pieces:,}; save it anew")
    sides = [directory.number(content, tag, 1) for tag in (TAG_TILE_WIDTH, TAG_TILE_HEIGHT)]
    if sides[0] * sides[1] > MAX_PIXELS:
        raise BrokenFile(f"expected at most {MAX_PIXELS:,} pixels in a tile, got more; save it anew")
    orientation = directory.number(content, ORIENTATION, 1)
    if orientation != 1:
        tag = directory.tags[ORIENTATION]
        one = (1).to_bytes(tag.size // tag.count, "little" if directory.little else "big")
        content = content[: tag.place] + one + content[tag.place + len(one) :]
    profile = directory.tags.get(TAG_PROFILE)
    icc = content[profile.place : profile.place + profile.size] if profile and profile.size <= MAX_PROFILE else None
    return Container(
        "TIFF", content, orientation if 1 <= orientation <= 8 else 1, icc or None, directory.followed, tags=directory
    )


def _boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    place = 0
    for _ in range(64):  # of the outermost level there are few
        size, name = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if size == 1:
            size = int.from_bytes(content[place + 8 : place + 16], "big")
        if size < 8 or len(name) < 4:
            return
        yield name, place, min(place + size, len(content))
        place += size


def _heif(content: bytes) -> Container:
    """Call the EXIF item by another name: ISO/IEC 23008-12, the decoder turns the picture by `irot` and `imir`."""
    for name, start, stop in _boxes(content):
        if name == b"meta":
            hidden = content[start:stop].replace(b"Exif", b"skip")
            content = content[:start] + hidden + content[stop:]
            break
    return Container(kind_of(content[:START]) or "HEIF", content)


READERS: dict[str, Callable[[bytes], Container]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "TIFF": _tiff,
    "AVIF": _heif,
    "HEIF": _heif,
}
