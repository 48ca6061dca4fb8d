"""Odd EXIF tags never break a picture; damaged pictures of every kind, under any name, give pixels or one line."""

from __future__ import annotations

import struct
import time
import warnings

import numpy as np
import pytest
from PIL import Image as Pillow

from facereg.errors import ImageError
from facereg.images import read_image
from tests.decoding.kinds import COLOURS, encoded, of

TAGS = (
    *(0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010E, 0x010F, 0x0111, 0x011A, 0x0128, 0x0132, 0x013B, 0x014A, 0x0201),
    *(0x0213, 0x02BC, 0x8298, 0x8769, 0x8825, 0x9003, 0xA005),
)
KINDS = range(1, 13)  # BYTE to DOUBLE
KINDS_OF_FILE = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "DDS", "TGA", "ICO")
CASES = 25  # of each kind of file; the command of CONTRIBUTING.md makes 10,000


def exif_with(tag: int, kind: int) -> bytes:
    """Return an EXIF block that turns the picture, with another tag of this kind, whatever the standard says."""
    entries = sorted([struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0), struct.pack(">HHI4s", tag, kind, 1, b"\xff\xfea\0")])
    return b"Exif\0\0MM\0*\0\0\0\x08\0\2" + b"".join(entries) + bytes(4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tag", TAGS, ids=hex)
def test_one_odd_tag_breaks_nothing(tag: int, kind: int) -> None:
    exif = exif_with(tag, kind)
    assert np.array_equal(read_image(of(COLOURS, "PNG", exif=exif)), np.rot90(COLOURS, -1))
    assert read_image(of(COLOURS, "JPEG", exif=exif)).shape == (64, 48, 3)


@pytest.mark.parametrize("file", ["JPEG", "WEBP", "AVIF"])
def test_a_damaged_exif_block_breaks_nothing(file: str) -> None:
    rng = np.random.default_rng(0)
    block = bytearray(exif_with(0x010F, 2) + bytes(40))
    for _ in range(40):
        damaged = bytearray(block)
        for place in rng.integers(6, len(block), 4):
            damaged[place] = int(rng.integers(256))
        plain = of(COLOURS, file, quality=90)
        if file == "JPEG":
            plain = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(damaged) + 2) + damaged + plain[2:]
        elif file == "WEBP":
            body = plain[12:] + b"EXIF" + struct.pack("<I", len(damaged)) + damaged + bytes(len(damaged) % 2)
            plain = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
        else:
            exif = Pillow.Exif()
            exif[0x010F] = "maker"
            whole = bytearray(of(COLOURS, file, quality=90, exif=exif))
            at = whole.index(b"MM\0*") if b"MM\0*" in whole else whole.index(b"II*\0")
            whole[at : at + 20] = damaged[6:26]
            plain = bytes(whole)
        assert sorted(read_image(plain).shape) == [3, 48, 64]


@pytest.mark.parametrize("name", KINDS_OF_FILE)
def test_a_damaged_file_gives_pixels_or_one_line(name: str) -> None:
    rng = np.random.default_rng(list(name.encode()))
    sound = encoded(Pillow.fromarray(COLOURS), name)
    refused: list[str] = []
    for case in range(CASES):
        altered = bytearray(sound)
        if case % 5 == 0:
            del altered[int(rng.integers(len(sound))) :]
        elif case % 5 == 1:
            place = int(rng.integers(len(sound)))
            altered[place:place] = rng.bytes(int(rng.integers(1, 40)))
        else:
            for place in rng.integers(min(len(sound), (80, 300, len(sound))[case % 3]), size=1 + case % 4):
                altered[place] = int(rng.integers(256))
        start = time.process_time()
        try:
            with warnings.catch_warnings(action="ignore"):  # as the command line does
                pixels = read_image(bytes(altered))
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
        except ImageError as error:
            refused.append(str(error))
        assert time.process_time() - start < 5  # seconds
    assert len(refused) >= CASES // 10  # a cut in the header at least
    assert all(line.startswith("bytes: ") and "\n" not in line and len(line) < 300 for line in refused)
