"""Layouts of points: what each numbers, and what is wrong with one that contradicts itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import facereg
from facereg.builtin.layouts import LAYOUTS, W300_68, Edge, Layout, layout, layout_with
from facereg.data.points import read_68_points
from facereg.errors import ContractError, UnknownNameError
from facereg.geometry import MIRRORED

WITH_PAIRS = {name: known for name, known in LAYOUTS.items() if known.pairs}
MIRRORED_ONES = pytest.mark.parametrize("known", WITH_PAIRS.values(), ids=WITH_PAIRS)


@MIRRORED_ONES
def test_mirroring_twice_changes_nothing(known: Layout) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (3, known.points, 2)).astype(np.float32)
    assert sorted(known.mirror) == list(range(known.points))
    assert known.mirrored(known.mirrored(points, width=100), width=100) == pytest.approx(
        points, abs=1e-4
    )  # float32 at 99 px


@MIRRORED_ONES
def test_edges_mirror_to_edges(known: Layout) -> None:
    assert {frozenset(known.mirror[point] for point in edge.points) for edge in known.edges} == {
        frozenset(edge.points) for edge in known.edges
    }


@MIRRORED_ONES
def test_the_five_of_a_mirrored_face_are_mirrored(known: Layout) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (known.points, 2)).astype(np.float32)
    expected = known.five_of(points)[MIRRORED]
    expected[:, 0] = 99 - expected[:, 0]
    assert known.five_of(known.mirrored(points, width=100)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "points", "edges", "on_none", "eyes", "left_eye"),
    [
        ("wflw-98", 98, 9, {96, 97}, (60, 72), (96,)),
        ("300w-68", 68, 9, set(), (36, 45), (36, 37, 38, 39, 40, 41)),
        ("cofw-29", 29, 7, {16, 17, 28}, (16, 17), (16,)),
        ("insightface-106", 106, 0, set(range(106)), (38, 88), (38,)),
        ("five", 5, 0, {0, 1, 2, 3, 4}, (0, 1), (0,)),
    ],
)
def test_layouts_are_the_published(
    name: str, points: int, edges: int, on_none: set[int], eyes: tuple[int, int], left_eye: tuple[int, ...]
) -> None:
    known = layout(name)
    on_edges = {point for edge in known.edges for point in edge.points}
    assert (known.points, len(known.edges), known.eyes, known.five[0]) == (points, edges, eyes, left_eye)
    assert set(range(points)) - on_edges == on_none


def test_errors_are_divided_by_the_distance_of_the_eyes() -> None:
    points = np.zeros((68, 2), np.float32)
    points[45] = 3, 4
    assert W300_68.eye_distance(points) == 5


@pytest.mark.data
def test_left_of_the_68_points_is_the_viewers(face_data: Path) -> None:
    folder = face_data / "landmarks-68pt"
    five = W300_68.five_of(
        np.stack([item.points for item in read_68_points(folder / "dev_68pt.txt", folder / "images")])
    )
    x, y = five.mean(0).T
    assert x[0] < x[2] < x[1] and x[3] < x[4] and max(y[:2]) < y[2] < min(y[3:])  # noqa: PT018


SMALL = Layout("small", 6, (Edge((0, 1)),), ((0, 1), (3, 4)), (0, 1), ((0,), (1,), (2,), (3,), (4,)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edges": (Edge((0, 1)), Edge((5, 6)))}, "small: edge 2: expected points 0 to 5, got 6"),
        ({"edges": (Edge((0, 1, 0)),)}, "small: edge 1: expected each point once, got 0 twice"),
        ({"edges": (Edge((3,)),)}, "small: edge 1: expected two points or more, got \\(3,\\)"),
        ({"pairs": ((0, 1), (3, 4), (1, 2))}, "small: pairs: expected each point once, got 1 twice"),
        ({"pairs": ((0, 7),)}, "small: pairs: expected points 0 to 5, got 7"),
        ({"eyes": (-1, 1)}, "small: eyes: expected points 0 to 5, got -1"),
        ({"five": ((0,), (1,), (2,), (3,))}, "small: five: expected the points of each of five landmarks"),
        ({"five": ((0,), (2,), (1,), (3,), (4,))}, "small: five: expected left and right to mirror to each other"),
    ],
    ids=["edge", "twice", "short", "pair", "missing", "eye", "four", "sides"],
)
def test_a_layout_that_contradicts_itself_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        replace(SMALL, **changed)  # type: ignore[arg-type]


def test_a_layout_without_pairs_has_no_mirror() -> None:
    unpaired = replace(SMALL, pairs=())
    with pytest.raises(ContractError, match="small: a layout without pairs cannot be mirrored; give it pairs"):
        unpaired.mirrored(np.zeros((6, 2), np.float32), width=10)


def test_an_unknown_layout_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="no layout named 'wflw'; there are wflw-98, 300w-68, insightface-106, "):
        facereg.layout("wflw")


def test_a_layout_is_known_by_its_number_of_points() -> None:
    assert {layout_with(each.points) for each in LAYOUTS.values()} == set(LAYOUTS.values())
    with pytest.raises(UnknownNameError, match=r"no layout of 107 points; there are 98 \(wflw-98\), 68 \(300w-68\)"):
        layout_with(107)
