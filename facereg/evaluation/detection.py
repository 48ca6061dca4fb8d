"""Detection figures: average precision, and precision, recall, accuracy and mean IoU of what the detector gives."""

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
        accuracy: TP / (TP + FP + FN). The paper (3.1.4) asks for accuracy and gives no formula; without true
            negatives, which detection has not, (TP + TN) / all comes to this.
        ap50: area under the interpolated precision-recall curve at IoU 0.5.
        curve: (N, 3) float32 recall, precision, score, by falling score.
    """

    faces: int
    precision: float
    recall: float
    accuracy: float
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
    outcomes = [
        match_faces(item, faces, least=least, matched=matched) for item, faces in zip(items, found, strict=True)
    ]
    faces = sum(outcome.wanted for outcome in outcomes)
    if faces == 0:
        raise ContractError("items: expected at least one face that counts, got none; check annotations and sizes")
    scores = np.concatenate([given.scores[outcome.judged] for given, outcome in zip(found, outcomes, strict=True)])
    hits = np.concatenate([outcome.hits[outcome.judged] for outcome in outcomes])
    overlaps = np.concatenate([outcome.overlaps[outcome.judged] for outcome in outcomes])
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(hits[order])
    recall = true / faces
    precision = true / np.arange(1, len(order) + 1)
    return DetectionScores(
        faces=faces,
        precision=float(precision[-1]) if len(order) else 0.0,
        recall=float(recall[-1]) if len(order) else 0.0,
        accuracy=float(hits.sum() / (len(hits) + faces - hits.sum())),
        mean_iou=float(overlaps[hits].mean()) if hits.any() else 0.0,
        ap50=average_precision(recall, precision),
        curve=np.stack([recall, precision, scores[order]], 1).astype(np.float32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of N boxes and M faces of a picture.

    Args:
        judged: (N,) False for boxes on ignored faces, and for unmatched ones below the least size.
        hits: (N,) the box found a face that counts.
        overlaps: (N,) float32 IoU with the face it was given, 0 for none.
        missed: (M,) the face counts and no box found it.
        wanted: how many faces count.
    """

    judged: BoolArray
    hits: BoolArray
    overlaps: FloatArray
    missed: BoolArray
    wanted: int

    @property
    def false(self) -> BoolArray:
        """Return (N,): boxes that count and found nothing."""
        return self.judged & ~self.hits


def match_faces(item: LabelledImage, found: Faces, *, least: float = 0.0, matched: float = MATCHED) -> Outcome:
    """Give each box, best first, the free face it overlaps most; boxes on ignored faces do not count.

    Args:
        least: px; faces less than this high are ignored ones, and so are unmatched boxes less than this high.
        matched: IoU from which a box has found a face.
    """
    heights = item.boxes[:, 3] - item.boxes[:, 1]
    ignored = item.ignored | (heights < least)
    overlap = box_overlap(found.boxes, item.boxes)  # (N, M)
    free = np.ones(len(item.boxes), np.bool_)
    judged, hits = np.ones(len(found), np.bool_), np.zeros(len(found), np.bool_)
    overlaps = np.zeros(len(found), np.float32)
    for row in range(len(found)):
        for wanted in (~ignored, ignored):  # a face to find goes first
            candidates = np.where(wanted & free, overlap[row], 0.0) if len(free) else np.zeros(1)
            best = int(candidates.argmax())
            if candidates[best] >= matched:
                free[best] = False
                hits[row], overlaps[row] = not ignored[best], candidates[best]
                judged[row] = not ignored[best]
                break
        else:
            judged[row] = found.boxes[row, 3] - found.boxes[row, 1] >= least
    return Outcome(judged, hits, overlaps, free & ~ignored, int((~ignored).sum()))


def average_precision(recall: npt.NDArray[np.floating], precision: npt.NDArray[np.floating]) -> float:
    """Return the area under precision made monotone, over all recalls (PASCAL VOC since 2010)."""
    if len(recall) == 0:
        return 0.0
    envelope = np.maximum.accumulate(np.asarray(precision, np.float64)[::-1])[::-1]
    return float((np.diff(np.asarray(recall, np.float64), prepend=0.0) * envelope).sum())
