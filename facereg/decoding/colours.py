"""Whatever colours a decoded picture has to upright 8-bit RGB, a strip at a time: no second copy of it is ever held."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageCms

from facereg.decoding.containers import BrokenFile
from facereg.types import Image

STRIP = 1 << 20  # pixels converted at once
WHITES = (255, 1023, 4095, 16383, 32767, 65535)  # of 8, 10, 12, 14, 15 (signed) and 16 bits
FLOAT_WHITES = (1.0, 255.0, 65535.0)
OVER = 0.1  # of white: what resampling adds at edges
DARK = 1 / 16  # of white: floats that all lie below are of another range


def to_rgb(
    picture: Pillow.Image, *, orientation: int = 1, profile: bytes | None = None, inverted: bool = False
) -> Image:
    """Return uint8 (H, W, 3) sRGB, upright.

    Args:
        picture: decoded.
        orientation: 1 to 8, as EXIF has it.
        profile: the ICC profile of its colours; one that cannot be used is passed over.
        inverted: whether the numbers of a picture deeper than 8 bits grow towards black.
    Raises:
        BrokenFile: if its numbers or colours have no one meaning.
    """
    width, height = picture.size
    upright = np.empty((width, height, 3) if orientation > 4 else (height, width, 3), np.uint8)
    stored = as_stored(upright, orientation)
    white = _white(picture) if is_deep(picture.mode) else 0.0
    colours = _Colours(profile)
    for top, strip in _strips(picture):
        if white:
            strip = Pillow.fromarray(to_bytes(np.asarray(strip), white, inverted=inverted))
        stored[top : top + strip.height] = np.asarray(colours.rgb(strip))
    return upright


def as_stored(upright: Image, orientation: int) -> Image:
    """Return a view of the upright picture in which row 0 and column 0 are those of the file: EXIF 2.3, table 4."""
    if orientation > 4:
        upright = upright.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    # after the exchange of axes the upright rows are the file's columns
    return upright[columns, rows] if orientation > 4 else upright[rows, columns]


def is_deep(mode: str) -> bool:
    """Return whether a Pillow mode has one number of more than 8 bits a pixel."""
    return mode.startswith(("I", "F"))


def white_of(lowest: float, highest: float) -> float:
    """Return the number that means white in a picture of whole numbers: of as few bits as hold its highest.

    Raises:
        BrokenFile: if a number is negative or over 65535.
    """
    if lowest < 0 or highest > WHITES[-1]:
        raise BrokenFile(
            f"expected numbers 0 to {WHITES[-1]} a pixel, got {lowest:g} to {highest:g}; save it with 8 or 16 bits"
        )
    return next(white for white in WHITES if highest <= white)


def to_bytes(numbers: npt.NDArray[np.generic], white: float, *, inverted: bool = False) -> npt.NDArray[np.uint8]:
    """Scale numbers so that `white` is 255, or 0 where inverted."""
    scaled = np.clip(numbers.astype(np.float32) * np.float32(255 / white), 0, 255)
    rounded = np.float32(255.5) - scaled if inverted else scaled + np.float32(0.5)
    return np.asarray(rounded, np.uint8)


def _strips(picture: Pillow.Image) -> Iterator[tuple[int, Pillow.Image]]:
    width, height = picture.size
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height)))


def _white(picture: Pillow.Image) -> float:
    lowest, highest = np.inf, -np.inf
    for _, strip in _strips(picture):
        numbers = np.asarray(strip)
        lowest, highest = min(lowest, float(numbers.min())), max(highest, float(numbers.max()))  # NaN is neither
        if not np.isfinite(numbers).all():
            raise BrokenFile("expected finite numbers, got NaN or infinity; save it with 8 or 16 bits")
    if not picture.mode.startswith("F"):
        return white_of(lowest, highest)
    white = next((white for white in FLOAT_WHITES if highest <= white * (1 + OVER)), 0.0)
    if not white or lowest < -OVER * white or (white > 1 and highest < DARK * white):
        raise BrokenFile(
            "expected numbers 0 to 1, 0 to 255 or 0 to 65535 a pixel, "
            f"got {lowest:g} to {highest:g}; save it with 8 or 16 bits"
        )
    return white


class _Colours:
    """Converts strips of one picture: transparent pixels on black, then by the profile, if there is one, to sRGB."""

    def __init__(self, profile: bytes | None) -> None:
        self._profile = profile
        self._transform: ImageCms.ImageCmsTransform | None = None

    def rgb(self, strip: Pillow.Image) -> Pillow.Image:
        if strip.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in strip.info:
            strip = strip.convert("LA") if strip.mode == "La" else strip
            coloured = strip.convert("RGBA")
            strip = Pillow.alpha_composite(Pillow.new("RGBA", coloured.size, (0, 0, 0, 255)), coloured).convert("RGB")
        elif strip.mode in ("1", "P", "YCbCr"):
            strip = strip.convert("RGB")
        elif strip.mode not in ("L", "RGB", "CMYK"):
            raise BrokenFile(f"expected grey, RGB or CMYK, got {strip.mode}; save it as RGB")
        if self._profile is not None:
            if self._transform is None:
                self._transform = self._open(strip.mode)
            if self._transform is not None:
                return self._transform.apply(strip)
        return strip if strip.mode == "RGB" else strip.convert("RGB")

    def _open(self, mode: str) -> ImageCms.ImageCmsTransform | None:
        """Return the way to sRGB; None where the profile is damaged or of other colours than the picture."""
        try:
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            given = ImageCms.ImageCmsProfile(io.BytesIO(self._profile or b""))
            return ImageCms.ImageCmsTransform(given, srgb, mode, "RGB")
        except Exception:  # the numbers are then taken for sRGB's, as where there is no profile
            self._profile = None
            return None
