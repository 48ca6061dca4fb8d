"""The aligner keeps the contract, and what is its own."""

from __future__ import annotations

import numpy as np
import pytest
from facereg import Aligner, Faces, Registry
from facereg.testing import AlignerContract

from facereg_new_name import plugin
from facereg_new_name.aligner import (
    NewStage,
    NewStageOptions,
)


class TestItKeepsTheContract(AlignerContract):
    def make(self) -> Aligner:
        return NewStage()


def test_it_is_found_by_name() -> None:
    registry = Registry()
    registry.register(plugin, name="new-name")
    with registry.create("new-name", role="aligner") as made:
        assert isinstance(made, NewStage)


def test_the_corners_of_a_square_box_become_the_corners_of_the_crop() -> None:
    faces = Faces(np.array([[10.0, 20.0, 66.0, 76.0]]), np.array([0.9]))  # 56 px: enlarged twice
    with NewStage() as aligner:
        crops = aligner.align([np.zeros((100, 100, 3), np.uint8)], [faces], size=112)
    assert crops.transforms[0] @ [10, 20, 1] == pytest.approx([-0.5, -0.5])
    assert crops.transforms[0] @ [66, 76, 1] == pytest.approx([111.5, 111.5])


def test_a_margin_shows_what_is_around_the_box() -> None:
    faces = Faces(np.array([[10.0, 20.0, 66.0, 76.0]]), np.array([0.9]))
    options = NewStageOptions(margin=0.5)
    with NewStage(options) as aligner:
        crops = aligner.align([np.zeros((100, 100, 3), np.uint8)], [faces], size=112)
    assert crops.transforms[0] @ [38, 48, 1] == pytest.approx([55.5, 55.5])  # the middle stays the middle
    assert crops.transforms[0] @ [10, 20, 1] == pytest.approx([27.5, 27.5])
