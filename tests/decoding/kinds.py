"""Picture files of every kind, made here, each with the pixels that it should give."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageCms

from facereg.types import Image

ROWS, COLUMNS = np.mgrid[0:48, 0:64]
COLOURS: Image = np.stack([COLUMNS * 4, ROWS * 5, COLUMNS + ROWS], 2).astype(np.uint8)
GREY: Image = COLOURS[:, :, 0]
GREY3: Image = np.repeat(GREY[:, :, None], 3, 2)
BITMAP = Pillow.fromarray(GREY > 99)
BITMAP3: Image = np.where(GREY3 > 99, 255, 0).astype(np.uint8)
DEEP: npt.NDArray[np.uint16] = GREY.astype(np.uint16)


def encoded(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of a picture file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def of(array: npt.NDArray[np.generic], kind: str, **options: object) -> bytes:
    """Return the bytes of a picture file of these numbers."""
    return encoded(Pillow.fromarray(array), kind, **options)


def deep_colours(ending: str, bits: int) -> bytes:
    """Return 16-bit RGB whose numbers use only the lower bits."""
    numbers = (COLOURS.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    return cv2.imencode(ending, numbers[:, :, ::-1])[1].tobytes()


def tiff(array: npt.NDArray[np.generic], **options: object) -> bytes:
    """Return a TIFF that Pillow itself could not write."""
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def srgb() -> bytes:
    """Return the ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# name: file, pixels expected, most that a pixel may differ
READ: dict[str, tuple[Callable[[], bytes], Image, int]] = {
    "jpeg": (lambda: of(COLOURS, "JPEG", quality=98, subsampling=0), COLOURS, 6),  # lossy
    "progressive jpeg": (lambda: of(COLOURS, "JPEG", quality=98, subsampling=0, progressive=True), COLOURS, 6),
    "grey jpeg": (lambda: of(GREY, "JPEG", quality=98), GREY3, 6),
    "png": (lambda: of(COLOURS, "PNG"), COLOURS, 0),
    "bmp": (lambda: of(COLOURS, "BMP"), COLOURS, 0),
    "ppm": (lambda: of(COLOURS, "PPM"), COLOURS, 0),
    "webp": (lambda: of(COLOURS, "WEBP", lossless=True), COLOURS, 0),
    "jpeg 2000": (lambda: of(COLOURS, "JPEG2000"), COLOURS, 1),
    "avif": (lambda: of(COLOURS, "AVIF", quality=100, subsampling="4:4:4"), COLOURS, 6),
    "gif": (lambda: of(GREY, "GIF"), GREY3, 0),
    "1 bit png": (lambda: encoded(BITMAP, "PNG"), BITMAP3, 0),
    "1 bit fax tiff": (lambda: encoded(BITMAP, "TIFF", compression="group4"), BITMAP3, 0),
    "palette": (lambda: encoded(Pillow.fromarray(GREY).convert("P"), "PNG"), GREY3, 0),
    "grey with alpha, on black": (
        lambda: encoded(Pillow.merge("LA", [Pillow.fromarray(GREY), Pillow.new("L", (64, 48), 128)]), "PNG"),
        (GREY3 * (128 / 255)).round().astype(np.uint8),
        1,
    ),
    "cmyk tiff": (lambda: encoded(Pillow.fromarray(COLOURS).convert("CMYK"), "TIFF"), COLOURS, 2),
    "cmyk jpeg": (lambda: encoded(Pillow.fromarray(COLOURS).convert("CMYK"), "JPEG", quality=100), COLOURS, 8),
    "16 bit png": (lambda: of(DEEP * 257, "PNG"), GREY3, 0),
    "12 bits in 16, grey png": (lambda: of(DEEP * 16, "PNG"), GREY3, 1),
    "12 bits in 16, grey tiff": (lambda: of(DEEP * 16, "TIFF"), GREY3, 1),
    "8 bits in 16, grey tiff": (lambda: of(DEEP, "TIFF"), GREY3, 0),
    **{
        f"{bits} bits in 16, colours {ending}": (partial(deep_colours, ending, bits), COLOURS, 2)
        for ending in (".png", ".tif", ".ppm")
        for bits in (16, 14, 12, 10, 8)
    },
    "dark ppm of text": (
        lambda: b"P3 64 48 254 " + b" ".join(b"%d" % (value // 8) for value in COLOURS.ravel().tolist()),
        COLOURS // 8,
        1,
    ),
    "ppm of an odd white": (lambda: b"P6 64 48 254 " + COLOURS.tobytes(), COLOURS, 1),
    "float 0 to 1": (lambda: of((GREY / 255).astype(np.float32), "TIFF"), GREY3, 0),
    "float a little beyond 1": (lambda: of((GREY / 255 * 1.04 - 0.02).astype(np.float32), "TIFF"), GREY3, 7),
    "float 0 to 255": (lambda: of(GREY.astype(np.float32), "TIFF"), GREY3, 0),
    "float 0 to 65535": (lambda: of(GREY.astype(np.float32) * 257, "TIFF"), GREY3, 0),
    "32 bit whole numbers to 65535": (lambda: of(GREY.astype(np.int32) * 257, "TIFF"), GREY3, 0),
    "min is white": (lambda: tiff(255 - GREY, photometric="miniswhite"), GREY3, 0),
    "16 bit min is white": (lambda: tiff(65535 - DEEP * 257, photometric="miniswhite"), GREY3, 0),
    "float min is white": (lambda: tiff((1 - GREY / 255).astype(np.float32), photometric="miniswhite"), GREY3, 0),
    "planes of 8 bits": (
        lambda: tiff(np.ascontiguousarray(np.moveaxis(COLOURS, 2, 0)), photometric="rgb", planarconfig="separate"),
        COLOURS,
        0,
    ),
    "big tiff": (lambda: tiff(COLOURS, photometric="rgb", bigtiff=True), COLOURS, 0),
    "tiff the other way round": (lambda: tiff(DEEP * 257, byteorder=">", compression="zlib"), GREY3, 0),
    "several pages": (lambda: tiff(np.stack([GREY, 255 - GREY])), GREY3, 0),
    "animated gif": (
        lambda: of(GREY, "GIF", save_all=True, append_images=[Pillow.fromarray(255 - GREY)]),
        GREY3,
        0,
    ),
    "animated png": (
        lambda: of(COLOURS, "PNG", save_all=True, append_images=[Pillow.fromarray(255 - COLOURS)]),
        COLOURS,
        0,
    ),
    "animated webp": (
        lambda: of(COLOURS, "WEBP", lossless=True, save_all=True, append_images=[Pillow.fromarray(255 - COLOURS)]),
        COLOURS,
        0,
    ),
    "profile of sRGB": (lambda: of(COLOURS, "PNG", icc_profile=srgb()), COLOURS, 1),
    "profile of colours on grey": (lambda: of(GREY, "PNG", icc_profile=srgb()), GREY3, 0),
    "damaged profile": (lambda: of(COLOURS, "PNG", icc_profile=b"no profile" * 20), COLOURS, 0),
}
SEVERAL = {"several pages", "animated gif", "animated png", "animated webp"}

# name: file, words of the error
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "planes of 16 bits": (
        lambda: tiff(np.moveaxis(COLOURS, 2, 0).astype(np.uint16), photometric="rgb", planarconfig="separate"),
        "planes of over 8 bits; save it in one plane",
    ),
    "float of both signs": (lambda: of(GREY.astype(np.float32) - 128, "TIFF"), "got -128 to 124; save it with 8 or 16"),
    "float 0 to 5": (lambda: of((GREY / 50).astype(np.float32), "TIFF"), "got 0 to 5.04; save it with 8 or 16"),
    "float NaN": (lambda: of(np.full((4, 4), np.nan, np.float32), "TIFF"), "got NaN or infinity; save it with 8 or 16"),
    "32 bits": (lambda: of(GREY.astype(np.int32) * 100_000, "TIFF"), "expected numbers 0 to 65535 a pixel"),
    "signed": (lambda: tiff((GREY // 2).astype(np.int8)), "got signed ones; save it with 8 or 16 bits"),
    "float colours": (
        lambda: tiff((COLOURS / 255).astype(np.float32), photometric="rgb"),
        "a TIFF of a kind that is not read",
    ),
    "float the other way round, packed": (
        lambda: tiff((GREY / 255).astype(np.float32), byteorder=">", compression="zlib"),
        "expected a little-endian TIFF",
    ),
    "12 bits in 16 with alpha": (
        lambda: cv2.imencode(".png", np.full((4, 4, 4), 4095, np.uint16))[1].tobytes(),
        "got 14 or fewer; save it with 8 bits",
    ),
    "lab": (lambda: encoded(Pillow.new("LAB", (4, 4)), "TIFF"), "expected grey, RGB or CMYK, got LAB"),
    # what Pillow would open by other readers: these start programs, or are told by nothing in the file
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n" * 3, "another kind"),
    "pdf": (lambda: b"%PDF-1.4\n" * 9, "another kind"),
    **{
        kind.lower(): (partial(of, COLOURS, kind), "another kind")
        for kind in ("TGA", "DDS", "ICO", "PCX", "SGI", "EPS", "PDF", "SPIDER")
    },
    "wmf": (lambda: b"\xd7\xcd\xc6\x9a" + bytes(60), "another kind"),
    "text": (lambda: b"this is no picture" * 4, "another kind"),
}
