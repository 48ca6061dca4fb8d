"""The embedder keeps the contract, and what is its own."""

from __future__ import annotations

import numpy as np
import pytest
from facereg import Embedder, Registry
from facereg.testing import EmbedderContract

from facereg_new_name import plugin
from facereg_new_name.embedder import (
    NewStage,
    NewStageOptions,
)


class TestItKeepsTheContract(EmbedderContract):
    def make(self) -> Embedder:
        return NewStage()


def test_it_is_found_by_name() -> None:
    registry = Registry()
    registry.register(plugin, name="new-name")
    with registry.create("new-name", role="embedder") as made:
        assert isinstance(made, NewStage)


def test_a_crop_and_its_negative_are_opposite() -> None:
    crop = np.full((1, 112, 112, 3), 250, np.uint8)
    with NewStage() as embedder:
        vectors = embedder.embed(np.concatenate([crop, 255 - crop])).vectors
    assert float(vectors[0] @ vectors[1]) == pytest.approx(-1.0, abs=1e-5)


def test_other_cells_are_other_vectors_of_another_space() -> None:
    options = NewStageOptions(cells=4)
    coarse = NewStage(options)
    with NewStage() as usual, coarse:
        assert (usual.dim, coarse.dim) == (192, 48)
        assert usual.space != coarse.space
