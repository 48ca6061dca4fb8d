"""Pictures for checks, made on the spot or taken from a dependency."""

from __future__ import annotations

import numpy as np

from facereg.types import Crops, Embeddings, Faces, Image


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


def crops(count: int, size: int, *, seed: int = 0) -> Crops:
    """Return crops of noise, each smooth enough to be told apart by a network."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    repeat = -(-size // 8)
    return Crops.from_pixels(coarse.repeat(repeat, 1).repeat(repeat, 2)[:, :size, :size].copy())


def faces_at(points: list[list[list[float]]]) -> Faces:
    """Return faces with these landmarks (N, 5, 2), the boxes around them."""
    landmarks = np.array(points, np.float32).reshape(-1, 5, 2)
    boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], 1)
    return Faces(boxes, np.linspace(1.0, 0.9, len(landmarks), dtype=np.float32), landmarks)


def vectors(count: int, dim: int, space: str, *, seed: int = 0) -> Embeddings:
    """Return random unit vectors."""
    raw = np.random.default_rng(seed).normal(size=(count, dim))
    return Embeddings(raw / np.linalg.norm(raw, axis=1, keepdims=True), space)
