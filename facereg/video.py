"""Video files and cameras: frames in, faces followed from frame to frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facereg.errors import ImageError
from facereg.geometry import box_overlap
from facereg.types import Faces, FloatArray, Image, Matches

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
SAME = 0.3  # IoU from which a box goes on a track, as in SORT (Bewley et al. 2016)
PATIENCE = 15  # frames that a track waits for its face


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame: its number from 0, its time, its pixels."""

    number: int
    time_s: float
    image: Image


def is_video(source: str) -> bool:
    """Tell a video file (by its ending) or a camera (a number) from a picture."""
    return source.isdigit() or Path(source).suffix.lower() in SUFFIXES


def read_frames(source: str) -> Iterator[Frame]:
    """Yield the frames of a video file, or of the camera with that number until it is unplugged.

    Raises:
        ImageError: if the source cannot be opened or holds no frame.
    """
    if not source.isdigit():
        _require_file(Path(source))
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    try:
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        number = 0
        while True:
            good, frame = capture.read()
            if not good:
                break
            yield Frame(number, number / rate, np.ascontiguousarray(frame[..., ::-1], np.uint8))
            number += 1
    finally:
        capture.release()
    if number == 0:
        kind = "camera" if source.isdigit() else "file"
        raise ImageError(source, f"expected a video, got a {kind} without frames; check that a player shows it")


def _require_file(path: Path) -> None:
    """Say what keeps a file from being read: OpenCV only says that there are no frames."""
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise ImageError(path, f"expected a video, cannot be read ({error.strerror}); check the path") from error
    if empty:
        raise ImageError(path, "expected a video, got a file of 0 bytes; copy it again")


class Tracker:
    """Follows faces by the overlap of their boxes (SORT's association, without its motion model)."""

    def __init__(self) -> None:
        self._boxes: dict[int, FloatArray] = {}
        self._missed: dict[int, int] = {}
        self._votes: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._next = 0

    def follow(self, faces: Faces) -> list[int]:
        """Return the track of each face: one that goes on, or a new one."""
        tracks = list(self._boxes)
        boxes = np.array([self._boxes[track] for track in tracks], np.float32).reshape(-1, 4)
        overlap = box_overlap(faces.boxes, boxes)  # (N, T)
        chosen = [-1] * len(faces)
        while overlap.size and overlap.max() >= SAME:
            row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
            chosen[int(row)] = tracks[int(column)]
            overlap[row, :] = overlap[:, column] = -1.0
        for face, track in enumerate(chosen):
            if track < 0:
                chosen[face] = self._next
                self._next += 1
            self._boxes[chosen[face]] = faces.boxes[face]
            self._missed[chosen[face]] = 0
        for track in set(tracks) - set(chosen):
            self._missed[track] += 1
            if self._missed[track] > PATIENCE:
                for held in (self._boxes, self._missed, self._votes):
                    held.pop(track, None)
        return chosen

    def name(self, tracks: list[int], matches: Matches) -> list[str | None]:
        """Return the name of each track: the one with the most similarity over its frames, None while nobody's."""
        names: list[str | None] = []
        for track, match in zip(tracks, matches, strict=True):
            votes = self._votes[track]
            if match.label is not None:
                votes[match.label] += match.similarity
            names.append(max(votes, key=lambda label: votes[label]) if votes else None)
        return names
