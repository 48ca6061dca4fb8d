"""Pillow's readers, each called by its own name and within limits; whatever they raise becomes one ImageError."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import TiffImagePlugin

from facereg.decoding.colours import as_stored, to_bytes, to_rgb, white_of
from facereg.decoding.containers import BrokenFile, Container, take_apart
from facereg.decoding.limits import (
    MAX_PIXELS,
    MAX_PIXELS_IN_PYTHON,
    MAX_PIXELS_OF,
    MAX_REDUCED_PIXELS,
    MAX_SCANNED_PIXELS,
    MAX_SCANS,
)
from facereg.decoding.source import Source, name_of, no_picture, read_source
from facereg.decoding.tiff_tags import orientation_of
from facereg.errors import ContractError, ImageError, words_of
from facereg.types import Image

# Pillow's module and class of each format: nothing else can be started, whatever a file is called or holds
READERS = {
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "JPEG2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
}
BITS, COMPRESSION, PHOTOMETRIC, PLANES, SIGNS = 258, 259, 262, 284, 339  # TIFF 6.0
REDUCTIONS = (1, 2, 4, 8)  # that a JPEG is decoded at


class _Tiff(TiffImagePlugin.TiffImageFile):
    """Pillow's reader, without what it does once it has the pixels: read all EXIF, and turn the picture."""

    def load_end(self) -> None:
        pass


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A picture whose header was read and found within the limits.

    Args:
        size: width and height in the file, not turned.
        orientation: 1 to 8, as EXIF has it.
        reduction: 1, 2, 4 or 8: a decoded pixel stands for a square of so many of the file's pixels a side.
        several: whether more frames or pages follow.
    """

    picture: Pillow.Image
    container: Container
    size: tuple[int, int]
    orientation: int
    reduction: int
    several: bool

    def decode(self) -> Image:
        """Return uint8 (H, W, 3) RGB, upright."""
        sixteen = _has_sixteen_bit_colours(self.picture)
        tags, inverted = self.container.tags, False
        if tags is not None:
            inverted = tags.number(self.container.content, PHOTOMETRIC, 1) == 0
        self.picture.load()
        profile = self.container.profile or _profile(self.picture)
        rgb = to_rgb(self.picture, orientation=self.orientation, profile=profile, inverted=inverted)
        if sixteen and rgb.max() < 64:  # 14 bits or fewer in 16
            return self._lower_bits(rgb)
        return rgb

    def _lower_bits(self, rgb: Image) -> Image:
        """Scale a picture of 14 bits or fewer in 16, which would be dark: again, by a decoder that keeps all bits."""
        deep = cv2.imdecode(np.frombuffer(self.container.content, np.uint8), cv2.IMREAD_UNCHANGED)
        stored = as_stored(rgb, self.orientation)
        if deep is None or deep.dtype != np.uint16 or deep.shape != stored.shape:
            raise BrokenFile("expected colours of 16 bits, got 14 or fewer; save it with 8 bits")
        stored[:] = to_bytes(deep[:, :, ::-1], white_of(0, float(deep.max())))
        return rgb


@contextmanager
def opened(source: Source, *, whole: bool = False) -> Iterator[Opened]:
    """Open a picture; whatever is wrong with it, now or while it is decoded, becomes one ImageError.

    Args:
        whole: refuse what would have to be decoded at reduced size.
    Raises:
        ImageError: naming the source, in one line.
    """
    name = name_of(source)
    try:
        container = take_apart(read_source(source))
        if container is None:
            raise no_picture(name)
        with _reader(container) as picture:
            yield _within_limits(picture, container, whole=whole)
    except (ImageError, ContractError):
        raise
    except BrokenFile as error:
        raise ImageError(name, str(error)) from error
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it; make it smaller first") from error
    except Exception as error:  # decoders raise anything on damage: OSError, SyntaxError, struct.error, OverflowError
        raise ImageError(name, f"damaged or truncated picture ({words_of(error, 120)}); copy it again") from error


def _reader(container: Container) -> Pillow.Image:
    stream = io.BytesIO(container.content)
    if container.kind == "TIFF":
        _require_sound(container)
        try:
            return _Tiff(stream)
        except SyntaxError as error:
            reason = words_of(error, 120)
            raise BrokenFile(f"damaged, or a TIFF of a kind that is not read ({reason}); save it as PNG") from error
    if container.kind == "HEIF":
        try:
            heif = import_module("pillow_heif")
        except ImportError as error:
            raise BrokenFile("HEIC needs another package to be read; install it: pip install pillow-heif") from error
        reader: Pillow.Image = heif.HeifImageFile(stream)
        return reader
    module, name = READERS[container.kind]
    try:
        found: Pillow.Image = getattr(import_module(f"PIL.{module}"), name)(stream)
    except ImportError as error:
        raise BrokenFile(
            f"this Pillow reads no {container.kind}; install a newer one: pip install -U pillow"
        ) from error
    return found


def _require_sound(container: Container) -> None:
    """Refuse the TIFFs that Pillow garbles."""
    tags, content = container.tags, container.content
    assert tags is not None  # every TIFF has them
    bits = max(tags.numbers(content, BITS, 1))
    packed = tags.number(content, COMPRESSION, 1) != 1
    if tags.number(content, PLANES, 1) == 2 and bits > 8:
        raise BrokenFile(
            "expected colours side by side, got planes of over 8 bits; save it in one plane or with 8 bits"
        )
    signs = tags.number(content, SIGNS, 1)  # 1 unsigned, 2 signed, 3 float
    if packed and bits > 8 and not tags.little and signs != 1:
        raise BrokenFile("expected a little-endian TIFF, got signed or float numbers the other way round; save it anew")
    if signs == 2 and bits == 8:
        raise BrokenFile("expected numbers 0 to 255 a pixel, got signed ones; save it with 8 or 16 bits, unsigned")


def _within_limits(picture: Pillow.Image, container: Container, *, whole: bool) -> Opened:
    size = width, height = picture.size
    pixels, limit = width * height, MAX_PIXELS_OF.get(container.kind, MAX_PIXELS)
    if any(tile[0] in Pillow.DECODERS for tile in getattr(picture, "tile", ())):
        limit = MAX_PIXELS_IN_PYTHON
    reducible = container.kind == "JPEG" and container.scans == 1 and not whole
    if pixels > (MAX_REDUCED_PIXELS if reducible else limit):
        most = MAX_REDUCED_PIXELS if reducible else limit
        raise BrokenFile(f"expected at most {most:,} pixels, got {width:,} x {height:,}; make it smaller first")
    if container.scans > MAX_SCANS or container.scans * pixels > max(MAX_SCANNED_PIXELS, pixels):
        raise BrokenFile(
            f"expected at most {MAX_SCANS} scans and {MAX_SCANNED_PIXELS:,} scanned pixels in a JPEG, "
            f"got {container.scans:,} scans of {pixels:,}; save it anew"
        )
    reduction = next(by for by in REDUCTIONS if -(-width // by) * -(-height // by) <= limit)
    if reduction > 1:
        picture.draft(None, (width // reduction, height // reduction))
    orientation = container.orientation
    if orientation is None:
        exif = picture.info.get("exif")
        orientation = orientation_of(exif) if isinstance(exif, bytes) else 1
    several = container.several
    if several is None:
        several = getattr(picture, "n_frames", 1) > 1
    return Opened(picture, container, size, orientation, reduction, several)


def _has_sixteen_bit_colours(picture: Pillow.Image) -> bool:
    """Return whether a picture not yet decoded has 16 bits a colour, of which Pillow's RGB keeps the upper 8."""
    if picture.mode not in ("RGB", "RGBA"):
        return False
    for tile in getattr(picture, "tile", ()):
        if ";16" in str(tile) or (tile[0] in ("ppm", "ppm_plain") and tile[3][-1] > 255):  # PPM's largest value
            return True
    return False


def _profile(picture: Pillow.Image) -> bytes | None:
    profile = picture.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile else None
