"""Results as files: what was measured, on what, with which models, at which commit."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from facereg import __version__
from facereg.disk.replacing import write_file


def write_report(path: Path, figures: Mapping[str, object], *, command: str, models: Mapping[str, str]) -> None:
    """Write figures, the command that made them, models, version, commit and processor as JSON.

    Raises:
        FaceregError: if the file cannot be written.
    """
    report = {
        **figures,
        "command": command,
        "models": dict(models),
        "facereg": __version__,
        "commit": source_commit(),
        "processor": f"{platform.system()} {platform.machine()}",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_file(path, (json.dumps(report, indent=2) + "\n").encode())


def source_commit() -> str | None:
    """Return the commit of the source tree, None for an installed package."""
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
