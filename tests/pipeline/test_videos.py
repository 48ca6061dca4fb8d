"""Faces followed from frame to frame: tracks, and the names that their frames agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.builtin.exact import ExactMatcher
from facereg.errors import ContractError, FaceregError, RunnerError
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.videos import PATIENCE, Tracker, identify_video
from facereg.types import Faces, Image, Matches
from facereg.video import Video
from tests.fakes import SIDE, PaintedDetector, PaintedEmbedder, picture

av = pytest.importorskip("av")


def faces(*lefts: float) -> Faces:
    """Return faces of 100 px at these places from left to right."""
    boxes = np.array([[left, 0, left + 100, 100] for left in lefts], np.float32).reshape(-1, 4)
    return Faces(boxes, np.linspace(1, 0.9, len(lefts), dtype=np.float32))


def matches(*named: tuple[str, float]) -> Matches:
    """Return the closest person of each face; accepted from 0.5."""
    similarities = np.array([[value] for _, value in named], np.float32).reshape(-1, 1)
    return Matches([(name,) for name, _ in named], similarities, similarities[:, 0] >= 0.5, 0.5)


def test_a_face_that_moves_keeps_its_track() -> None:
    tracker = Tracker()
    assert tracker.follow(faces(0, 300)) == [0, 1]
    assert tracker.follow(faces(320, 20)) == [1, 0]  # best first, whatever was first before
    assert tracker.follow(faces(40)) == [0]


def test_a_jump_of_more_than_half_a_face_begins_a_new_track() -> None:
    tracker = Tracker()
    assert tracker.follow(faces(0)) == [0]
    assert tracker.follow(faces(50)) == [0]  # IoU 50 / 150 = 0.33
    assert tracker.follow(faces(110)) == [1]  # IoU 40 / 160 = 0.25


def test_two_faces_never_share_a_track() -> None:
    tracker = Tracker()
    tracker.follow(faces(0))
    assert tracker.follow(faces(10, 5)) == [1, 0]  # the closer one goes on


def test_a_track_waits_for_its_face_and_no_longer() -> None:
    for absent, expected in ((PATIENCE, 0), (PATIENCE + 1, 1)):
        tracker = Tracker()
        tracker.follow(faces(0))
        for _ in range(absent):
            assert tracker.follow(faces()) == []
        assert tracker.follow(faces(0)) == [expected]


def test_the_name_of_a_track_is_the_one_with_most_similarity() -> None:
    tracker = Tracker()
    names = []
    for named in (("ada", 0.2), ("ada", 0.6), ("bob", 0.9), ("ada", 0.7), ("bob", 0.1)):
        names += tracker.name(tracker.follow(faces(0)), matches(named))
    # nobody; ada 0.6; bob 0.9; ada 1.3; a face that is nobody's leaves the track its name
    assert names == [None, "ada", "bob", "ada", "ada"]


def painted_film(path: Path, *people: int) -> None:
    """Write a film with one of the people in each frame, losslessly, as their colours tell them apart."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "bgr0"
        for person in people:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(person), format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def pipeline() -> Pipeline:
    """Return a pipeline that knows person 1 as Ada."""
    made = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder(), ExactMatcher(threshold=0.99))
    assert made.matcher is not None
    [known] = Pipeline(made.detector, made.aligner, made.embedder).run([picture(1)])
    made.matcher.add(["Ada"], known.embeddings)
    return made


def test_a_video_gives_each_frame_with_tracks_and_names(pipeline: Pipeline, tmp_path: Path) -> None:
    painted_film(tmp_path / "film.mkv", 2, 1, 1)
    frames = list(identify_video(pipeline, tmp_path / "film.mkv"))
    assert [frame.frame.number for frame in frames] == [0, 1, 2]
    assert [frame.tracks for frame in frames] == [(0,)] * 3
    assert [frame.names for frame in frames] == [(None,), ("Ada",), ("Ada",)]


class Jittering(PaintedDetector):
    """Moves the points of every second frame by 3 px."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = super()._detect(images)
        shift = np.float32(3 * (len(self.calls) % 2))
        return [Faces(each.boxes, each.scores, each.landmarks + shift) for each in found]


def test_points_are_smoothed_along_a_track_where_that_is_asked_for(pipeline: Pipeline, tmp_path: Path) -> None:
    painted_film(tmp_path / "film.mkv", *[1] * 8)
    moves = {}
    for smooth in (False, True, 0.1):
        pipeline.detector = Jittering()
        frames = list(identify_video(pipeline, tmp_path / "film.mkv", smooth=smooth))
        points = np.stack([frame.points[0] for frame in frames])
        assert points.shape == (8, 5, 2)
        moves[smooth] = np.abs(np.diff(points[2:], axis=0)).max()
        assert [frame.names for frame in frames] == [("Ada",)] * 8
    assert moves[False] == pytest.approx(3.0)
    assert moves[0.1] < moves[True] < 2.5


def test_a_frame_that_fails_takes_its_place_and_the_others_go_on(pipeline: Pipeline, tmp_path: Path) -> None:
    class Failing(PaintedDetector):
        def _detect(self, images: Sequence[Image]) -> list[Faces]:
            if len(self.calls) == 1:
                self.calls.append(len(images))
                raise RunnerError("the second frame")
            return super()._detect(images)

    pipeline.detector = Failing()
    painted_film(tmp_path / "film.mkv", 1, 1, 1)
    frames = list(identify_video(pipeline, Video(tmp_path / "film.mkv")))
    assert [isinstance(frame.outcome, FaceregError) for frame in frames] == [False, True, False]
    assert frames[1].tracks == ()
    assert frames[2].names == ("Ada",)


def test_nobody_known_is_said_before_anything_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.matcher = None
    with pytest.raises(ContractError, match="pipeline: expected one with a matcher, got none"):
        next(identify_video(pipeline, tmp_path / "film.mkv"))


def test_a_track_is_named_after_nobody_who_was_removed() -> None:
    tracker = Tracker()
    for _ in range(5):
        assert tracker.name([0], matches(("Ada", 0.9))) == ["Ada"]
    gone = replace(matches(("Bob", 0.4)), changes=1)  # Ada was removed; the face is close to nobody
    assert tracker.name([0], gone) == [None]
    assert tracker.name([0], replace(matches(("Bob", 0.6)), changes=1)) == ["Bob"]
