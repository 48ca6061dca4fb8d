"""Files to pixels and back: the only module that opens pictures; `facereg.decoding` is how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facereg.decoding.containers import START, kind_of
from facereg.decoding.decoder import opened
from facereg.decoding.source import Source
from facereg.disk.replacing import write_file
from facereg.errors import ImageError
from facereg.types import Faces, Image, check_image

# By format; of HEIC too, so that such files are named where its reader is not installed.
ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),
}
SUFFIXES = frozenset(ending for endings in ENDINGS.values() for ending in endings)
WRITTEN = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
# pixels: libjpeg's JPEG_MAX_DIMENSION, libwebp's WEBP_MAX_DIMENSION
LONGEST_SIDES = {".jpg": 65_500, ".jpeg": 65_500, ".jpe": 65_500, ".webp": 16_383}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as it was read, and where its pixels lie in the file's.

    Args:
        image: uint8 (H, W, 3) RGB, upright.
        width: of the file's picture, upright, in its own pixels; `image` is smaller where `reduction` is over 1.
        height: likewise.
        reduction: 1, 2, 4 or 8: a pixel of `image` is the mean of a square of so many of the file's pixels a side.
        origin: (x, y) of the centre of the pixel `image[0, 0]` in the file's pixels.
        several: whether the file holds more frames or pages than this, its first.
    """

    image: Image
    width: int
    height: int
    reduction: int = 1
    origin: tuple[float, float] = (0.0, 0.0)
    several: bool = False

    def in_file(self, faces: Faces) -> Faces:
        """Return faces found in `image` in the pixels of the file."""
        return faces if self.reduction == 1 else self._moved(faces, self.reduction, np.array(self.origin))

    def in_image(self, faces: Faces) -> Faces:
        """Return faces in the pixels of the file in those of `image`: the way back from `in_file`."""
        if self.reduction == 1:
            return faces
        return self._moved(faces, 1 / self.reduction, -np.array(self.origin) / self.reduction)

    @staticmethod
    def _moved(faces: Faces, scale: float, shift: npt.NDArray[np.float64]) -> Faces:
        boxes = (faces.boxes.reshape(-1, 2, 2) * scale + shift).astype(np.float32)
        landmarks = (faces.landmarks * scale + shift).astype(np.float32)
        return Faces(boxes.reshape(-1, 4), faces.scores, landmarks)


def read_image(source: Source, *, whole: bool = False) -> Image:
    """Return a picture as uint8 (H, W, 3) sRGB, upright: of several frames or pages the first.

    docs/reference/pictures.md says what is read, how colours are converted, and within which limits.

    Args:
        source: a path, also of a pipe; bytes; a file opened in binary mode.
        whole: refuse a JPEG that would be decoded at a half, a quarter or an eighth of its size, because it is over
            the limit of pixels: for whoever has coordinates in its pixels. `read_picture` says by how much.
    Raises:
        ImageError: if the source is missing, unreadable, empty, truncated, no picture, of colours without a stated
            meaning, or over a limit.
    """
    with opened(source, whole=whole) as picture:
        return picture.decode()


def read_picture(source: Source) -> Picture:
    """Return a picture as `read_image` does, with what it needs to be put back into the file's pixels.

    Raises:
        ImageError: as `read_image`.
    """
    with opened(source) as found:
        image, by = found.decode(), found.reduction
        width, height = _upright(found.size, found.orientation)
    if by == 1:
        return Picture(image, width, height, several=found.several)
    # the decoder reduces from the file's first pixel on: where the picture is turned, its last squares come first
    across = width - by * image.shape[1] if found.orientation in (2, 3, 6, 7) else 0
    down = height - by * image.shape[0] if found.orientation in (3, 4, 7, 8) else 0
    return Picture(image, width, height, by, (across + (by - 1) / 2, down + (by - 1) / 2), found.several)


def image_size(source: Source) -> tuple[int, int]:
    """Return the width and height of a file's picture, upright, without decoding it.

    Raises:
        ImageError: as `read_image`, as far as the header tells.
    """
    with opened(source) as found:
        return _upright(found.size, found.orientation)


def looks_like_picture(path: Path) -> bool:
    """Tell by its first bytes whether a file is of a kind that is read; False where it cannot be opened."""
    try:
        with path.open("rb") as stream:
            return kind_of(stream.read(START)) is not None
    except OSError:
        return False


def _upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation > 4 else size


def write_image(path: str | Path, image: Image) -> None:
    """Write a picture; it appears whole or not at all.

    Raises:
        ContractError: if the array is no image.
        ImageError: if the folder cannot be written, or the ending names no picture format, or one of smaller pictures.
    """
    path = Path(path)
    check_image(image, name=str(path))
    require_picture_name(path)
    longest = LONGEST_SIDES.get(path.suffix.lower())
    if longest and max(image.shape) > longest:
        wanted = f"at most {longest:,} pixels a side in a {path.suffix}"
        raise ImageError(path, f"cannot be written: expected {wanted}, got {max(image.shape):,}; name a .png or .tif")
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_file(path, encoded.tobytes(), ImageError)


def require_picture_name(path: Path) -> None:
    """Raise ImageError unless the ending names a format that pictures are written in."""
    if path.suffix.lower() not in WRITTEN:
        raise ImageError(path, f"cannot write {path.suffix!r}; expected one of {', '.join(WRITTEN)}")


def load_pictures(paths: Iterable[Path]) -> Iterator[tuple[Path, Picture | ImageError]]:
    """Yield each path with its picture, or with what is wrong with it; one bad file stops nothing."""
    for path in paths:
        try:
            yield path, read_picture(path)
        except ImageError as error:
            yield path, error


def load_images(paths: Sequence[Path]) -> Iterator[tuple[Path, Image | ImageError]]:
    """Yield each path with its pixels, or with what is wrong with it; one bad file stops nothing."""
    for path, picture in load_pictures(paths):
        yield path, picture if isinstance(picture, ImageError) else picture.image
