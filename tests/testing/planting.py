"""Faults to plant: a right stage whose answer is spoilt, the check that is meant for it, and what that check says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from facereg.roles import Stage
from facereg.testing.contracts import Outcome, run_check
from facereg.testing.every_role import StageContract


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its name, the check meant for it, a piece of its message, and how a faulty stage is made."""

    name: str
    check: str
    says: str
    make: Callable[[], Stage]


def rows(*faults: Fault) -> pytest.MarkDecorator:
    """Return the mark that runs a test for each fault."""
    return pytest.mark.parametrize("fault", faults, ids=[fault.name.replace(" ", "-") for fault in faults])


def look(contract: type[StageContract], make: Callable[[], Stage], check: str) -> Outcome:
    """Run the check on what `make` makes."""
    kind = type("Tried", (contract,), {"make": lambda _: make()})
    return run_check(kind(), f"test_{check.replace(' ', '_')}", "tried")


def require_caught(contract: type[StageContract], fault: Fault) -> None:
    """Fail unless the check meant for the fault fails, with one line of expected, got and what to change."""
    require_told(look(contract, fault.make, fault.check), fault.says)


def require_told(outcome: Outcome, says: str) -> None:
    """Fail unless a check failed, with one line of expected, got and what to change."""
    assert outcome.failed, outcome
    assert says in outcome.message, outcome.message
    assert outcome.message.startswith("expected "), outcome.message
    assert ", got " in outcome.message, outcome.message
    assert "; " in outcome.message, outcome.message
    assert "\n" not in outcome.message
