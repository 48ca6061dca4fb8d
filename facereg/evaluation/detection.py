"""Detection figures: average precision, and precision, recall and mean IoU of what the detector gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg.data.boxes import LabelledImage
from facereg.errors import ContractError
from facereg.geometry import box_overlap
from facereg.types import BoolArray, Faces, FloatArray

MATCHED = 0.5  # IoU from which a box has found a face (PASCAL VOC; the paper, section 5)


@dataclass(frozen=True, slots=True, eq=False)
class DetectionScores:
    """Figures over all pictures.

    Args:
        faces: how many there are to find.
        precision, recall, mean_iou: of all boxes given; mean_iou over those that found a face.
        ap50: area under the interpolated precision-recall curve at IoU 0.5.
        curve: (N, 3) float32 recall, precision, score, by falling score.
    """

    faces: int
    precision: float
    recall: float
    mean_iou: float
    ap50: float
    curve: FloatArray


def score_detections(
    items: Sequence[LabelledImage], found: Sequence[Faces], *, least: float = 0.0, matched: float = MATCHED
) -> DetectionScores:
    """Compare what was found with the labels.

    Args:
        items: labelled pictures.
        found: the faces of each.
        least: px; faces less than this high are ignored ones, and so are unmatched boxes less than this high.
        matched: IoU from which a box has found a face.
    Raises:
        ContractError: if the lengths differ or no face counts.
    """
    if len(items) != len(found):
        raise ContractError(f"found: expected one Faces for each of {len(items)} pictures, got {len(found)}")
    outcomes = [_match(item, faces, least, matched) for item, faces in zip(items, found, strict=True)]
    faces = sum(outcome.faces for outcome in outcomes)
    if faces == 0:
        raise ContractError("items: expected at least one face that counts, got none; check annotations and sizes")
    scores = np.concatenate([outcome.scores for outcome in outcomes])
    hits = np.concatenate([outcome.hits for outcome in outcomes])
    overlaps = np.concatenate([outcome.overlaps for outcome in outcomes])
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(hits[order])
    recall = true / faces
    precision = true / np.arange(1, len(order) + 1)
    return DetectionScores(
        faces=faces,
        precision=float(precision[-1]) if len(order) else 0.0,
        recall=float(recall[-1]) if len(order) else 0.0,
        mean_iou=float(overlaps[hits].mean()) if hits.any() else 0.0,
        ap50=average_precision(recall, precision),
        curve=np.stack([recall, precision, scores[order]], 1).astype(np.float32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    faces: int
    scores: FloatArray  # of the boxes that count
    hits: BoolArray
    overlaps: FloatArray


def _match(item: LabelledImage, found: Faces, least: float, matched: float) -> _Outcome:
    """Give each box, best first, the free face it overlaps most; boxes on ignored faces do not count."""
    heights = item.boxes[:, 3] - item.boxes[:, 1]
    ignored = item.ignored | (heights < least)
    overlap = box_overlap(found.boxes, item.boxes)  # (N, M)
    free = np.ones(len(item.boxes), np.bool_)
    counts, hits = np.ones(len(found), np.bool_), np.zeros(len(found), np.bool_)
    overlaps = np.zeros(len(found), np.float32)
    for row in range(len(found)):
        for wanted in (~ignored, ignored):  # a face to find goes first
            candidates = np.where(wanted & free, overlap[row], 0.0) if len(free) else np.zeros(1)
            best = int(candidates.argmax())
            if candidates[best] >= matched:
                free[best] = False
                hits[row], overlaps[row] = not ignored[best], candidates[best]
                counts[row] = not ignored[best]
                break
        else:
            counts[row] = found.boxes[row, 3] - found.boxes[row, 1] >= least
    return _Outcome(int((~ignored).sum()), found.scores[counts], hits[counts], overlaps[counts])


def average_precision(recall: npt.NDArray[np.floating], precision: npt.NDArray[np.floating]) -> float:
    """Return the area under precision made monotone, over all recalls (PASCAL VOC since 2010)."""
    if len(recall) == 0:
        return 0.0
    envelope = np.maximum.accumulate(np.asarray(precision, np.float64)[::-1])[::-1]
    return float((np.diff(np.asarray(recall, np.float64), prepend=0.0) * envelope).sum())
