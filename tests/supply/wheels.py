"""Wheels of the core, of a plugin or of an example."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

UNWANTED = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "*.png", ".*")


def built(project: Path, place: Path) -> Path:
    """Return the wheel of a project, of which a copy is built: nothing is left beside the sources."""
    source = place / "source" / (project.name or "core")
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-WEIGHTS"):
        if (project / name).is_file():
            shutil.copy(project / name, source)
    for package in project.glob("facereg*"):
        if (package / "__init__.py").is_file():
            shutil.copytree(package, source / package.name, ignore=UNWANTED)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "-w", str(source), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = source.glob("*.whl")
    return wheel
