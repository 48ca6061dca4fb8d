"""Labelled pictures of several origins, brought to one convention for boxes.

Hand-drawn boxes, a detector's boxes and boxes guessed from five points differ in where they begin and end. Where
pseudo-labels also cover the pictures with hand-drawn boxes, all are fitted to the hand-drawn ones; there they also
tell which faces the hands left out, and lend their landmarks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.builtin.layouts import W300_68
from facereg.data.boxes import LabelledImage, read_pseudo_labels, read_wider, unknown_points, without_area
from facereg.data.lines import read_lines
from facereg.data.points import read_68_points, read_five_points
from facereg.data.splits import held_out
from facereg.errors import DatasetError
from facereg.geometry import box_overlap
from facereg.types import BoolArray, Faces, FloatArray

SURE_LABEL = 0.7  # score from which a pseudo-label is a face; below, it is neither face nor background
SAME_FACE = 0.5  # IoU from which a pseudo-label and a hand-drawn box are one face
APART = 0.3  # IoU below which they are two


@dataclass(frozen=True, slots=True, eq=False)
class BoxFit:
    """How a hand-drawn box lies to a detector's: centre + shift * side, side * scale; all (2,)."""

    shift: FloatArray
    scale: FloatArray

    @classmethod
    def between(cls, hand: FloatArray, detected: FloatArray) -> BoxFit:
        """Return the medians over the same faces' boxes, both (N, 4); no faces give no change."""
        if len(hand) == 0:
            return cls(np.zeros(2, np.float32), np.ones(2, np.float32))
        side = detected[:, 2:] - detected[:, :2]
        shift = (hand[:, :2] + hand[:, 2:] - detected[:, :2] - detected[:, 2:]) / 2 / side
        return cls(np.median(shift, 0), np.median((hand[:, 2:] - hand[:, :2]) / side, 0))

    def __call__(self, boxes: FloatArray) -> FloatArray:
        """Return detector boxes (N, 4) as hands would draw them."""
        side = boxes[:, 2:] - boxes[:, :2]
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + self.shift * side
        half = side * self.scale / 2
        return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


@dataclass(frozen=True)  # no slots: settings of a recipe may have another base beside it
class SourceSettings:
    """Settings of recipes that learn boxes; names of lists are relative to the data folder, commas between several."""

    crowds: str = "faces-in-crowds/dev_bbx_gt.txt"  # WIDER FACE list
    images: str = ""  # folder of its pictures; empty is `images` beside the list
    keep_out: bool = True  # leave out the fifth kept for evaluation; no where a set has a part of its own for that
    pseudo: str = ""  # pseudo-labels, also of the crowds
    points: str = "landmarks-68pt/train_68pt.txt,landmarks-5pt/train_5pt.txt"  # lists beside `images`


def read_recipe_sources(
    data: Sequence[Path], settings: SourceSettings
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return what `read_sources` does, for a recipe, from its `--data`; no picture is looked at.

    Raises:
        DatasetError: if it is not one folder, or a file is missing.
    """
    if len(data) != 1:
        raise DatasetError(
            f"data: expected the one folder that the settings' files lie in, got {len(data)}; pass --data DIR"
        )
    return read_sources(
        data[0],
        crowds=settings.crowds,
        pseudo=_names(settings.pseudo),
        points=_names(settings.points),
        images=settings.images,
        keep_out=settings.keep_out,
    )


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def read_sources(
    root: Path,
    *,
    crowds: str,
    pseudo: Sequence[str],
    points: Sequence[str],
    images: str = "",
    keep_out: bool = True,
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return the pictures with hand-drawn boxes, and those with pseudo-labels or points.

    Args:
        root: the folder that all names are relative to.
        crowds: a WIDER FACE list.
        pseudo: pseudo-label files, as `facereg data pseudo-label` writes them.
        points: lists of 5 or 68 points, each beside a folder `images`.
        images: folder of the pictures of `crowds`; empty is `images` beside the list.
        keep_out: leave out the fifth of `crowds` kept for evaluation, and copies of its pictures; False where a set
            has a part of its own for that.
    """
    crowd = read_wider(root / crowds, root / images if images else (root / crowds).parent / "images")
    kept, test = held_out(crowd, key=lambda item: item.path.name) if keep_out else (crowd, [])
    guesses = {item.path: item.faces for name in pseudo for item in read_pseudo_labels(root / name, root)}
    kept, copies = _without_copies(kept, test)
    for item in (*test, *copies):
        guesses.pop(item.path, None)
    found = [(item, guesses.pop(item.path, None)) for item in kept]
    fit = _fit(found)
    hand = [item if guess is None else _joined(item, guess, fit) for item, guess in found]
    pointed = {path: five for name in points for path, five in _read_points(root / name)}
    # every file beside a points list is that list's: pseudo-labels of its test pictures are not used
    owned = tuple((root / name).parent for name in points)
    rest = [_pointed(path, five, guesses.get(path), fit) for path, five in pointed.items()]
    rest += [
        _guessed(path, guess, fit)
        for path, guess in guesses.items()
        if path not in pointed and not any(path.is_relative_to(folder) for folder in owned)
    ]
    return hand, rest


def _without_copies(
    items: Sequence[LabelledImage], test: Sequence[LabelledImage]
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return the pictures unlike any kept out, and those that are byte for byte one kept out, by another name."""
    digests = {hashlib.sha256(item.path.read_bytes()).digest() for item in test}
    apart: tuple[list[LabelledImage], list[LabelledImage]] = ([], [])
    for item in items:
        apart[bool(digests) and hashlib.sha256(item.path.read_bytes()).digest() in digests].append(item)
    return apart


def _fit(found: Sequence[tuple[LabelledImage, Faces | None]]) -> BoxFit:
    hand, detected = [np.empty((0, 4), np.float32)], [np.empty((0, 4), np.float32)]
    for item, guess in found:
        if guess is not None and len(guess.boxes) and len(item.boxes):
            overlap = box_overlap(item.boxes, guess.boxes)  # (N, M)
            rows = np.flatnonzero(overlap.max(1) >= SAME_FACE)
            hand.append(item.boxes[rows])
            detected.append(guess.boxes[overlap[rows].argmax(1)])
    return BoxFit.between(np.concatenate(hand), np.concatenate(detected))


def _joined(item: LabelledImage, guess: Faces, fit: BoxFit) -> LabelledImage:
    """Lend the guesses' points to hand-drawn boxes, and mark the faces that hands left out as ignored."""
    boxes = fit(guess.boxes)
    overlap = box_overlap(item.boxes, boxes)  # (N, M)
    points = item.points.copy()
    unlabelled = np.ones(len(boxes), np.bool_)
    if overlap.size:
        unlabelled = overlap.max(0) < APART
        best = overlap.argmax(1)
        sure = (overlap.max(1) >= SAME_FACE) & (guess.scores[best] >= SURE_LABEL) & np.isnan(points).any((1, 2))
        points[sure] = _points_of(guess)[best[sure]]
    extra = boxes[unlabelled]
    return LabelledImage(
        item.path,
        np.concatenate([item.boxes, extra]),
        np.concatenate([item.ignored, np.ones(len(extra), np.bool_)]),
        np.concatenate([points, unknown_points(len(extra))]),
    )


def _guessed(path: Path, guess: Faces, fit: BoxFit) -> LabelledImage:
    boxes = fit(guess.boxes)
    return LabelledImage(path, boxes, (guess.scores < SURE_LABEL) | without_area(boxes), _points_of(guess))


def _points_of(guess: Faces) -> FloatArray:
    """Return (N, 5, 2): NaN where the labeller gives no landmarks, and of the right shape where it saw no face."""
    return guess.landmarks if guess.landmarks.shape[1] == 5 else unknown_points(len(guess))


def _pointed(path: Path, five: FloatArray, guess: Faces | None, fit: BoxFit) -> LabelledImage:
    """Return a picture whose one face has points by hand; its box is the guess around them, or made from them."""
    box, others = _box_around(five), np.empty((0, 4), np.float32)
    if guess is not None and len(guess.boxes):
        boxes = fit(guess.boxes)
        overlap = box_overlap(box[None], boxes)[0]
        mine = int(overlap.argmax())
        if overlap[mine] >= APART:
            box = boxes[mine]
            others = np.delete(boxes, mine, 0)
        else:
            others = boxes
    ignored: BoolArray = np.arange(1 + len(others)) > 0
    points = np.concatenate([five[None].astype(np.float32), unknown_points(len(others))])
    return LabelledImage(path, np.concatenate([box[None], others]), ignored, points)


def _box_around(five: FloatArray) -> FloatArray:
    """Return the box x1 y1 x2 y2 that hands would draw about an upright face with these points."""
    spread = float(np.sqrt(((five - five.mean(0)) ** 2).mean()))
    # medians of the fitted YuNet boxes of the 68-point set: sides and drop of the centre, in spreads of the points
    half = np.array([WIDTH, HEIGHT]) * spread / 2
    centre = five.mean(0) + np.array([0.0, DROP]) * spread
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


WIDTH, HEIGHT, DROP = 5.2, 6.0, 0.3


def _read_points(path: Path) -> list[tuple[Path, FloatArray]]:
    images = path.parent / "images"
    if any(len(line.split()) > 100 for line in read_lines(path)[:1]):
        return [(item.path, W300_68.five_of(item.points)) for item in read_68_points(path, images)]
    return [(item.path, item.points) for item in read_five_points(path, images)]
