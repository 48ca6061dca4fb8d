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


@pytest.mark.parametrize("templates", [True, False])
def test_as_many_strangers_are_named_as_was_asked_whatever_the_gallery(templates: bool) -> None:
    everybody, probes = vectors(400, 16, "a").vectors, vectors(4000, 16, "a", seed=1).vectors
    impostors = np.sort((everybody @ probes.T).ravel())[::-1]
    for count in (2, 20, 400):
        with ExactMatcher(threshold=1.0, templates=templates) as matcher:
            matcher.add([str(row // 2) for row in range(count)], Embeddings(everybody[:count], "a"))
            assert matcher.comparisons == (count // 2 if templates else count)
            matcher.threshold = float(impostors[int(len(impostors) * far_for(matcher.comparisons, 0.1))])
            named = np.mean([match.accepted for match in matcher.match(Embeddings(probes, "a"))])
        assert named == pytest.approx(0.1, abs=0.04)
