"""Video: what counts as one, frames in order, tracks from frame to frame and their names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facereg.errors import ImageError
from facereg.types import Faces, Matches
from facereg.video import PATIENCE, Tracker, is_video, read_frames


def faces(*lefts: float) -> Faces:
    """Return faces of 100 px at these places from left to right."""
    boxes = np.array([[left, 0, left + 100, 100] for left in lefts], np.float32).reshape(-1, 4)
    return Faces(boxes, np.linspace(1, 0.9, len(lefts), dtype=np.float32))


def matches(*named: tuple[str, float]) -> Matches:
    """Return the closest person of each face; accepted from 0.5."""
    similarities = np.array([[value] for _, value in named], np.float32).reshape(-1, 1)
    return Matches([(name,) for name, _ in named], similarities, similarities[:, 0] >= 0.5, 0.5)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", True),
        ("12", True),
        ("a.mp4", True),
        ("a.MOV", True),
        ("a.jpg", False),
        ("folder", False),
        ("4k.png", False),
    ],
)
def test_a_video_is_told_by_its_name(source: str, expected: bool) -> None:
    assert is_video(source) is expected


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for level in (0, 60, 120, 180):
        writer.write(np.full((48, 64, 3), (0, 0, level), np.uint8))  # BGR: redder and redder
    writer.release()
    frames = list(read_frames(str(path)))
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15])
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 4
    reds = [int(frame.image[24, 32, 0]) for frame in frames]
    assert reds == pytest.approx([0, 60, 120, 180], abs=8)  # JPEG
    assert max(int(frame.image[24, 32, 2]) for frame in frames) < 20


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="film.avi: expected a video, cannot be read"):
        next(read_frames(str(tmp_path / "film.avi")))


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
