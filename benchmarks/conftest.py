"""Where benchmarks leave their figures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def keep() -> Callable[[str, dict[str, object]], None]:
    """Write figures to NAME.json in the folder that FACEREG_RESULTS names, if it names one."""

    def write(name: str, figures: dict[str, object]) -> None:
        folder = os.environ.get("FACEREG_RESULTS")
        if folder:
            Path(folder, f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

    return write
