"""Several clients at once on one gallery, and its server killed in the middle: the measurement, made small."""

from __future__ import annotations

from benchmarks.postgres import Load, measure


def test_clients_lose_and_double_nobody_when_the_server_is_killed() -> None:
    found = measure(Load(people=200, clients=3, seconds=6))  # any error but a gallery's ends it
    assert (found["lost"], found["doubled"], found["problems"]) == (0, 0, [])
    assert set(found["met"]) <= {"unreachable", "enrolled already"}
    assert found["met"]["unreachable"] > 0  # the server was away
