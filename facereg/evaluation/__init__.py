"""The paper's section 5 and the protocols around it: what a command measures, as a function that returns a value.

A result's `figures()` are what the command prints and writes, `plot(path, title)` draws its curve, and `errors` says
which files could not be read or worked on. Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facereg.data.boxes import LabelledImage
    from facereg.data.formats import read_boxes
    from facereg.data.pairs import PairList, read_lfw_pairs
    from facereg.data.points import PointedImage, read_five_points, read_points
    from facereg.data.wider import WiderTruth, read_wider_truth
    from facereg.evaluation.bootstrap import Intervals, bootstrap
    from facereg.evaluation.comparing import (
        CalibrationResult,
        Comparison,
        VerificationResult,
        compare_pictures,
        measure_thresholds,
        measure_verification,
    )
    from facereg.evaluation.detecting import DetectionResult, measure_detection
    from facereg.evaluation.flipping import Flip, FlippedEmbedder
    from facereg.evaluation.identification import IdentificationResult, measure_identification
    from facereg.evaluation.landmarks import LandmarkResult, measure_landmarks
    from facereg.evaluation.verification import FoldRate, VerificationScores, score_pairs
    from facereg.evaluation.wider import WiderResult, measure_wider
    from facereg.folders.people import read_people
    from facereg.gallery.thresholds import Calibration, Threshold, calibration_for

_HOMES = {
    "facereg.data.boxes": ("LabelledImage",),
    "facereg.data.formats": ("read_boxes",),
    "facereg.data.pairs": (
        "PairList",
        "read_lfw_pairs",
    ),
    "facereg.data.points": (
        "PointedImage",
        "read_five_points",
        "read_points",
    ),
    "facereg.data.wider": (
        "WiderTruth",
        "read_wider_truth",
    ),
    "facereg.evaluation.bootstrap": (
        "Intervals",
        "bootstrap",
    ),
    "facereg.evaluation.comparing": (
        "CalibrationResult",
        "Comparison",
        "VerificationResult",
        "compare_pictures",
        "measure_thresholds",
        "measure_verification",
    ),
    "facereg.evaluation.detecting": (
        "DetectionResult",
        "measure_detection",
    ),
    "facereg.evaluation.flipping": (
        "Flip",
        "FlippedEmbedder",
    ),
    "facereg.evaluation.identification": (
        "IdentificationResult",
        "measure_identification",
    ),
    "facereg.evaluation.landmarks": (
        "LandmarkResult",
        "measure_landmarks",
    ),
    "facereg.evaluation.verification": (
        "FoldRate",
        "VerificationScores",
        "score_pairs",
    ),
    "facereg.evaluation.wider": (
        "WiderResult",
        "measure_wider",
    ),
    "facereg.folders.people": ("read_people",),
    "facereg.gallery.thresholds": (
        "Calibration",
        "Threshold",
        "calibration_for",
    ),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Calibration",
    "CalibrationResult",
    "Comparison",
    "DetectionResult",
    "Flip",
    "FlippedEmbedder",
    "FoldRate",
    "IdentificationResult",
    "Intervals",
    "LabelledImage",
    "LandmarkResult",
    "PairList",
    "PointedImage",
    "Threshold",
    "VerificationResult",
    "VerificationScores",
    "WiderResult",
    "WiderTruth",
    "bootstrap",
    "calibration_for",
    "compare_pictures",
    "measure_detection",
    "measure_identification",
    "measure_landmarks",
    "measure_thresholds",
    "measure_verification",
    "measure_wider",
    "read_boxes",
    "read_five_points",
    "read_lfw_pairs",
    "read_people",
    "read_points",
    "read_wider_truth",
    "score_pairs",
]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'facereg.evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
