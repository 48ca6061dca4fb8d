"""Who is in a video: faces followed from frame to frame, each with the name that its frames agree on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facereg.errors import ContractError, FaceregError
from facereg.geometry import box_overlap
from facereg.pipeline.composer import Pipeline, Result
from facereg.pipeline.smoothing import STEADY_HZ, PointSmoother
from facereg.types import Faces, FloatArray, Matches
from facereg.video import Frame, Video

SAME_TRACK = 0.3  # IoU from which a box goes on a track, as in SORT (Bewley et al. 2016)
PATIENCE = 15  # frames that a track waits for its face


@dataclass(frozen=True, slots=True, eq=False)
class IdentifiedFrame:
    """A frame, what the pipeline found in it, and for each face its track and that track's name so far.

    `outcome` is the error where the pipeline failed for this frame; there are no tracks then. `points` (N, P, 2) are
    the aligner's, smoothed along each track where that was asked for; NaN of a face that it refused.
    """

    frame: Frame
    outcome: Result | FaceregError
    tracks: tuple[int, ...] = ()
    names: tuple[str | None, ...] = ()
    points: FloatArray = field(default_factory=lambda: np.empty((0, 0, 2), np.float32))


def identify_video(
    pipeline: Pipeline, source: str | Path | Video, *, smooth: bool | float = False
) -> Generator[IdentifiedFrame, None, None]:
    """Yield each frame of a video, stream or camera with its faces, their tracks and names.

    Args:
        pipeline: one with a matcher that knows people.
        source: path, address or camera number; or a `Video`, which counts missing and dropped frames.
        smooth: smooth the points along each track: true, or the cutoff in Hz for a still face; see `PointSmoother`.
            Vectors and names are those of the frame's own points.
    Raises:
        ContractError: if the pipeline has no matcher, or the cutoff is not above 0.
        ImageError: if the source cannot be opened, holds no frame, or a stream is gone for good.
    """
    if pipeline.matcher is None:
        raise ContractError("pipeline: expected one with a matcher, got none; a gallery fills one")
    smoother = PointSmoother(STEADY_HZ if smooth is True else smooth) if smooth is not False else None
    tracker = Tracker()
    for frame in source if isinstance(source, Video) else Video(source):
        for outcome in pipeline.outcomes([frame.image], chunk=1, window=1):
            if isinstance(outcome, FaceregError):
                yield IdentifiedFrame(frame, outcome)
                continue
            tracks = tracker.follow(outcome.faces)
            names: list[str | None] = [None] * len(tracks)
            kept = outcome.kept.tolist()
            named = tracker.name([tracks[row] for row in kept], outcome.matches)
            for row, name in zip(kept, named, strict=True):
                names[row] = name
            own = outcome.points
            if smoother is not None:
                own = smoother.smooth([tracks[row] for row in kept], own, frame.time_s)
            points = np.full((len(tracks), *own.shape[1:]), np.nan, np.float32)
            points[kept] = own
            yield IdentifiedFrame(frame, outcome, tuple(tracks), tuple(names), points)


class Tracker:
    """Follows faces by the overlap of their boxes (SORT's association, without its motion model)."""

    def __init__(self) -> None:
        self._boxes: dict[int, FloatArray] = {}
        self._missed: dict[int, int] = {}
        self._votes: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._next = 0
        self._changes = 0  # of the matcher's people, at the last frame

    def follow(self, faces: Faces) -> list[int]:
        """Return the track of each face: one that goes on, or a new one."""
        tracks = list(self._boxes)
        boxes = np.array([self._boxes[track] for track in tracks], np.float32).reshape(-1, 4)
        overlap = box_overlap(faces.boxes, boxes)  # (N, T)
        chosen = [-1] * len(faces)
        while overlap.size and overlap.max() >= SAME_TRACK:
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
        """Return the name of each track: the one with the most similarity over its frames, None while nobody's.

        Where the people known have changed since the last frame, frames before it count no more: a person who was
        removed is named no longer.
        """
        if matches.changes != self._changes:
            self._votes.clear()
            self._changes = matches.changes
        names: list[str | None] = []
        for track, match in zip(tracks, matches, strict=True):
            votes = self._votes[track]
            if match.label is not None:
                votes[match.label] += match.similarity
            names.append(max(votes, key=lambda label: votes[label]) if votes else None)
        return names
