"""What thresholds mean: rates between those measured, and galleries of many people."""

from __future__ import annotations

import numpy as np
import pytest

from facereg.calibration import Calibration, far_for
from facereg.errors import ContractError
from facereg.matching.exact import ExactMatcher
from facereg.testing.pictures import vectors
from facereg.types import Embeddings


def test_a_rate_between_two_measured_lies_between_their_thresholds() -> None:
    held = Calibration({0.01: 0.3, 0.0001: 0.5}, "a test")
    assert held.at() == held.at(0.01)
    assert held.at(0.01).value == pytest.approx(0.3)
    assert held.at(0.001).value == pytest.approx(0.4)
    assert held.at(0.001).far == pytest.approx(0.001)
    assert held.at(1e-9) == held.at(0.0001)  # not measured
    assert held.at(0.5) == held.at(0.01)
    assert held.at(0.5).far == pytest.approx(0.01)


@pytest.mark.parametrize("thresholds", [{}, {0.0: 0.5}])
def test_thresholds_without_a_rate_are_refused(thresholds: dict[float, float]) -> None:
    with pytest.raises(ContractError, match="expected one by a rate above 0"):
        Calibration(thresholds, "a test")


def test_as_many_strangers_are_named_as_was_asked_whatever_the_gallery() -> None:
    everybody, probes = vectors(400, 16, "a").vectors, vectors(4000, 16, "a", seed=1).vectors
    impostors = np.sort((everybody @ probes.T).ravel())[::-1]
    for people in (1, 20, 400):
        threshold = impostors[int(len(impostors) * far_for(people, 0.1))]
        with ExactMatcher(threshold=float(threshold)) as matcher:
            matcher.add([str(row) for row in range(people)], Embeddings(everybody[:people], "a"))
            named = np.mean([match.accepted for match in matcher.match(Embeddings(probes, "a"))])
        assert named == pytest.approx(0.1, abs=0.04)
