"""The values that travel between stages: frozen, checked when made, read-only.

Conventions: an image is `uint8 (H, W, 3)` RGB. Coordinates are (x, y) pixels, y down, pixel centres
at integers; boxes are unclipped x1, y1, x2, y2 with width = x2 - x1. Five landmarks come in the order
viewer's-left eye, viewer's-right eye, nose, viewer's-left mouth corner, viewer's-right mouth corner.
Empty is an empty array, never None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError, SpaceMismatchError

Image = npt.NDArray[np.uint8]  # (H, W, 3) RGB
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_PX = 1e6  # a coordinate beyond it lies in no picture, and float32 would no longer hold a pixel's tenth
UNIT_TOLERANCE = 1e-3  # float32 rounding of a 512-d norm stays below 1e-5; float16 storage below 1e-3


def check_image(image: object, *, name: str = "image") -> Image:
    """Return the image unchanged, or raise one clear error.

    Raises:
        ContractError: if it is no uint8 array of shape (H, W, 3) with H, W >= 1.
    """
    if not isinstance(image, np.ndarray):
        raise ContractError(
            f"{name}: expected a uint8 (H, W, 3) RGB array, got {type(image).__name__}; "
            "open files with facereg.read_image"
        )
    if image.dtype != np.uint8:
        raise ContractError(
            f"{name}: expected dtype uint8 with values 0..255, got {image.dtype}; convert it before the call"
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ContractError(f"{name}: expected shape (H, W, 3) with H, W >= 1, got {image.shape}")
    return image


class CheckedImages(list[Image]):
    """Images that were checked: what takes them looks at none of them again."""


def check_images(images: object, *, call: str) -> CheckedImages:
    """Return the images as a list, each checked as in `check_image`, or raise one clear error.

    Args:
        call: what was called, for the message, as 'pipeline.run'.
    Raises:
        ContractError: if it is no list of images, or one of them is none.
    """
    if isinstance(images, CheckedImages):
        return images
    if getattr(images, "ndim", None) in (0, 3) or not isinstance(images, Iterable) or isinstance(images, (str, bytes)):
        got = "one array" if hasattr(images, "ndim") else type(images).__name__
        raise ContractError(f"images: expected a list of images, got {got}; write {call}([image])")
    return CheckedImages(check_image(image, name=f"images[{index}]") for index, image in enumerate(images))


def check_pixels(pixels: object, *, size: int | None = None) -> npt.NDArray[np.uint8]:
    """Return crops unchanged, or raise one clear error.

    Args:
        size: of a crop, in px; None is any.
    Raises:
        ContractError: if they are no uint8 array of shape (N, size, size, 3); N may be 0.
    """
    side = "S" if size is None else size
    expected = f"pixels: expected uint8 (N, {side}, {side}, 3) RGB"
    if not isinstance(pixels, np.ndarray):
        remedy = "; give its pixels" if isinstance(pixels, Crops) else "; stack the crops into one array"
        raise ContractError(f"{expected}, got {type(pixels).__name__}{remedy}")
    got = f"got {pixels.dtype} {pixels.shape}"
    if pixels.dtype != np.uint8:
        raise ContractError(f"{expected} with values 0..255, {got}; convert it before the call")
    if pixels.ndim == 3:
        raise ContractError(f"{expected}, {got}; write pixels[None] for one crop")
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise ContractError(f"{expected}, {got}")
    if size not in (None, pixels.shape[1]):
        raise ContractError(f"{expected}, {got}; align with size={size}")
    return pixels


def _floats(value: object, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    array = np.array(value, dtype=np.float32)  # copies: a frozen value must not alias the caller's array
    if array.size == 0 and array.ndim != len(shape):
        array = array.reshape(tuple(0 if n is None else n for n in shape))
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True)):
        raise ContractError(f"{name}: expected shape {shape} (None: any), got {array.shape}")
    if not np.isfinite(array).all():
        raise ContractError(f"{name}: expected finite numbers, got NaN or infinity")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One row of `Faces`: box (4,), score, landmarks (K, 2)."""

    box: FloatArray
    score: float
    landmarks: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one image, best first.

    Args:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the original image, unclipped.
        scores: (N,) float32, descending.
        landmarks: (N, K, 2) float32; K is 5, or 0 where the detector gives none.
    Raises:
        ContractError: if shapes disagree, a number is not finite, a box is inverted or scores ascend.
    """

    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray = field(default_factory=lambda: np.empty((0, 0, 2), np.float32))

    def __post_init__(self) -> None:
        boxes = _floats(self.boxes, "boxes", (None, 4))
        scores = _floats(self.scores, "scores", (len(boxes),))
        raw = np.asarray(self.landmarks, dtype=np.float32)
        if raw.ndim == 3 and raw.shape[1] == 0 and len(raw) != len(boxes):  # the default: no landmarks
            raw = np.empty((len(boxes), 0, 2), np.float32)
        landmarks = _floats(raw, "landmarks", (len(boxes), None, 2))
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ContractError("boxes: expected x1 <= x2 and y1 <= y2, got an inverted box; give x1 y1 x2 y2")
        if (np.diff(scores) > 0).any():
            raise ContractError("scores: expected descending order; sort the faces by score first")
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "landmarks", landmarks)

    @classmethod
    def empty(cls, *, landmarks: int = 0) -> Faces:
        """Return no faces, with K = `landmarks`."""
        return cls(
            np.empty((0, 4), np.float32),
            np.empty(0, np.float32),
            np.empty((0, landmarks, 2), np.float32),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Face]:
        for box, score, points in zip(self.boxes, self.scores, self.landmarks, strict=True):
            yield Face(box, float(score), points)

    def __getitem__(self, rows: slice | IntArray | BoolArray) -> Faces:
        """Return the chosen rows, in their order of score."""
        return Faces(self.boxes[rows], self.scores[rows], self.landmarks[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned faces of one or several images, in image order.

    Args:
        pixels: (N, S, S, 3) uint8 RGB.
        transforms: (N, 2, 3) float32; crop ~ M @ [x, y, 1] of the image.
        counts: how many crops each image gave; sums to N.
        landmarks: (N, P, 2) float32 in image pixels where the aligner has them; P may be 0.
        refused: why each face of all images, in order, has no crop; '' where it has one. Empty: every face has one.
    Raises:
        ContractError: if shapes or counts disagree, or not as many faces are kept as there are crops.
    """

    pixels: npt.NDArray[np.uint8]
    transforms: FloatArray
    counts: tuple[int, ...]
    landmarks: FloatArray = field(default_factory=lambda: np.empty((0, 0, 2), np.float32))
    refused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        refused = tuple(" ".join(str(reason).split()) for reason in self.refused)
        if refused and refused.count("") != len(np.asarray(self.pixels)):
            raise ContractError(
                f"refused: expected '' for each of {len(np.asarray(self.pixels))} crops and a reason for each other "
                f"face, got {refused.count('')} of ''"
            )
        object.__setattr__(self, "refused", refused)
        pixels = check_pixels(np.asarray(self.pixels)).view()
        pixels.setflags(write=False)
        counts = tuple(int(n) for n in self.counts)
        if sum(counts) != len(pixels) or any(n < 0 for n in counts):
            raise ContractError(f"counts: expected non-negative numbers that sum to {len(pixels)}, got {counts}")
        raw = np.asarray(self.landmarks, dtype=np.float32)
        if raw.ndim == 3 and raw.shape[1] == 0:
            raw = np.empty((len(pixels), 0, 2), np.float32)
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "transforms", _floats(self.transforms, "transforms", (len(pixels), 2, 3)))
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "landmarks", _floats(raw, "landmarks", (len(pixels), None, 2)))

    def require_faces(self, faces: Sequence[int], *, model: str) -> None:
        """Raise ContractError unless these are crops of so many faces in each image, but for those refused.

        Otherwise a crop, and the name found for it, would be taken for another face's.
        """
        if self.refused and len(self.refused) != sum(faces):
            raise ContractError(
                f"{model}: refused: expected an entry for each of {sum(faces)} faces, got {len(self.refused)}"
            )
        kept = tuple(
            self.refused[end - count : end].count("") if self.refused else count
            for end, count in zip(np.cumsum(faces), faces, strict=True)
        )
        if self.counts != kept:
            raise ContractError(
                f"{model}: expected crops of {kept} faces in {len(faces)} images, got {self.counts}; an aligner that "
                "leaves a face out says so in refused"
            )

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Unit vectors and the space they live in.

    Args:
        vectors: (N, D) float32 of length 1.
        space: the model and weights they came from; vectors of two spaces never meet.
    Raises:
        ContractError: if the shape is wrong or a row is not of unit length.
    """

    vectors: FloatArray
    space: str

    def __post_init__(self) -> None:
        vectors = _floats(self.vectors, "vectors", (None, None))
        lengths = np.linalg.norm(vectors, axis=1)
        if len(vectors) and (np.abs(lengths - 1) > UNIT_TOLERANCE).any():
            worst = float(lengths[np.abs(lengths - 1).argmax()])
            raise ContractError(f"vectors: expected rows of length 1, got one of {worst:.4f}; normalise them first")
        object.__setattr__(self, "vectors", vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice | IntArray | BoolArray) -> Embeddings:
        return Embeddings(self.vectors[rows], self.space)

    def require_space(self, space: str) -> None:
        """Raise SpaceMismatchError unless these vectors live in `space`."""
        if self.space != space:
            raise SpaceMismatchError(
                f"embeddings of {self.space!r} cannot be compared with those of {space!r}; embed both with one model"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """One row of `Matches`: `label` is None where nobody known was close enough."""

    label: str | None
    similarity: float
    accepted: bool
    candidates: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The people closest to each probe, best first.

    Args:
        labels: N tuples of k names.
        similarities: (N, k) float32 cosine similarities, descending in a row.
        accepted: (N,) bool; whether the best reaches the threshold in force.
        threshold: that threshold; infinite where there was no matcher.
        changes: how often the matcher's people had changed by then; names from before another count may be of
            somebody who was removed since.
    Raises:
        ContractError: if shapes disagree or a row ascends.
    """

    labels: Sequence[Sequence[str]]
    similarities: FloatArray
    accepted: BoolArray
    threshold: float
    changes: int = 0

    def __post_init__(self) -> None:
        labels = tuple(tuple(str(name) for name in row) for row in self.labels)
        similarities = _floats(self.similarities, "similarities", (len(labels), None))
        accepted = np.array(self.accepted, dtype=np.bool_)
        if accepted.shape != (len(labels),):
            raise ContractError(f"accepted: expected shape {(len(labels),)}, got {accepted.shape}")
        if any(len(row) != similarities.shape[1] for row in labels):
            raise ContractError("labels: expected as many names in a row as there are similarities")
        if (np.diff(similarities, axis=1) > 0).any():
            raise ContractError("similarities: expected descending rows; sort the candidates first")
        accepted.setflags(write=False)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "similarities", similarities)
        object.__setattr__(self, "accepted", accepted)

    @classmethod
    def empty(cls, rows: int = 0) -> Matches:
        """Return what is known of so many probes where nobody was compared with them: nothing, k = 0."""
        return cls([()] * rows, np.empty((rows, 0), np.float32), np.zeros(rows, np.bool_), math.inf)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Match]:
        for names, row, accepted in zip(self.labels, self.similarities, self.accepted, strict=True):
            candidates = tuple((name, float(value)) for name, value in zip(names, row, strict=True))
            best = candidates[0] if candidates else None
            yield Match(
                best[0] if best and accepted else None,
                best[1] if best else 0.0,
                bool(accepted),
                candidates,
            )
