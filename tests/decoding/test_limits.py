"""Small files that ask for much: each is refused, or read within the limits that docs/reference/pictures.md states."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from facereg.decoding import limits
from facereg.errors import ImageError
from facereg.images import read_image
from tests.decoding.kinds import COLOURS, GREY3, encoded, of


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with(*chunks: bytes) -> bytes:
    """Return a small PNG with chunks of metadata before its pixels."""
    plain = of(COLOURS, "PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def many_scans(width: int, height: int, scans: int) -> bytes:
    """Return a progressive JPEG whose last scan comes again and again."""
    plain = encoded(Pillow.new("L", (width, height), 100), "JPEG", progressive=True)
    last = [match.start() for match in re.finditer(rb"\xff\xda", plain)][-1]
    end = plain.rindex(b"\xff\xd9")
    return plain[:last] + plain[last:end] * scans + b"\xff\xd9"


def tiff_of(tags: dict[int, tuple[int, int, int]], tail: int) -> bytes:
    """Return a TIFF of these tags, number: (kind, count, value), and so many bytes of nothing."""
    entries = b"".join(struct.pack("<HHII", number, *each) for number, each in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4 + tail)


BASIC = {256: (3, 1, 10), 257: (3, 1, 10), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 200)}

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "1,500 scans": (
        lambda: many_scans(4000, 3000, 1500),
        "expected at most 100 scans and 1,500,000,000 scanned pixels",
    ),
    "90 scans of 24 megapixels": (lambda: many_scans(6000, 4000, 90), "got 95 scans of 24,000,000; save it anew"),
    "tags that overlap": (
        lambda: tiff_of({**BASIC, **{40000 + n: (7, 90_000, 8) for n in range(50)}}, 100_000),
        "its tags claim more bytes than the file has",
    ),
    "a strip a row, 200,000 rows": (
        lambda: tiff_of({**BASIC, 257: (4, 1, 200_000), 273: (4, 200_000, 8), 278: (3, 1, 1)}, 2_000_000),
        "expected at most 100,000 strips in a TIFF, got 200,000",
    ),
    "a tile of a gigabyte": (
        lambda: tiff_of({**BASIC, 322: (4, 1, 30_000), 323: (4, 1, 30_000), 324: (4, 1, 300)}, 2000),
        "expected at most 89,000,000 pixels in a tile",
    ),
    "150,000 segments": (lambda: b"\xff\xd8" + b"\xff\xec\0\2" * 150_000, "at most 100,000 segments in a JPEG"),
    "150,000 chunks": (lambda: png_with(chunk(b"teSt", b"") * 150_000), "at most 100,000 chunks in a PNG"),
    "a PPM of text": (
        lambda: b"P3 3000 3000 255 " + b"1 " * 99,
        "at most 2,000,000 pixels, got 3,000 x 3,000",
    ),
    "a PPM of an odd white": (lambda: b"P6 3000 3000 254 " + bytes(99), "expected at most 2,000,000 pixels"),
    "a GIF's screen": (lambda: b"GIF89a" + b"\xff" * 4 + bytes(99), "damaged or truncated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_asks_for_too_much_is_refused_at_once(name: str) -> None:
    make, words = REFUSED[name]
    content = make()
    start = time.process_time()
    with pytest.raises(ImageError) as caught:
        read_image(content)
    assert words in str(caught.value)
    assert time.process_time() - start < 2  # seconds; nothing was decoded


def test_metadata_that_grows_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)  # 50 kB
    texts = [chunk(b"zTXt", b"Comment\0\0" + bomb), chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb)]
    profile = chunk(b"iCCP", b"p\0\0" + bomb)
    exif = chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb)
    start = time.process_time()
    assert np.array_equal(read_image(png_with(*texts * 20, profile, exif)), COLOURS)
    assert time.process_time() - start < 2  # seconds; unpacking all would take some 10


def test_a_long_comment_of_many_blocks_is_passed_over() -> None:
    plain = of(GREY3[:, :, 0], "GIF")
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 40_000 + b"\0"  # 10 MB: joined block by block it takes half a minute
    at = 13 + (3 << ((plain[10] & 7) + 1))  # after the screen and its colours
    start = time.process_time()
    assert np.array_equal(read_image(plain[:at] + comment + plain[at:]), GREY3)
    assert time.process_time() - start < 2  # seconds


def test_exif_that_points_at_itself_many_times_is_not_followed() -> None:
    entries = b"".join(struct.pack(">HHII", 40_000 + n, 7, 60_000, 8) for n in range(4000))
    block = (
        b"MM\0*\0\0\0\x08" + struct.pack(">H", 4001) + struct.pack(">HHIHH", 274, 3, 1, 6, 0) + entries + bytes(9000)
    )
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
    plain = of(COLOURS, "JPEG", quality=98, subsampling=0)
    start = time.process_time()
    pixels = read_image(plain[:2] + segment + plain[2:])
    assert time.process_time() - start < 2  # seconds; followed, it would be 240 MB
    assert int(np.abs(pixels.astype(int) - np.rot90(COLOURS, -1)).max()) <= 6


@pytest.mark.parametrize(("mode", "megabytes"), [("RGB", 800), ("RGBA", 800)])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kB there")
def test_a_picture_at_the_limit_takes_stated_memory(mode: str, megabytes: int, tmp_path: Path) -> None:
    side = int(limits.MAX_PIXELS**0.5)
    kind, bits = {"RGB": (2, 24), "RGBA": (6, 32)}[mode]
    packer, row = zlib.compressobj(1), bytes(1 + (side * bits + 7) // 8)
    packed = [packer.compress(row * min(64, side - start)) for start in range(0, side, 64)]
    packed.append(packer.flush())
    header = struct.pack(">IIBBBBB", side, side, 8, kind, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"".join(packed)) + chunk(b"IEND", b"")
    (tmp_path / "large.png").write_bytes(whole)
    assert len(whole) < 2_000_000
    script = f"from facereg.images import read_image; print(read_image({str(tmp_path / 'large.png')!r}).shape)"
    child = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True)"
    child += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", child, sys.executable, "-c", script], capture_output=True, check=True)
    assert str(side) in done.stdout.decode()
    # 4 bytes a pixel in the decoder, 3 in the array, and the interpreter
    assert int(done.stdout.split()[-1]) / 1024 < megabytes


def test_the_page_states_the_limits() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/pictures.md").read_text(encoding="utf-8")
    table = page.partition("## Limits")[2]
    numbers = [limits.MAX_BYTES, limits.MAX_PIXELS, limits.MAX_REDUCED_PIXELS, limits.MAX_SCANS, limits.MAX_PARTS]
    numbers += [limits.MAX_SCANNED_PIXELS, limits.MAX_PIXELS_IN_PYTHON, *limits.MAX_PIXELS_OF.values()]
    for number in numbers:
        assert f"{number:,}" in table
    assert f"{limits.MAX_PROFILE >> 20} MiB" in table
    assert f"{limits.SILENCE_S:.0f} s without a byte, {limits.PIPE_S:.0f} s in all" in table


def test_a_renamed_file_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(args))
    stream = io.BytesIO()
    Pillow.fromarray(COLOURS).save(stream, "EPS")
    (tmp_path / "face.jpg").write_bytes(stream.getvalue())
    with pytest.raises(ImageError, match="another kind"):
        read_image(tmp_path / "face.jpg")
    assert started == []
