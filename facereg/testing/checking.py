"""How a check speaks: passed, failed with what was expected, got and is to be changed, or skipped with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import ClassVar, TypeVar
from unittest import SkipTest

import numpy as np

from facereg.errors import FaceregError, words_of
from facereg.types import Faces, FloatArray

BOX_TOLERANCE = 0.01  # px; sums of float32 in another order stay far below
VECTOR_TOLERANCE = 1e-5  # on unit vectors, for the same reason
SCORE_TOLERANCE = 1e-4  # of 0..1, for the same reason
THREADS = 4
SWITCH_S = 1e-5  # seconds that a thread runs before another may: short, so that they do meet


class CheckFailedError(AssertionError):
    """A stage does not do what its role demands; the message says what was expected, got, and is to be changed."""


class CheckSkippedError(SkipTest):
    """A check that cannot run here; pytest reports it as skipped, with the reason."""


class Contract:
    """Named checks, its methods `test_...`; where the `first` fails no other has anything to look at.

    A subclass may state `expected_failures`: the names of checks that cannot pass, each with the reason. They are
    reported as skipped, and as failed once they pass.
    """

    first: ClassVar[str]
    expected_failures: ClassVar[Mapping[str, str]] = {}


Checked = TypeVar("Checked", bound=Contract)


def check(*, catches: str, change: str) -> Callable[[Callable[[Checked], None]], Callable[[Checked], None]]:
    """Make a method a check: whatever it raises becomes one line that ends with what to change.

    Args:
        catches: the faults that it catches, for the page on conformance.
        change: what the author of a stage that fails has to do.
    """

    def decorate(run: Callable[[Checked], None]) -> Callable[[Checked], None]:
        @wraps(run)
        def checked(contract: Checked) -> None:
            reason = contract.expected_failures.get(run.__name__)
            try:
                run(contract)
            except SkipTest:
                raise
            except Exception as error:  # whatever a stage raises is an answer that was not expected
                if reason:
                    raise CheckSkippedError(f"fails as stated: {reason}") from error
                raise CheckFailedError(f"{_said(error)}; {change}") from error
            if reason:
                raise CheckFailedError(f"expected it to fail ({reason}), got a pass; take it out of expected_failures")

        checked.catches, checked.change = catches, change  # type: ignore[attr-defined]
        return checked

    return decorate


def _said(error: Exception) -> str:
    text = words_of(error)
    if isinstance(error, CheckFailedError):
        return text
    return f"expected an answer, got {type(error).__name__}: {text}"


def require(condition: object, *, expected: object, got: object) -> None:
    """Raise CheckFailedError unless the condition holds; no `assert`, which `python -O` leaves out."""
    if not condition:
        raise CheckFailedError(f"expected {expected}, got {got}")


def require_close(first: FloatArray, second: FloatArray, tolerance: float, *, what: str) -> None:
    """Raise CheckFailedError unless two arrays are of one shape and differ by at most `tolerance`."""
    require(first.shape == second.shape, expected=f"{what} of shape {second.shape}", got=first.shape)
    difference = float(np.abs(first - second).max(initial=0.0))
    require(
        difference <= tolerance, expected=f"{what} equal within {tolerance:g}", got=f"a difference of {difference:.3g}"
    )


def require_same_faces(got: Faces, expected: Faces, *, what: str) -> None:
    """Raise CheckFailedError unless two answers hold the same boxes, landmarks and scores."""
    require(len(got) == len(expected), expected=f"{len(expected)} faces {what}", got=len(got))
    require_close(got.boxes, expected.boxes, BOX_TOLERANCE, what=f"boxes {what}")
    require_close(got.landmarks, expected.landmarks, BOX_TOLERANCE, what=f"landmarks {what}")
    require_close(got.scores, expected.scores, SCORE_TOLERANCE, what=f"scores {what}")


def require_refused(kind: type[FaceregError], call: Callable[[], object], *, what: str) -> None:
    """Raise CheckFailedError unless the call raises an error of that kind."""
    try:
        call()
    except kind:
        return
    raise CheckFailedError(f"expected {kind.__name__} for {what}, got no error")


Given = TypeVar("Given")
Answer = TypeVar("Answer")


def in_threads(call: Callable[[Given], Answer], values: Sequence[Given]) -> list[Answer]:
    """Return the answer to each value, the calls made at once by several threads that take turns often."""
    with _short_turns(), ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, values))


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
