"""What is read, and how its colours and turns come out; what cannot be read rightly is refused in one line."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from facereg.errors import ImageError
from facereg.images import image_size, read_image, read_picture
from tests.decoding.kinds import COLOURS, GREY, READ, REFUSED, SEVERAL, encoded, of

pytest.importorskip("tifffile")


@pytest.mark.parametrize("name", READ)
def test_a_picture_of_every_kind_gives_its_pixels(name: str) -> None:
    make, expected, tolerance = READ[name]
    content = make()
    pixels = read_image(content)
    assert pixels.shape == expected.shape
    assert int(np.abs(pixels.astype(int) - expected).max()) <= tolerance
    assert image_size(content) == (64, 48)


@pytest.mark.parametrize("name", READ)
def test_further_frames_and_pages_are_told(name: str) -> None:
    assert read_picture(READ[name][0]()).several == (name in SEVERAL)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_rightly_is_refused_in_one_line(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ImageError) as caught:
        read_image(make())
    assert words in str(caught.value)
    assert str(caught.value).startswith("bytes: ")
    assert "\n" not in str(caught.value)


def wide_profile() -> bytes:
    """Return the ICC profile of sRGB with its red and green taken for each other."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = content.index(b"rXYZ"), content.index(b"gXYZ")
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_profile_converts_the_colours(kind: str) -> None:
    red = Pillow.new("RGB", (16, 16), (200, 0, 0))
    pixel = read_image(encoded(red, kind, icc_profile=wide_profile()))[8, 8].astype(int)
    assert np.abs(pixel - [0, 200, 0]).max() <= 6  # what the file calls red is sRGB's green; 6 for what is lossy


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_kind_is_turned_by_its_exif_alone(kind: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    # XMP says otherwise, and is not asked
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    options: dict[str, dict[str, object]] = {
        "TIFF": {"tiffinfo": {274: orientation}},
        "AVIF": {"quality": 100, "subsampling": "4:4:4", "exif": exif},
    }
    lossless: dict[str, object] = (
        {"lossless": True} if kind == "WEBP" else {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    )
    given = options.get(kind, {"exif": exif, **({"xmp": xmp} if kind in ("JPEG", "WEBP") else {}), **lossless})
    # EXIF 2.3, table 4: where row 0 and column 0 of the file are seen
    shown = {
        1: COLOURS,
        2: COLOURS[:, ::-1],
        3: COLOURS[::-1, ::-1],
        4: COLOURS[::-1],
        5: COLOURS.swapaxes(0, 1),
        6: np.rot90(COLOURS, -1),
        7: COLOURS[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(COLOURS, 1),
    }[orientation]
    content = of(COLOURS, kind, **given)
    pixels = read_image(content)
    assert pixels.shape == shown.shape
    assert int(np.abs(pixels.astype(int) - shown).max()) <= 6  # JPEG and AVIF are lossy
    assert image_size(content) == (shown.shape[1], shown.shape[0])


def test_a_png_turned_by_exif_as_text_is_turned() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)  # as ImageMagick does
    assert np.array_equal(read_image(of(COLOURS, "PNG", pnginfo=text)), np.rot90(COLOURS, -1))


def test_heic_without_its_reader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    start = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    with pytest.raises(ImageError, match="HEIC needs another package to be read; install it: pip install pillow-heif"):
        read_image(start)


def test_heic_is_read_where_its_reader_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif.from_pillow(Pillow.fromarray(COLOURS)).save(stream, quality=100, chroma=444)
    assert int(np.abs(read_image(stream.getvalue()).astype(int) - COLOURS).max()) <= 6  # lossy


def test_white_is_told_by_the_highest_number_of_all_strips() -> None:
    tall = np.zeros((3000, 700), np.uint16)  # of several strips
    tall[-1, -1] = 65535
    tall[0, 0] = 4095
    pixels = read_image(of(tall, "PNG"))
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (16, 255)


def test_colours_are_the_same_in_every_strip() -> None:
    tall = np.tile(GREY, (40, 20))
    assert np.array_equal(read_image(of(tall, "PNG"))[:, :, 1], tall)
