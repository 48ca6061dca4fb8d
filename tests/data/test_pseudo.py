"""Labels that a detector makes, and those that an aligner adds its points to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.data.boxes import PseudoLabels
from facereg.data.pseudo import label_images
from facereg.errors import ImageError
from facereg.images import write_image
from facereg.options import LandmarkOptions
from facereg.pipeline.points import points_of
from facereg.types import FloatArray
from tests.fakes import BoxAligner, PaintedDetector, picture


class FirstAlone(BoxAligner):
    """Is sure of the first face of a call."""

    def _find(self, crops: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        points, sure = super()._find(crops)
        sure[1:] = 0
        return points, sure


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for name, people in (("two", (1, 2)), ("none", ()), ("one", (3,))):
        write_image(tmp_path / f"{name}.png", picture(*people))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return [tmp_path / f"{name}.png" for name in ("two", "bad", "none", "one")]


def test_an_aligners_points_stand_for_the_detectors(paths: list[Path]) -> None:
    detector, aligner = PaintedDetector(), BoxAligner(LandmarkOptions(passes=1))
    two, bad, none, one = label_images(detector, paths, aligner=aligner)
    assert isinstance(bad, ImageError)
    assert isinstance(two, PseudoLabels)
    assert isinstance(one, PseudoLabels)
    assert isinstance(none, PseudoLabels)
    assert [len(item.faces) for item in (two, none, one)] == [2, 0, 1]
    [faces] = detector.detect([picture(1, 2)])
    assert two.faces.landmarks == pytest.approx(points_of(aligner, picture(1, 2), faces).points)
    assert two.faces.landmarks.shape == (2, 98, 2)
    assert two.faces.boxes.tolist() == faces.boxes.tolist()


def test_faces_that_the_aligner_refuses_are_no_labels(paths: list[Path]) -> None:
    [two] = label_images(PaintedDetector(), paths[:1], aligner=FirstAlone(LandmarkOptions(passes=1, least=0.5)))
    assert isinstance(two, PseudoLabels)
    assert two.faces.scores.tolist() == pytest.approx([0.9])
    assert two.faces.landmarks.shape == (1, 98, 2)


def test_the_five_point_aligner_leaves_the_detectors_landmarks(paths: list[Path]) -> None:
    alone, with_five = (
        list(label_images(PaintedDetector(), paths[:1], aligner=one)) for one in (None, FivePointAligner())
    )
    for one, other in zip(alone, with_five, strict=True):
        assert isinstance(one, PseudoLabels)
        assert isinstance(other, PseudoLabels)
        assert np.array_equal(one.faces.landmarks, other.faces.landmarks)
