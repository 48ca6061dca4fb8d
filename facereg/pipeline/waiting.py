"""What a flow holds: images on their way, and the crops that wait for the embedder."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from facereg.pipeline.stages import Result
from facereg.types import Faces, FloatArray, Image


@dataclass(slots=True, eq=False)
class Item:
    """One image on its way."""

    image: Image | None  # None as soon as its faces are cut out
    number: int = 0  # among those put
    outcome: Result | Exception | None = None
    faces: Faces | None = None
    refused: tuple[str, ...] = ()  # by the aligner, and why
    points: FloatArray = field(default_factory=lambda: np.empty((0, 0, 2), np.float32))  # (N, P, 2), the aligner's
    vectors: FloatArray | None = None  # (N, D), filled as batches come back
    missing: int = 0  # rows of `vectors` not filled yet

    @property
    def pixels(self) -> int:
        """Number of pixels held."""
        return 0 if self.image is None else self.image.shape[0] * self.image.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Crops of one image that share a batch: rows from `row` on."""

    item: Item
    row: int
    pixels: npt.NDArray[np.uint8]  # (N, S, S, 3)


class WaitingCrops:
    """Crops that wait for the embedder, in the order of their images; its length is their number.

    No method takes a lock: the flow holds its own around each call.
    """

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, item: Item, pixels: npt.NDArray[np.uint8]) -> None:
        """Append all crops of an image."""
        self._parts.append(Part(item, 0, pixels))
        self._count += len(pixels)

    def take(self, most: int) -> list[Part]:
        """Remove and return the first `most` crops, or all where there are fewer; an image's may be cut in two."""
        batch: list[Part] = []
        space = most
        while space and self._parts:
            part = self._parts.popleft()
            if len(part.pixels) > space:
                self._parts.appendleft(Part(part.item, part.row + space, part.pixels[space:]))
                part = Part(part.item, part.row, part.pixels[:space])
            batch.append(part)
            space -= len(part.pixels)
        self._count -= most - space
        return batch

    def drop(self, item: Item) -> None:
        """Remove the crops of an image that has failed."""
        self._parts = deque(part for part in self._parts if part.item is not item)
        self._count = sum(len(part.pixels) for part in self._parts)

    def clear(self) -> None:
        """Remove all."""
        self._parts.clear()
        self._count = 0
