"""The matcher keeps the contract, and what is its own."""

from __future__ import annotations

import numpy as np
from facereg import Embeddings, Matcher, Registry
from facereg.testing import MatcherContract

from facereg_new_name import plugin
from facereg_new_name.matcher import (
    NewStage,
    NewStageOptions,
)


class TestItKeepsTheContract(MatcherContract):
    def make(self) -> Matcher:
        return NewStage(threshold=0.5)


def test_it_is_found_by_name() -> None:
    registry = Registry()
    registry.register(plugin, name="new-name")
    made = registry.create("new-name", role="matcher", threshold=0.5)
    with made:
        assert isinstance(made, NewStage)


def test_the_closest_person_comes_first() -> None:
    axes = np.eye(3, dtype=np.float32)
    with NewStage(threshold=0.5) as matcher:
        matcher.add(["ada", "grace"], Embeddings(axes[:2], "a"))
        matches = matcher.match(Embeddings(np.array([[0.6, 0.8, 0.0]], np.float32), "a"))
    assert matches.labels[0] == ("grace", "ada")


def test_the_mean_of_a_persons_similarities_counts_where_it_is_asked_for() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    options = NewStageOptions(of_several="mean")
    with NewStage(threshold=0.5, options=options) as matcher:
        matcher.add(["ada", "ada"], Embeddings(vectors, "a"))
        matches = matcher.match(Embeddings(vectors[:1], "a"))
    assert matches.similarities[0, 0] == 0.5
