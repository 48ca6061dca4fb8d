"""Where a gallery lies: what holds of one holds in a file and in a database."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import pytest

Place: TypeAlias = Path | str


@pytest.fixture(params=["file", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return where there is no gallery yet."""
    found: Place = tmp_path / "team.gallery" if request.param == "file" else request.getfixturevalue("database")
    return found
