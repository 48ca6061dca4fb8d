"""Points of faces through a pipeline, in files, and smoothed along a track."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from facereg.builtin.alignment import FivePointAligner
from facereg.decoding import decoder
from facereg.errors import ContractError, ImageError
from facereg.geometry import TEMPLATE_112
from facereg.images import write_image
from facereg.options import LandmarkOptions
from facereg.pipeline.composer import Pipeline, Result
from facereg.pipeline.files import run_files
from facereg.pipeline.points import find_points, points_of
from facereg.pipeline.smoothing import FORGET_S, PointSmoother
from facereg.roles import Aligner
from facereg.types import Crops, Embeddings, Faces, FloatArray, Image, Matches
from tests.fakes import SIDE, BoxAligner, PaintedDetector, PaintedEmbedder, picture


class OddRefused(FivePointAligner):
    """Refuses every second face of a call."""

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        crops = super()._align(images, faces, size, template)
        kept = np.arange(len(crops)) % 2 == 0
        ends = np.cumsum(crops.counts)
        counts = tuple(int(kept[end - n : end].sum()) for n, end in zip(crops.counts, ends, strict=True))
        reasons = tuple("" if good else "odd" for good in kept)
        return Crops(crops.pixels[kept], crops.transforms[kept], counts, crops.landmarks[kept], reasons)


def expected_at(place: int) -> FloatArray:
    return TEMPLATE_112 + np.array([place * SIDE, 0], np.float32)


def test_a_result_has_the_aligners_points_of_each_face_that_was_kept() -> None:
    with Pipeline(PaintedDetector(), OddRefused(), PaintedEmbedder()) as pipeline:
        first, nobody, second = pipeline.run([picture(1, 2, 3), picture(), picture(4)])
    assert first.points == pytest.approx(np.stack([expected_at(0), expected_at(2)]))
    assert nobody.points.shape[0] == 0
    assert second.points.shape == (0, 5, 2)  # the fourth of the call
    assert [found.points.shape for found in first] == [(5, 2), (0, 2), (5, 2)]


def test_points_of_98_travel_too() -> None:
    aligner = BoxAligner(LandmarkOptions(passes=1))
    with Pipeline(PaintedDetector(), aligner, PaintedEmbedder()) as pipeline:
        [result] = pipeline.run([picture(1)])
    assert result.points.shape == (1, 98, 2)


def test_points_go_with_the_faces_of_a_result() -> None:
    [faces] = PaintedDetector().detect([picture(1, 2)])
    two = Embeddings(np.eye(2, 8, dtype=np.float32), "painted:1")
    with pytest.raises(ContractError, match="result: expected points of 2 faces, got 1"):
        Result(faces, two, Matches.empty(2), (), np.zeros((1, 5, 2), np.float32))


def test_points_of_a_reduced_jpeg_are_in_the_pixels_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "MAX_PIXELS", SIDE * SIDE)
    large = Pillow.fromarray(picture(1)).resize((2 * SIDE, 2 * SIDE), Pillow.Resampling.NEAREST)
    large.save(tmp_path / "large.jpg", quality=100, subsampling=0)
    with Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder()) as pipeline:
        [(_, outcome)] = run_files(pipeline, [tmp_path / "large.jpg"])
    assert isinstance(outcome, Result)
    assert outcome.points == pytest.approx(outcome.faces.landmarks)
    assert outcome.points[0] == pytest.approx(TEMPLATE_112 * 2 + 0.5, abs=1e-3)


def test_files_give_points_and_reasons_and_a_bad_one_stops_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "two.png", picture(1, 2))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    paths = [tmp_path / "bad.png", tmp_path / "two.png"]
    (_, bad), (_, good) = find_points(PaintedDetector(), OddRefused(), paths)
    assert isinstance(bad, ImageError)
    assert not isinstance(good, ImageError)
    _, faces, found = good
    assert (len(faces), found.refused, found.kept.tolist()) == (2, ("", "odd"), [True, False])
    assert found.points[0] == pytest.approx(expected_at(0))
    assert np.isnan(found.points[1]).all()


def test_an_aligner_without_points_is_named() -> None:
    class Pointless(Aligner):
        needs_landmarks = False

        def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
            count = sum(map(len, faces))
            return Crops(np.zeros((count, size, size, 3), np.uint8), np.zeros((count, 2, 3), np.float32), (count,))

    [faces] = PaintedDetector().detect([picture(1)])
    with pytest.raises(ContractError, match="aligner 'Pointless': expected points of each face, got none"):
        points_of(Pointless(), picture(1), faces)
    assert points_of(Pointless(), picture(), Faces.empty()).refused == ()


RATE = 25.0


def smoothed(path: FloatArray, smoother: PointSmoother | None = None) -> FloatArray:
    """Return a track of (T, P, 2) points, smoothed."""
    held = smoother or PointSmoother()
    return np.concatenate([held.smooth([7], points[None], row / RATE) for row, points in enumerate(path)])


def test_jitter_of_a_still_face_goes() -> None:
    noise = np.random.default_rng(0).normal(0, 0.5, (200, 5, 2)).astype(np.float32)
    given = TEMPLATE_112[None] + noise
    left = smoothed(given)[50:].std(0).mean() / given[50:].std(0).mean()
    assert left < 0.5


def test_a_face_that_moves_lags_by_little() -> None:
    moving = np.array([[row * 2.0, 0] for row in range(100)], np.float32)[:, None]  # 50 px/s, its size a second
    given = TEMPLATE_112[None] + moving
    lag = float((given - smoothed(given))[50:, :, 0].mean())
    size = float(np.ptp(TEMPLATE_112, axis=0).max())
    assert 0 < lag < 0.05 * size


def test_the_first_frame_and_the_one_after_a_gap_are_as_they_are() -> None:
    smoother = PointSmoother()
    first = smoother.smooth([1], TEMPLATE_112[None], 0.0)
    assert first[0].tolist() == TEMPLATE_112.tolist()
    later = smoother.smooth([1], TEMPLATE_112[None] + 9, FORGET_S + 0.1)
    assert later[0].tolist() == (TEMPLATE_112 + 9).tolist()


def test_tracks_do_not_meet() -> None:
    smoother = PointSmoother()
    both = np.stack([TEMPLATE_112, TEMPLATE_112 + 200])
    for row in range(5):
        swapped = smoother.smooth([1, 2] if row % 2 else [2, 1], both if row % 2 else both[::-1], row / RATE)
    assert swapped == pytest.approx(both[::-1])


@pytest.mark.parametrize("cutoff", [0.0, -1.0, math.nan, math.inf])
def test_a_cutoff_that_is_none_is_refused(cutoff: float) -> None:
    with pytest.raises(ContractError, match="smooth: expected a frequency above 0 Hz"):
        PointSmoother(cutoff)
