"""The detector keeps the contract, and what is its own."""

from __future__ import annotations

import numpy as np
from facereg import Detector, Registry
from facereg.testing import DetectorContract

from facereg_new_name import plugin
from facereg_new_name.detector import (
    NewStage,
    NewStageOptions,
)


class TestItKeepsTheContract(DetectorContract):
    def make(self) -> Detector:
        return NewStage()


def test_it_is_found_by_name() -> None:
    registry = Registry()
    registry.register(plugin, name="new-name")
    with registry.create("new-name", role="detector") as made:
        assert isinstance(made, NewStage)


def test_a_grey_picture_holds_no_face() -> None:
    with NewStage() as detector:
        [faces] = detector.detect([np.full((80, 80, 3), 128, np.uint8)])
    assert len(faces) == 0


def test_regions_narrower_than_the_least_are_no_faces() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[50:130, 60:120] = (224, 172, 140)  # light skin, 60 px wide
    for least, count in ((40, 1), (80, 0)):
        options = NewStageOptions(least=least)
        with NewStage(options) as detector:
            assert len(detector.detect([image])[0]) == count
