"""The command line as it is called, in this process, and the painted stages for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calling import Run, caller, painted_options


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Call `facereg` with these words, in a home of its own."""
    return caller(monkeypatch, capfd, tmp_path / "home")


@pytest.fixture
def painted() -> list[str]:
    """Options that choose the painted stages, which join the registry that is in use now."""
    return painted_options()
