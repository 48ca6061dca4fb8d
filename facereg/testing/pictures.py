"""Pictures for checks, made on the spot or taken from a dependency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facereg.geometry import similarity_from_points, template, warp
from facereg.images import read_image
from facereg.testing.checking import CheckSkippedError
from facereg.types import Embeddings, Faces, FloatArray, Image

GREY = 128  # of what is around a portrait that was put into a larger picture


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture with one upright face: its box (4,) and five landmarks (5, 2), within some pixels, by eye."""

    image: Image
    box: FloatArray
    landmarks: FloatArray

    @property
    def faces(self) -> Faces:
        """Return the face as a detector would."""
        return Faces(self.box[None], np.ones(1, np.float32), self.landmarks[None])


def noise(height: int, width: int, *, seed: int = 0) -> Image:
    """Return a picture of coloured noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph() -> Image | None:
    """Return a photograph (512, 512, 3) with one frontal face, or None where scikit-image is not installed."""
    try:
        from skimage import data
    except ImportError:
        return None
    astronaut: Image = data.astronaut()  # type: ignore[no-untyped-call]
    return astronaut


FACE_OF_PHOTOGRAPH = (170.0, 60.0, 275.0, 205.0)  # about, by eye


@cache
def portraits() -> tuple[Portrait, Portrait]:
    """Return photographs of two people: scikit-image's astronaut and matplotlib's admiral.

    Raises:
        CheckSkippedError: if one of the two is not installed.
    """
    try:
        import matplotlib
        from skimage import data
    except ImportError as error:
        needed = "the photographs need scikit-image and matplotlib; pip install 'facereg-core[app]'"
        raise CheckSkippedError(needed) from error
    astronaut: Image = data.astronaut()  # type: ignore[no-untyped-call]
    admiral = read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    return (
        _portrait(astronaut, [175, 74, 272, 184], [[205, 103], [246, 103], [224, 127], [205, 143], [242, 144]]),
        _portrait(admiral, [172, 138, 361, 348], [[224, 192], [306, 191], [266, 239], [231, 274], [302, 273]]),
    )


def _portrait(image: Image, box: list[int], landmarks: list[list[int]]) -> Portrait:
    image = image.view()
    image.setflags(write=False)  # one copy for all checks
    return Portrait(image, np.array(box, np.float32), np.array(landmarks, np.float32))


def placed(portrait: Portrait, height: int, width: int, *, scale: float, at: tuple[int, int]) -> Portrait:
    """Return the portrait, enlarged by `scale`, with its corner at (x, y) of a grey picture, cut off at the edges."""
    x, y = at
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(portrait.image, None, fx=scale, fy=scale, interpolation=how)[: height - y, : width - x]
    image = np.full((height, width, 3), GREY, np.uint8)
    image[y : y + scaled.shape[0], x : x + scaled.shape[1]] = scaled
    box = (portrait.box + 0.5) * scale - 0.5 + np.array([x, y, x, y], np.float32)
    landmarks = (portrait.landmarks + 0.5) * scale - 0.5 + np.array([x, y], np.float32)
    return Portrait(image, box.astype(np.float32), landmarks.astype(np.float32))


def face_crops(size: int, target: FloatArray | None = None) -> npt.NDArray[np.uint8]:
    """Return (2, size, size, 3) uint8 RGB crops, one of each portrait, its landmarks on a template.

    Args:
        target: the embedder's `template`, (5, 2); None is ArcFace's.

    Raises:
        CheckSkippedError: if the portraits are not installed.
    """
    points = template(size) if target is None else target
    return np.stack([warp(each.image, similarity_from_points(each.landmarks, points), size) for each in portraits()])


def crops(count: int, size: int, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return crops (count, size, size, 3) of noise, each smooth enough to be told apart by a network."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    repeat = -(-size // 8)
    return coarse.repeat(repeat, 1).repeat(repeat, 2)[:, :size, :size].copy()


def faces_at(points: list[list[list[float]]]) -> Faces:
    """Return faces with these landmarks (N, 5, 2), the boxes around them."""
    landmarks = np.array(points, np.float32).reshape(-1, 5, 2)
    boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], 1)
    return Faces(boxes, np.linspace(1.0, 0.9, len(landmarks), dtype=np.float32), landmarks)


def vectors(count: int, dim: int, space: str, *, seed: int = 0) -> Embeddings:
    """Return random unit vectors."""
    raw = np.random.default_rng(seed).normal(size=(count, dim))
    return Embeddings(raw / np.linalg.norm(raw, axis=1, keepdims=True), space)
