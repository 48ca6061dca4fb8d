"""The detector keeps the contract, and what is its own."""

from __future__ import annotations

import numpy as np
from facereg import Detector, Registry
from facereg.testing import DetectorContract

from facereg_lbp_cascade import plugin
from facereg_lbp_cascade.detector import LbpCascadeDetector


class TestItKeepsTheContract(DetectorContract):
    def make(self) -> Detector:
        return LbpCascadeDetector()


def test_it_is_found_by_name() -> None:
    registry = Registry()
    registry.register(plugin, name="lbp-cascade")
    with registry.create("lbp-cascade", role="detector") as made:
        assert isinstance(made, LbpCascadeDetector)


def test_a_grey_picture_holds_no_face() -> None:
    with LbpCascadeDetector() as detector:
        [faces] = detector.detect([np.full((80, 80, 3), 128, np.uint8)])
    assert len(faces) == 0
