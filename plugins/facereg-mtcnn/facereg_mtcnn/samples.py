"""Training samples: windows of labelled pictures, classed by IoU, in arrays on disk.

A face is positive from IoU 0.65 and a part from 0.4; background stays below 0.3 (Zhang et al. 2016, section 3.2).
Unlike there, landmarks are learned on every window of a face that has them, not on windows of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facereg import FloatArray, Image, box_overlap, read_image
from facereg.training import LabelledImage, whole_file
from facereg_mtcnn.pyramid import crop_squares, summed_area

NEGATIVE, POSITIVE, PART = 0, 1, 2
BACKGROUND_BELOW, PART_FROM, POSITIVE_FROM = 0.3, 0.4, 0.65
LEAST_SIDE = 8.0  # px; a smaller face is neither learned nor background
CHUNK = 128  # pictures in one set of files
NEAR = 4  # background windows beside each face
PLACES = 1500.0  # px of picture for each background window at random
FIELDS = ("kinds", "offsets", "points", "crops")  # the last is written last, and tells that a chunk is done
Propose = Callable[[Image], FloatArray]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many windows to keep.

    Args:
        size: side of the crops.
        inclusive: whether a window's side counts both end pixels, as after P-Net.
        around: windows tried around each face.
        most: largest number of background windows of one picture.
    """

    size: int
    inclusive: bool
    around: int
    most: int


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """All chunks of a folder; crops stay on disk."""

    kinds: npt.NDArray[np.int8]  # (N,)
    offsets: FloatArray  # (N, 4) from window to face, in sides
    points: FloatArray  # (N, 5, 2) in the window, NaN where unknown
    crops: tuple[npt.NDArray[np.uint8], ...]  # (n, 3, s, s) each
    starts: npt.NDArray[np.int64]  # first row of each chunk

    @classmethod
    def open(cls, folder: Path) -> Samples:
        """Open the samples that `make_samples` wrote."""
        chunks = sorted(path.name.split("-")[0] for path in folder.glob("*-crops.npy"))
        crops = tuple(np.load(folder / f"{chunk}-crops.npy", mmap_mode="r") for chunk in chunks)
        kinds, offsets, points = (
            np.concatenate([np.load(folder / f"{chunk}-{field}.npy") for chunk in chunks]) for field in FIELDS[:3]
        )
        starts = np.cumsum([0, *(len(part) for part in crops[:-1])])
        return cls(kinds, offsets, points, crops, starts)

    def pixels(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return the crops of the rows, (B, 3, s, s)."""
        out = np.empty((len(rows), *self.crops[0].shape[1:]), np.uint8)
        chunk = np.searchsorted(self.starts, rows, side="right") - 1
        for index in np.unique(chunk):
            mine = chunk == index
            out[mine] = self.crops[index][rows[mine] - self.starts[index]]
        return out


def make_samples(
    items: Sequence[LabelledImage], folder: Path, plan: Plan, *, propose: Propose | None, seed: int, prefix: str = ""
) -> None:
    """Write the chunks that are missing; `propose` gives the windows that the stages before took for faces."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(items), CHUNK)):
        name = f"{prefix}{number:03d}"
        if (folder / f"{name}-crops.npy").exists():
            continue
        rng = np.random.default_rng((seed, plan.size, number))
        parts = []
        for item in items[start : start + CHUNK]:
            image = read_image(item.path, whole=True)
            mined = np.empty((0, 4), np.float32) if propose is None else propose(image)
            parts.append(_sample(item, image, mined, plan, rng))
        for field, values in zip(FIELDS, zip(*parts, strict=True), strict=True):
            with whole_file(folder / f"{name}-{field}.npy") as stream:
                np.save(stream, np.concatenate(values))
        print(f"{folder}: {start + len(parts)}/{len(items)} pictures", file=sys.stderr)  # noqa: T201


def _sample(
    item: LabelledImage, image: Image, mined: FloatArray, plan: Plan, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int8], FloatArray, FloatArray, npt.NDArray[np.uint8]]:
    height, width = image.shape[:2]
    learned = ~item.ignored & ((item.boxes[:, 2:] - item.boxes[:, :2]).min(1) >= LEAST_SIDE)
    faces = item.boxes[learned]
    tried = np.concatenate([mined, windows_around(faces, plan.around, rng)])
    kinds, owner = classify(tried, faces, item.boxes)
    anywhere = np.concatenate(
        [windows_anywhere(height, width, rng), windows_around(faces, NEAR, rng, shift=1.2, grow=(0.2, 1.5))]
    )
    background = classify(anywhere, faces, item.boxes)[0] == NEGATIVE
    hard, rest = np.flatnonzero(kinds == NEGATIVE), np.flatnonzero(background)
    hard = rng.permutation(hard)[: plan.most]
    rest = rng.permutation(rest)[: plan.most if len(mined) == 0 else plan.most // 4]
    kept = np.concatenate([np.flatnonzero(kinds > NEGATIVE), hard])
    windows = np.concatenate([tried[kept], anywhere[rest]])
    kinds = np.concatenate([kinds[kept], np.full(len(rest), NEGATIVE, np.int8)])
    owner = np.concatenate([owner[kept], np.zeros(len(rest), np.int64)])
    crops, usable = crop_squares(summed_area(image), windows, plan.size)
    windows, kinds, owner = windows[usable], kinds[usable], owner[usable]
    offsets = np.zeros((len(windows), 4), np.float32)
    points = np.full((len(windows), 5, 2), np.nan, np.float32)
    face = kinds > NEGATIVE
    if face.any():
        corner = windows[face, :2]
        side = windows[face, 2:] - corner + np.float32(plan.inclusive)
        offsets[face] = (faces[owner[face]] - windows[face]) / np.tile(side, 2)
        points[face] = (item.points[learned][owner[face]] - corner[:, None] + 1) / side[:, None]
    return kinds.astype(np.int8), offsets, points, np.rint(crops).astype(np.uint8)


def classify(
    windows: FloatArray, faces: FloatArray, known: FloatArray
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Return the kind of each window (N,), -1 where it is none, and the face (N,) it overlaps most.

    Args:
        windows: (N, 4), one-based and inclusive.
        faces: (F, 4) boxes to learn.
        known: (K, 4) boxes that background must keep clear of: faces and ignored ones.
    """
    edges = windows - np.array([1, 1, 0, 0], np.float32)
    kinds, owner = np.full(len(windows), -1, np.int8), np.zeros(len(windows), np.int64)
    if len(windows) == 0:
        return kinds, owner
    clear = box_overlap(edges, known).max(1, initial=0.0) < BACKGROUND_BELOW
    kinds[clear] = NEGATIVE
    if len(faces):
        overlap = box_overlap(edges, faces)  # (N, F)
        best, owner = overlap.max(1), overlap.argmax(1)
        kinds[best >= PART_FROM] = PART
        kinds[best >= POSITIVE_FROM] = POSITIVE
    return kinds, owner


def windows_around(
    boxes: FloatArray,
    count: int,
    rng: np.random.Generator,
    *,
    shift: float = 0.3,
    grow: tuple[float, float] = (0.75, 1.25),
) -> FloatArray:
    """Return `count` squares about each box, (N * count, 4): moved by up to `shift` and sized by `grow` of its side."""
    side = np.repeat((boxes[:, 2:] - boxes[:, :2]).max(1, initial=0.0), count)[:, None]
    centre = np.repeat((boxes[:, :2] + boxes[:, 2:]) / 2, count, 0)
    moved = centre + rng.uniform(-shift, shift, centre.shape) * rng.uniform(0, 1, side.shape) * side
    # centre first, then size: a square about a face is cut to whole pixels as at detection
    half = side * rng.uniform(*grow, side.shape) / 2
    low = np.round(moved - half) + 1
    return np.concatenate([low, low + np.maximum(np.round(2 * half), 3) - 1], 1).astype(np.float32)


def windows_anywhere(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """Return squares inside the picture, small ones as likely as large ones on a scale of ratios."""
    largest = min(height, width)
    if largest <= 12:
        return np.empty((0, 4), np.float32)
    count = int(np.clip(height * width / PLACES, 8, 200))
    side = np.exp(rng.uniform(np.log(12), np.log(largest), count)).astype(np.int64)
    low = np.stack([rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)], 1) + 1
    return np.concatenate([low, low + side[:, None] - 1], 1).astype(np.float32)
