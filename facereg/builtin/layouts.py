"""Layouts: how a set of labels numbers the points of a face, and what follows from the numbering.

Numbers count from 0. Left and right are the viewer's, as everywhere here; the papers name them by the subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

import numpy as np

from facereg.errors import ContractError, UnknownNameError
from facereg.geometry import MIRRORED
from facereg.types import FloatArray


@dataclass(frozen=True, slots=True)
class Edge:
    """A line of the face through its points, in order; a closed one goes on from the last to the first."""

    points: tuple[int, ...]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The points of a face as one set of labels numbers them.

    Args:
        name: as people type it, like `wflw-98`.
        points: how many there are.
        edges: lines of the face; a point may be on none.
        pairs: points that change places in a mirrored face; the others stay.
        eyes: the two points whose distance errors are divided by.
        five: for each of the five landmarks, the points whose mean it is.
    Raises:
        ContractError: if a number is none of the points, a point is in two pairs or twice on an edge, or the five are
            not five, or do not mirror to each other.
    """

    name: str
    points: int
    edges: tuple[Edge, ...]
    pairs: tuple[tuple[int, int], ...]
    eyes: tuple[int, int]
    five: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        for number, edge in enumerate(self.edges, 1):
            self._require(edge.points, f"edge {number}", once=True)
            if len(edge.points) < 2:
                raise ContractError(f"{self.name}: edge {number}: expected two points or more, got {edge.points}")
        self._require(tuple(chain.from_iterable(self.pairs)), "pairs", once=True)
        self._require(self.eyes, "eyes", once=True)
        if len(self.five) != 5 or not all(self.five):
            raise ContractError(f"{self.name}: five: expected the points of each of five landmarks, got {self.five}")
        self._require(tuple(chain.from_iterable(self.five)), "five")
        if self.pairs and any(
            {self.mirror[point] for point in self.five[index]} != set(self.five[other])
            for index, other in enumerate(MIRRORED)
        ):
            raise ContractError(f"{self.name}: five: expected left and right to mirror to each other, got {self.five}")

    def _require(self, points: tuple[int, ...], place: str, *, once: bool = False) -> None:
        for index, point in enumerate(points):
            if not 0 <= point < self.points:
                raise ContractError(f"{self.name}: {place}: expected points 0 to {self.points - 1}, got {point}")
            if once and point in points[:index]:
                raise ContractError(f"{self.name}: {place}: expected each point once, got {point} twice")

    @property
    def mirror(self) -> list[int]:
        """Return the point that each becomes in a mirrored face.

        Raises:
            ContractError: if the layout has no pairs.
        """
        if not self.pairs:
            raise ContractError(f"{self.name}: a layout without pairs cannot be mirrored; give it pairs")
        order = list(range(self.points))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return order

    def mirrored(self, points: FloatArray, *, width: int) -> FloatArray:
        """Return points (..., P, 2) as they are numbered, and lie, in the mirrored picture, `width` px wide.

        Raises:
            ContractError: if the layout has no pairs.
        """
        return np.stack([width - 1 - points[..., self.mirror, 0], points[..., self.mirror, 1]], -1)

    def five_of(self, points: FloatArray) -> FloatArray:
        """Return the five landmarks (..., 5, 2) of points (..., P, 2)."""
        return np.stack([points[..., list(own), :].mean(-2) for own in self.five], -2)

    def eye_distance(self, points: FloatArray) -> FloatArray:
        """Return the lengths (...,) px that errors of points (..., P, 2) are divided by."""
        first, second = self.eyes
        distance: FloatArray = np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)
        return distance


def _line(first: int, last: int) -> Edge:
    return Edge(tuple(range(first, last + 1)))


def _ring(first: int, last: int) -> Edge:
    return Edge(tuple(range(first, last + 1)), closed=True)


def _rows(left: str, right: str) -> tuple[tuple[int, int], ...]:
    return tuple(zip(map(int, left.split()), map(int, right.split()), strict=True))


WFLW_98 = Layout(
    "wflw-98",  # Wu et al. 2018, Look at Boundary; edges as in Huang et al. 2021, ADNet
    98,
    edges=(
        _line(0, 32),  # contour
        _ring(33, 41),  # brows
        _ring(42, 50),
        _line(51, 54),  # nose
        _line(55, 59),
        _ring(60, 67),  # eyes
        _ring(68, 75),
        _ring(76, 87),  # lips
        _ring(88, 95),
    ),
    pairs=(
        *((point, 32 - point) for point in range(16)),
        *_rows("33 34 35 36 37 38 39 40 41", "46 45 44 43 42 50 49 48 47"),
        *_rows("55 56", "59 58"),
        *_rows("60 61 62 63 64 65 66 67", "72 71 70 69 68 75 74 73"),
        *_rows("76 77 78 87 86", "82 81 80 83 84"),
        *_rows("88 89 95", "92 91 93"),
        (96, 97),
    ),
    eyes=(60, 72),  # the outer corners
    five=((96,), (97,), (54,), (76,), (82,)),  # the pupils, which are on no edge
)

W300_68 = Layout(
    "300w-68",  # Sagonas et al. 2013, 300 Faces in-the-Wild; the lists of 136 numbers and a file are numbered so, too
    68,
    edges=(
        _line(0, 16),  # contour
        _line(17, 21),  # brows
        _line(22, 26),
        _line(27, 30),  # nose
        _line(31, 35),
        _ring(36, 41),  # eyes
        _ring(42, 47),
        _ring(48, 59),  # lips
        _ring(60, 67),
    ),
    pairs=(
        *((point, 16 - point) for point in range(8)),
        *_rows("17 18 19 20 21", "26 25 24 23 22"),
        *_rows("31 32", "35 34"),
        *_rows("36 37 38 39 40 41", "45 44 43 42 47 46"),
        *_rows("48 49 50 59 58", "54 53 52 55 56"),
        *_rows("60 61 67", "64 63 65"),
    ),
    eyes=(36, 45),  # the outer corners
    five=(tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),  # centres of the rings: pupils have none
)

COFW_29 = Layout(
    "cofw-29",  # Burgos-Artizzu et al. 2013, Robust Face Landmark Estimation Under Occlusion
    29,
    edges=(
        Edge((0, 4, 2, 5), closed=True),  # brows
        Edge((1, 6, 3, 7), closed=True),
        Edge((8, 12, 10, 13), closed=True),  # eyes; ADNet's settings leave the right one open
        Edge((9, 14, 11, 15), closed=True),
        Edge((18, 20, 19, 21), closed=True),  # nose
        Edge((22, 26, 23, 27), closed=True),  # lips
        Edge((22, 24, 23, 25), closed=True),
    ),
    pairs=_rows("0 2 4 5 8 10 12 13 16 18 22", "1 3 6 7 9 11 14 15 17 19 23"),
    eyes=(16, 17),  # the pupils
    five=((16,), (17,), (20,), (22,), (23,)),
)

INSIGHTFACE_106 = Layout(
    "insightface-106",  # 2d106det.onnx of InsightFace's packs; its drawing of the points names no lines and no pairs
    106,
    edges=(),
    pairs=(),
    eyes=(38, 88),
    five=((38,), (88,), (86,), (52,), (61,)),
)

FIVE = Layout(
    "five",  # as everywhere here, see facereg.types; labels of MTFL and CelebA
    5,
    edges=(),
    pairs=tuple((point, other) for point, other in enumerate(MIRRORED) if point < other),
    eyes=(0, 1),
    five=tuple((point,) for point in range(5)),
)

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {each.name: each for each in (WFLW_98, W300_68, INSIGHTFACE_106, COFW_29, FIVE)}
)


def layout(name: str) -> Layout:
    """Return the layout of that name.

    Raises:
        UnknownNameError: if there is none.
    """
    if name not in LAYOUTS:
        raise UnknownNameError(f"no layout named {name!r}; there are {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def layout_with(points: int) -> Layout:
    """Return the layout of so many points.

    Raises:
        UnknownNameError: if there is none.
    """
    for each in LAYOUTS.values():
        if each.points == points:
            return each
    counts = ", ".join(f"{each.points} ({each.name})" for each in LAYOUTS.values())
    raise UnknownNameError(f"no layout of {points} points; there are {counts}")
