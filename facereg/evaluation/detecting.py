"""The detection protocol: a detector over labelled pictures; one that cannot be read is missing, its faces missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facereg.data.boxes import LabelledImage
from facereg.errors import ContractError, FaceregError, ImageError
from facereg.evaluation.close_ups import close_ups, is_cut
from facereg.evaluation.detection import DetectionScores, score_detections
from facereg.images import read_image
from facereg.pipeline.files import detect_files, error_of_file
from facereg.roles import Detector
from facereg.types import Faces

LEAST = 24.0  # px; the height from which the second line of figures counts faces


@dataclass(frozen=True, slots=True, eq=False)
class DetectionResult:
    """What a detector found in labelled pictures, and its figures.

    Args:
        items, found: the pictures that count, with --close-up those cut, and the faces found in each; none in one that
            cannot be read.
        every, large: figures over all faces, and over those of `least` px and more.
        least: px.
        close_up: share of the picture that each face fills; None for whole pictures.
        errors: what is wrong with each file that could not be read or worked on.
    """

    items: tuple[LabelledImage, ...]
    found: tuple[Faces, ...]
    every: DetectionScores
    large: DetectionScores
    least: float
    close_up: float | None
    errors: tuple[ImageError, ...]

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes; `missing` counts files, whose faces are missed."""
        return {
            "images": len(self.items),
            "missing": len(self.errors),
            "faces": self.every.faces,
            "precision": self.every.precision,
            "recall": self.every.recall,
            "accuracy": self.every.accuracy,
            "mean_iou": self.every.mean_iou,
            "ap50": self.every.ap50,
            "close_up": self.close_up,
            "least": self.least,
            "faces_large": self.large.faces,
            "ap50_large": self.large.ap50,
        }

    def plot(self, path: Path, title: str) -> None:
        """Draw precision against recall."""
        from facereg.evaluation.plots import plot_detection

        curves = {
            f"all faces, AP50 {self.every.ap50:.3f}": self.every.curve,
            f"{self.least:g} px and over, AP50 {self.large.ap50:.3f}": self.large.curve,
        }
        plot_detection(path, curves, f"{title}, {len(self.items)} pictures")

    def draw_worst(self, folder: Path) -> list[Path]:
        """Draw the pictures with most mistakes into a folder; those that cannot be read are passed over.

        Raises:
            ContractError: if the pictures were cut about their faces.
            ImageError: if the folder cannot be written.
        """
        from facereg.evaluation.worst import draw_worst

        if self.close_up is not None:
            raise ContractError("worst: expected whole pictures, got close-ups; leave one of the two out")
        return draw_worst(folder, self.items, self.found)


def measure_detection(
    detector: Detector,
    items: Sequence[LabelledImage],
    *,
    least: float = LEAST,
    close_up: float | None = None,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> DetectionResult:
    """Return the figures of a detector on labelled pictures.

    Args:
        items: as a reader of `facereg.data` gives them.
        least: px; a second line of figures ignores smaller faces.
        close_up: cut a picture about each face of `least` px, which then fills this share of it; see `close_ups`.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part, or could not be read.
    Raises:
        ContractError: if no face counts.
        FaceregError: if a network is not to be had.
    """
    if close_up is None:
        nothing = [Faces.empty()] * len(items)
        for smallest in (0.0, least):
            score_detections(items, nothing, least=smallest)  # what cannot be scored is told before the work
        outcomes = _detect_whole(detector, items, notice)
    else:
        outcomes = (_detect_close_ups(detector, item, close_up, least) for item in items)
    labelled, found, errors = list[LabelledImage](), list[Faces](), list[ImageError]()
    for own, faces, error in outcomes:
        labelled += own
        found += faces
        if error is not None:
            errors.append(error)
            notice(str(error))
        progress(1)
    every, large = score_detections(labelled, found), score_detections(labelled, found, least=least)
    return DetectionResult(tuple(labelled), tuple(found), every, large, least, close_up, tuple(errors))


def detect_listed(
    detector: Detector,
    paths: Sequence[Path],
    *,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> tuple[list[Faces], list[ImageError]]:
    """Return the faces of each picture in the pixels of its file, none where it cannot be read; and what is wrong.

    Raises:
        FaceregError: if a network is not to be had.
    """
    found, errors = list[Faces](), list[ImageError]()
    for _, outcome in detect_files(detector, paths, notice=notice):
        if isinstance(outcome, ImageError):
            errors.append(outcome)
            notice(str(outcome))
            found.append(Faces.empty())
        else:
            picture, faces = outcome
            found.append(picture.in_file(faces))
        progress(1)
    return found, errors


_Detected = tuple[list[LabelledImage], list[Faces], ImageError | None]


def _detect_whole(
    detector: Detector, items: Sequence[LabelledImage], notice: Callable[[str], object]
) -> Iterator[_Detected]:
    outcomes = detect_files(detector, [item.path for item in items], notice=notice)
    for item, (_, outcome) in zip(items, outcomes, strict=True):
        if isinstance(outcome, ImageError):
            yield [item], [Faces.empty()], outcome
        else:
            picture, faces = outcome
            yield [item], [picture.in_file(faces)], None


def _detect_close_ups(detector: Detector, item: LabelledImage, share: float, least: float) -> _Detected:
    try:
        image = read_image(item.path, whole=True)  # labels are in its pixels
        parts = close_ups(item, image, share=share, least=least)
        found = detector.detect([part for _, part in parts])
    except FaceregError as error:
        missed = [_alone(item, row) for row in range(len(item.boxes)) if is_cut(item, row, least)]
        return missed, [Faces.empty()] * len(missed), error_of_file(item.path, error)
    return [labels for labels, _ in parts], found, None


def _alone(item: LabelledImage, row: int) -> LabelledImage:
    """Return the labels of which one face alone counts."""
    return replace(item, ignored=np.arange(len(item.boxes)) != row)
