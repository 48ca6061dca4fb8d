"""A few hundred changed files through every reader: none crashes, hangs, lets a foreign exception out or lies.

The 10,000 of `python -m tests.mutation` are for whoever changes a reader; see CONTRIBUTING.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from facereg.errors import DatasetError
from tests.mutation import __main__ as mutation
from tests.mutation.readers import READERS, Reader, UnsoundError

pytestmark = pytest.mark.train  # torch reads some of them
CASES = 12  # a reader


def test_changed_bytes_are_refused_or_read() -> None:
    rows = list(mutation.run(READERS, 1, CASES))
    assert [row.reader.name for row in rows] == [reader.name for reader in READERS]
    for row in rows:
        assert row.faults == []
        assert sum(row.counts.values()) == CASES
        assert row.counts["refused"] > 0, row.reader.name  # the changes reach the reader


def _raise(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("answer", "sealed", "kind"),
    [
        (lambda: "sound", True, "same"),
        (lambda: "other", False, "other"),
        (lambda: "other", True, "wrong"),
        (lambda: _raise(DatasetError("one line")), True, "refused"),
        (lambda: _raise(DatasetError("two\nlines")), False, "untyped"),
        (lambda: _raise(IndexError()), False, "untyped"),
        (lambda: _raise(SystemExit(0)), False, "untyped"),
        (lambda: _raise(UnsoundError()), False, "wrong"),
    ],
)
def test_what_became_of_a_case_is_told_apart(answer: object, sealed: bool, kind: str, tmp_path: Path) -> None:
    assert callable(answer)
    reader = Reader("any", lambda folder: folder, lambda path: answer(), sealed)
    assert mutation.outcome(reader, tmp_path, "sound", same_bytes=False)[0] == kind


def test_a_crash_and_a_hang_are_counted_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Said(mutation._Child):
        """A child that is lost in cases 1 and 2."""

        def __init__(self, arguments: list[str]) -> None:
            self.case = int(arguments[arguments.index("--first") + 1]) - 1
            self.left = False

        def __exit__(self, *error: object) -> None:
            pass

        @property
        def alive(self) -> bool:
            return self.case == 2

        def line(self, seconds: float) -> tuple[int, str, str] | None:
            if not self.left:
                self.left = True
                return (0, "ready", "")
            self.case += 1
            return None if self.case in (1, 2) else (self.case, "same", "")

    monkeypatch.setattr(mutation, "_Child", Said)
    [row] = mutation.run(READERS[:1], 0, 5)
    assert row.counts == {"same": 3, "crash": 1, "hang": 1}
    assert [fault.rpartition(" ")[2] for fault in row.faults] == ["crash", "hang"]
