"""Strips and canvases: bounded, none over another, and the same faces however a level is cut."""

from __future__ import annotations

import facereg_mtcnn.detector
import facereg_mtcnn.pyramid
import numpy as np
import pytest
from facereg_mtcnn.pyramid import Level, pack, plan_levels, resize_level, summed_area

from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.testing.pictures import noise, photograph


def test_strips_by_hand() -> None:
    # scale 12 / 24 = 0.5: 201 rows, 101 columns; 6,464 px are 64 rows of these, of which 10 are the next strip's too
    strips = plan_levels([(400, 200)], min_face=24, factor=0.1, area=6464)
    assert [(s.first, s.height, s.width, s.whole) for s in strips] == [
        (0, 64, 101, 201),
        (54, 64, 101, 201),
        (108, 64, 101, 201),
        (162, 39, 101, 201),
    ]
    # 201 rows give ceil(199 / 2) - 4 = 96 rows of scores; 27 + 27 + 27 + 15
    assert [s.cells[0].stop - s.cells[0].start for s in strips] == [27, 27, 27, 15]


@pytest.mark.parametrize("height", range(12, 90))
def test_strips_have_the_cells_of_the_level(height: int) -> None:
    def cells(area: int) -> int:
        strips = plan_levels([(2 * height - 2, 3000)], min_face=24, factor=0.1, area=area)
        return sum(s.cells[0].stop - s.cells[0].start for s in strips)

    assert cells(64) == cells(10**9)  # strips of 64 rows, and one strip


def test_canvases_are_bounded_and_no_level_lies_on_another() -> None:
    rng = np.random.default_rng(0)
    shapes = [(int(h), int(w)) for h, w in rng.integers(30, 900, (12, 2))]
    levels = plan_levels(shapes, min_face=20, factor=0.7, area=60_000)
    placed, canvases = pack(levels, area=60_000)
    key = lambda level: (level.image, level.scale, level.first)  # noqa: E731
    assert sorted(map(key, placed)) == sorted(map(key, levels))
    assert max(height * width for height, width in canvases) <= 60_000
    for index, size in enumerate(canvases):
        taken = np.zeros(size, np.int64)
        for level in (level for level in placed if level.canvas == index):
            assert level.top % 2 == level.left % 2 == 0
            taken[level.top : level.top + level.height, level.left : level.left + level.width] += 1
        assert taken.max() == 1


def test_a_wide_level_is_bounded_by_the_least_strip() -> None:
    placed, canvases = pack(plan_levels([(4000, 4000)], min_face=12, factor=0.1, area=60_000), area=60_000)
    assert len(placed) == len({(level.canvas, level.top) for level in placed})
    assert max(height * width for height, width in canvases) <= 64 * 4001


def test_rows_of_a_level_are_those_of_the_whole() -> None:
    sums = summed_area(noise(50, 40))
    whole = resize_level(sums, 31, 23)
    assert np.array_equal(resize_level(sums, 31, 23, rows=slice(6, 17)), whole[:, 6:17])


def test_a_picture_cut_into_strips_gives_the_same_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photograph()
    assert image is not None
    with Registry.load().create("mtcnn", role="detector", threads=1, min_face=12.0) as detector:
        assert isinstance(detector, Detector)
        monkeypatch.setattr(facereg_mtcnn.detector, "CANVAS_AREA", 10**6)
        [whole] = detector.detect([image])
        monkeypatch.setattr(facereg_mtcnn.detector, "CANVAS_AREA", 8_000)
        [cut] = detector.detect([image])
    assert len(whole) >= 1
    assert np.abs(cut.boxes - whole.boxes).max() <= 0.01


def test_a_level_knows_its_cells_by_hand() -> None:
    # 12 rows: one window; 15 rows: 13 after conv1, 7 pooled, 7 - 4 = 3; at top 4 the map starts at row 2
    level = Level(0, 1.0, height=15, width=12, first=0, whole=15, top=4, left=0)
    assert level.cells == (slice(2, 5), slice(0, 1))


@pytest.mark.parametrize("shape", [(50, 40), (1, 40), (50, 1), (41, 7)])
def test_sums_taken_strip_by_strip_are_those_of_the_whole(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise(*shape)
    monkeypatch.setattr(facereg_mtcnn.pyramid, "SUMMED_AREA", 120)
    sums = summed_area(image).view(np.int32).reshape(shape[0] + 1, shape[1] + 1, 4)
    expected = np.pad(image.astype(np.int64), ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    assert np.array_equal(sums[..., :3], expected)
