"""Rates of learning, by hand."""

from __future__ import annotations

import pytest

from facereg.training.schedules import warm_cosine, warm_steps


def test_half_a_cosine_falls_to_the_last_share() -> None:
    assert [warm_cosine(step, 12, 2) for step in (0, 1, 2, 7, 12, 20)] == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0, 0.0])
    assert [warm_cosine(step, 12, 2, last=0.2) for step in (7, 12)] == pytest.approx([0.6, 0.2])


def test_the_rate_falls_to_a_tenth_at_each_share_of_the_run() -> None:
    rates = [warm_steps(step, 10, 2, falls=(0.5, 0.9)) for step in (0, 1, 4, 5, 8, 9)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.1, 0.1, 0.01])


def test_a_run_shorter_than_its_warm_up_only_rises() -> None:
    assert [warm_cosine(step, 3, 4) for step in range(3)] == pytest.approx([0.25, 0.5, 0.75])
