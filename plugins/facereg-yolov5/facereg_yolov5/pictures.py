"""Labelled pictures, packed small on disk and held whole on the device that trains.

A pack is one file of JPEG pictures, none longer than was asked for, and their labels. In memory each picture is
there at four sizes, each half of the one before, so that a scene that shows it small does not skip pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facereg import BoolArray, DatasetError, FloatArray, Image, IntArray, read_image, resize
from facereg.training import LabelledImage, read_each, whole_file

LEVELS = 4
QUALITY = 92  # of JPEG


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """N pictures as JPEG, and T faces.

    Args:
        encoded: (bytes,) uint8, all pictures one after another.
        ends: (N,) where each ends.
        boxes: (T, 4) float32, px of the packed pictures.
        ignored: (T,) bool.
        points: (T, 5, 2) float32, NaN where unknown.
        faces: (N,) how many of the T each picture has, in order.
        hand: how many of the pictures, the first, have boxes drawn by hand.
    """

    encoded: npt.NDArray[np.uint8]
    ends: IntArray
    boxes: FloatArray
    ignored: BoolArray
    points: FloatArray
    faces: IntArray
    hand: int

    def save(self, path: Path) -> None:
        """Write a .npz file; it appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in ("encoded", "ends", "boxes", "ignored", "points", "faces")}
        with whole_file(path) as stream:
            np.savez(stream, hand=np.int64(self.hand), **arrays)

    @classmethod
    def open(cls, path: Path) -> Pack:
        """Read what `save` wrote.

        Raises:
            DatasetError: if the file holds something else.
        """
        try:
            with np.load(path) as stored:
                boxes, ignored, points, faces = (stored[name] for name in ("boxes", "ignored", "points", "faces"))
                return cls(stored["encoded"], stored["ends"], boxes, ignored, points, faces, int(stored["hand"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: expected a pack of 'facereg yolov5-pack' ({error})") from error


def pack_pictures(hand: Sequence[LabelledImage], rest: Sequence[LabelledImage], *, longest: int) -> Pack:
    """Encode pictures, made smaller where their longer side is over `longest` px, and their labels.

    Those that cannot be read are left out, see `read_each`.

    Raises:
        DatasetError: if there is no picture.
        ImageError: if one cannot be read.
    """
    if not hand and not rest:
        raise DatasetError("pictures: expected at least one labelled picture, got none; check the lists")
    parts = [read_each(part, partial(_packed, longest=longest), doing="packing pictures") for part in (hand, rest)]
    encoded, labels = zip(*(packed for part in parts for packed in part), strict=True)
    return Pack(
        np.concatenate(encoded).astype(np.uint8),
        np.cumsum([len(part) for part in encoded]).astype(np.int64),
        np.concatenate([item.boxes for item in labels]),
        np.concatenate([item.ignored for item in labels]),
        np.concatenate([item.points for item in labels]),
        np.array([len(item.boxes) for item in labels], np.int64),
        len(parts[0]),
    )


def _packed(item: LabelledImage, *, longest: int) -> tuple[npt.NDArray[np.uint8], LabelledImage]:
    """Return a picture as JPEG, and its labels there."""
    image = read_image(item.path, whole=True)
    small = resize(image, min(1.0, longest / max(image.shape[:2])))
    pixels = cv2.cvtColor(small.pixels, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    boxes = small.points_there(item.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    labels = replace(item, boxes=boxes, points=small.points_there(item.points))
    return np.asarray(content.reshape(-1), np.uint8), labels


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures decoded to one tensor, and their labels.

    Args:
        pixels: (P, 3) uint8 RGB, every level of every picture, row by row.
        starts: (N, LEVELS) int64, where each begins in `pixels`.
        sides: (N, LEVELS, 2) int64, width and height of each.
        pack: the labels.
    """

    pixels: Tensor
    starts: IntArray
    sides: IntArray
    pack: Pack

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def decode(cls, pack: Pack) -> Pictures:
        """Decode a pack on all cores."""
        begins = np.concatenate([[0], pack.ends[:-1]])
        with ThreadPoolExecutor() as pool:
            levels = list(pool.map(_levels, (pack.encoded[a:b] for a, b in zip(begins, pack.ends, strict=True))))
        sides = np.array([[level.shape[1::-1] for level in several] for several in levels], np.int64)
        areas = sides.prod(2).reshape(-1)
        starts = (np.cumsum(areas) - areas).reshape(-1, LEVELS)
        flat = np.concatenate([level.reshape(-1, 3) for several in levels for level in several])
        return cls(torch.from_numpy(flat), starts, sides, pack)

    def to(self, device: torch.device) -> Pictures:
        """Return the same pictures with their pixels on a device."""
        return self if self.pixels.device == device else replace(self, pixels=self.pixels.to(device))


def _levels(content: npt.NDArray[np.uint8]) -> list[Image]:
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if decoded is None:
        raise DatasetError("pack: expected JPEG pictures, got other bytes; write it again with 'facereg yolov5-pack'")
    image = np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
    return [resize(image, 0.5**level).pixels for level in range(LEVELS)]
