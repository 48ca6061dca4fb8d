"""Folders that may not be read or written, for root too."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def folder_with(mode: int) -> Iterator[Path]:
    """Yield a folder of these rights; root, who may do everything, is somebody else meanwhile."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        Path(name).chmod(0o755)
        yield_to = _as_nobody if root else _as_before
        with yield_to(folder, mode):
            yield folder
        folder.chmod(0o755)


@contextmanager
def _as_nobody(folder: Path, mode: int) -> Iterator[None]:
    os.chown(folder, NOBODY, -1)
    folder.chmod(mode)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def _as_before(folder: Path, mode: int) -> Iterator[None]:
    folder.chmod(mode)
    yield
