"""Files to pixels and back: the only module that opens pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow

from facereg.disk import write_atomically
from facereg.errors import ImageError
from facereg.types import Image, check_image

MAX_PIXELS = 89_000_000  # 267 MB of pixels, about where Pillow begins to warn; 20,000 x 20,000 would take 1.2 GB
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})


def read_image(path: str | Path) -> Image:
    """Return a picture as uint8 (H, W, 3) RGB, upright.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit pictures are converted; transparent pixels
    are shown on black.

    Raises:
        ImageError: if the file is missing, unreadable, empty, truncated, no picture, or over MAX_PIXELS.
    """
    with _opened(Path(path)) as picture:
        return _to_rgb(ImageOps.exif_transpose(picture))


def image_size(path: str | Path) -> tuple[int, int]:
    """Return the width and height that `read_image` would give, without reading the pixels.

    Raises:
        ImageError: as `read_image`, as far as the header tells.
    """
    with _opened(Path(path)) as picture:
        width, height = picture.size
        on_its_side = picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return (height, width) if on_its_side else (width, height)


@contextmanager
def _opened(path: Path) -> Iterator[Pillow.Image]:
    """Open a picture; whatever is wrong with it, now or while it is decoded, becomes one ImageError."""
    try:
        if path.is_dir():
            raise ImageError(path, "expected a picture, got a folder; name a file in it")
        if path.stat().st_size == 0:
            raise ImageError(path, "expected a picture, got a file of 0 bytes; copy it again")
        with Pillow.open(path) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    path, f"expected at most {MAX_PIXELS:,} pixels, got {width:,} x {height:,}; make it smaller first"
                )
            yield picture
    except UnidentifiedImageError as error:
        raise ImageError(path, "expected a picture, got a file of another kind; check what it holds") from error
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise ImageError(
            path, f"expected at most {MAX_PIXELS:,} pixels, got far more; make it smaller first"
        ) from error
    except FileNotFoundError as error:
        raise ImageError(path, "expected a picture, found no such file; check the path") from error
    except PermissionError as error:
        raise ImageError(path, "no right to read it; change its permissions") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on damage
        raise ImageError(path, f"damaged or truncated picture ({_line(error)}); copy it again") from error


def _to_rgb(picture: Pillow.Image) -> Image:
    if picture.mode.startswith(("I", "F")):  # 16 and 32 bits a pixel: Pillow's own conversion clips at 255
        pixels = np.asarray(picture).astype(np.float64)
        top = 65535.0 if pixels.max() > 255 else 255.0
        grey = np.clip(pixels * (255.0 / top) + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        coloured = picture.convert("RGBA")
        black = Pillow.new("RGBA", coloured.size, (0, 0, 0, 255))
        picture = Pillow.alpha_composite(black, coloured)
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def write_image(path: str | Path, image: Image) -> None:
    """Write a picture; it appears whole or not at all.

    Raises:
        ContractError: if the array is no image.
        ImageError: if the folder cannot be written or the ending names no picture format.
    """
    path = Path(path)
    check_image(image, name=str(path))
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(path, f"cannot write {path.suffix!r}; expected one of {', '.join(sorted(SUFFIXES))}")
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encoded.tobytes())
    except OSError as error:
        raise ImageError(path, f"cannot be written ({_line(error)}); check the folder's rights and space") from error


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the picture files named, and those in the folders named, in order of name.

    Raises:
        ImageError: if a path is missing or a folder holds no picture.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        try:
            is_folder = path.is_dir()
            if is_folder:
                os.scandir(path).close()  # rglob passes over what it may not read
        except OSError as error:
            raise ImageError(path, f"cannot be read ({error.strerror}); change the rights of its folder") from error
        if not is_folder:
            found.append(path)  # read_image says what is wrong with it, so that the others are done
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            raise ImageError(path, f"expected pictures in this folder, found none ({', '.join(sorted(SUFFIXES))})")
        found.extend(inside)
    return found


def load_images(paths: Sequence[Path]) -> Iterator[tuple[Path, Image | ImageError]]:
    """Yield each path with its pixels, or with what is wrong with it; one bad file stops nothing."""
    for path in paths:
        try:
            yield path, read_image(path)
        except ImageError as error:
            yield path, error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
