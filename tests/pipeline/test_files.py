"""Picture files through a pipeline: each with its own result or its own error, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.errors import ImageError, RunnerError, UnreachableError
from facereg.images import write_image
from facereg.pipeline.composer import CHUNK, Pipeline
from facereg.pipeline.files import detect_files, run_files
from facereg.types import Faces, Image
from tests.fakes import SIDE, PaintedDetector, PaintedEmbedder, picture

COUNT = 3 * CHUNK + 1


def painted_files(folder: Path, bad: set[int]) -> list[Path]:
    """Write pictures of 0, 1, 2, 0, 1, 2... people; the bad ones are empty files."""
    paths = [folder / f"{row:03d}.png" for row in range(COUNT)]
    for row, path in enumerate(paths):
        if row in bad:
            path.touch()
        else:
            write_image(path, picture(*range(row, row + row % 3)))
    return paths


@pytest.mark.parametrize(
    "bad",
    [set(), {0, 1, 2}, {COUNT - 2, COUNT - 1}, set(range(1, COUNT, 2)), set(range(COUNT))],
    ids=["none", "first", "last", "every other", "all"],
)
def test_each_file_has_its_own_result_or_error_in_order(bad: set[int], tmp_path: Path) -> None:
    paths = painted_files(tmp_path, bad)
    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
    outcomes = list(run_files(pipeline, paths))
    assert [path for path, _ in outcomes] == paths
    for row, (path, outcome) in enumerate(outcomes):
        if row in bad:
            assert isinstance(outcome, ImageError)
            assert outcome.path == str(path)
        else:
            assert not isinstance(outcome, ImageError)
            assert len(outcome.faces) == row % 3
            [expected] = pipeline.run([picture(*range(row, row + row % 3))])
            assert outcome.embeddings.vectors == pytest.approx(expected.embeddings.vectors)


class Fussy(PaintedDetector):
    """Fails for a picture of five people."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        if any(image.shape[1] == 5 * SIDE for image in images):
            raise RunnerError("five")
        return super()._detect(images)


def test_a_stage_that_fails_for_one_picture_is_told_at_its_place_and_stops_nothing(tmp_path: Path) -> None:
    paths = painted_files(tmp_path, {3})
    write_image(paths[20], picture(1, 2, 3, 4, 5))
    outcomes = run_files(Pipeline(Fussy(), FivePointAligner(), PaintedEmbedder()), paths)
    told = dict(outcomes)
    assert list(told) == paths
    failed = {path: str(outcome) for path, outcome in told.items() if isinstance(outcome, ImageError)}
    assert list(failed) == [paths[3], paths[20]]
    assert failed[paths[20]] == f"{paths[20]}: five"


class Buggy(PaintedDetector):
    """Raises what is no error of ours for a picture of five people."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        if any(image.shape[1] == 5 * SIDE for image in images):
            raise TypeError("len(3)")
        return super()._detect(images)


def test_a_plugins_bug_is_an_error_of_its_picture_by_file_and_model(tmp_path: Path) -> None:
    paths = painted_files(tmp_path, {3})
    write_image(paths[20], picture(1, 2, 3, 4, 5))
    for told in (
        dict(run_files(Pipeline(Buggy(), FivePointAligner(), PaintedEmbedder()), paths)),
        dict(detect_files(Buggy(), paths, chunk=8)),
    ):
        assert [path for path, outcome in told.items() if isinstance(outcome, ImageError)] == [paths[3], paths[20]]
        assert str(told[paths[20]]) == f"{paths[20]}: detector 'Buggy' failed: TypeError: len(3)"


class Unreachable(PaintedDetector):
    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        raise UnreachableError("nobody there")


def test_a_network_that_is_not_to_be_had_stops_all(tmp_path: Path) -> None:
    outcomes = run_files(Pipeline(Unreachable(), FivePointAligner(), PaintedEmbedder()), painted_files(tmp_path, {3}))
    with pytest.raises(UnreachableError, match="nobody there"):
        list(outcomes)
