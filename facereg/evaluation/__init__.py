"""The paper's section 5 and the protocols around it: what a command measures, as a function that returns a value.

A result's `figures()` are what the command prints and writes, `plot(path, title)` draws its curve, and `errors` says
which files could not be read or worked on. Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facereg import _lazy

if TYPE_CHECKING:
    from facereg.data.boxes import LabelledImage as LabelledImage
    from facereg.data.formats import read_boxes as read_boxes
    from facereg.data.groups import read_groups as read_groups
    from facereg.data.pairs import Pair as Pair
    from facereg.data.pairs import PairList as PairList
    from facereg.data.pairs import read_lfw_pairs as read_lfw_pairs
    from facereg.data.pairs import read_pairs as read_pairs
    from facereg.data.points import PointedImage as PointedImage
    from facereg.data.points import read_five_points as read_five_points
    from facereg.data.points import read_points as read_points
    from facereg.data.templates import TemplateList as TemplateList
    from facereg.data.templates import read_templates as read_templates
    from facereg.data.wider import WiderTruth as WiderTruth
    from facereg.data.wider import read_wider_truth as read_wider_truth
    from facereg.evaluation.bootstrap import Intervals as Intervals
    from facereg.evaluation.bootstrap import bootstrap as bootstrap
    from facereg.evaluation.calibrating import CalibrationResult as CalibrationResult
    from facereg.evaluation.calibrating import calibrate_gallery as calibrate_gallery
    from facereg.evaluation.calibrating import measure_thresholds as measure_thresholds
    from facereg.evaluation.cleaning import CleanedPeople as CleanedPeople
    from facereg.evaluation.cleaning import Removed as Removed
    from facereg.evaluation.cleaning import clean_people as clean_people
    from facereg.evaluation.cleaning import write_cleaned as write_cleaned
    from facereg.evaluation.comparing import Comparison as Comparison
    from facereg.evaluation.comparing import VerificationResult as VerificationResult
    from facereg.evaluation.comparing import compare_pictures as compare_pictures
    from facereg.evaluation.comparing import measure_verification as measure_verification
    from facereg.evaluation.detecting import DetectionResult as DetectionResult
    from facereg.evaluation.detecting import measure_detection as measure_detection
    from facereg.evaluation.flipping import Flip as Flip
    from facereg.evaluation.flipping import FlippedEmbedder as FlippedEmbedder
    from facereg.evaluation.grouping import GroupingResult as GroupingResult
    from facereg.evaluation.grouping import GroupingScores as GroupingScores
    from facereg.evaluation.grouping import measure_grouping as measure_grouping
    from facereg.evaluation.grouping import score_grouping as score_grouping
    from facereg.evaluation.identification import IdentificationResult as IdentificationResult
    from facereg.evaluation.identification import measure_identification as measure_identification
    from facereg.evaluation.known_faces import KnownFaces as KnownFaces
    from facereg.evaluation.known_faces import embed_known_faces as embed_known_faces
    from facereg.evaluation.known_faces import find_main_faces as find_main_faces
    from facereg.evaluation.landmarks import LandmarkResult as LandmarkResult
    from facereg.evaluation.landmarks import measure_landmarks as measure_landmarks
    from facereg.evaluation.templates import TemplateResult as TemplateResult
    from facereg.evaluation.templates import measure_templates as measure_templates
    from facereg.evaluation.templates import pool_vectors as pool_vectors
    from facereg.evaluation.verification import FoldRate as FoldRate
    from facereg.evaluation.verification import VerificationScores as VerificationScores
    from facereg.evaluation.verification import score_pairs as score_pairs
    from facereg.evaluation.wider import WiderResult as WiderResult
    from facereg.evaluation.wider import measure_wider as measure_wider
    from facereg.folders.people import read_people as read_people
    from facereg.gallery.thresholds import Calibration as Calibration
    from facereg.gallery.thresholds import Tail as Tail
    from facereg.gallery.thresholds import Threshold as Threshold
    from facereg.gallery.thresholds import calibration_for as calibration_for


_HOMES = {
    "facereg.data.boxes": "LabelledImage",
    "facereg.data.formats": "read_boxes",
    "facereg.data.groups": "read_groups",
    "facereg.data.pairs": "Pair PairList read_lfw_pairs read_pairs",
    "facereg.data.points": "PointedImage read_five_points read_points",
    "facereg.data.templates": "TemplateList read_templates",
    "facereg.data.wider": "WiderTruth read_wider_truth",
    "facereg.evaluation.bootstrap": "Intervals bootstrap",
    "facereg.evaluation.calibrating": "CalibrationResult calibrate_gallery measure_thresholds",
    "facereg.evaluation.cleaning": "CleanedPeople Removed clean_people write_cleaned",
    "facereg.evaluation.comparing": "Comparison VerificationResult compare_pictures measure_verification",
    "facereg.evaluation.detecting": "DetectionResult measure_detection",
    "facereg.evaluation.flipping": "Flip FlippedEmbedder",
    "facereg.evaluation.grouping": "GroupingResult GroupingScores measure_grouping score_grouping",
    "facereg.evaluation.identification": "IdentificationResult measure_identification",
    "facereg.evaluation.known_faces": "KnownFaces embed_known_faces find_main_faces",
    "facereg.evaluation.landmarks": "LandmarkResult measure_landmarks",
    "facereg.evaluation.templates": "TemplateResult measure_templates pool_vectors",
    "facereg.evaluation.verification": "FoldRate VerificationScores score_pairs",
    "facereg.evaluation.wider": "WiderResult measure_wider",
    "facereg.folders.people": "read_people",
    "facereg.gallery.thresholds": "Calibration Tail Threshold calibration_for",
}

__getattr__, __dir__, __all__ = _lazy(__name__, _HOMES)
