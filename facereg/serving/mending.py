"""Dead processes of models are replaced: Triton's Python backend starts none anew, and calls the model ready.

A server looks at its repository each second. A version whose file has a new date is loaded anew beside the old one,
which then goes: so a touch of the file mends the model, and needs no load API.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from facereg.serving.environment import Progress
from facereg.serving.versions import MODEL

LOOK_S = 0.5  # between two looks
AGAIN_S = 20.0  # before it is tried again for a process that is still there, dead: models take a while to load
STUB = b"triton_python_backend_stub"


class Mender(threading.Thread):
    """Watches the models' processes of one server until it is told to stop.

    Args:
        keeper: the process whose child is the server.
        repository: of the server.
        progress: is told what was mended, or why it could not be.
    """

    def __init__(self, keeper: int, repository: Path, progress: Progress) -> None:
        super().__init__(name="facereg-triton-mender", daemon=True)
        self.mended = 0
        self._keeper, self._repository, self._progress = keeper, repository, progress
        self._versions: dict[int, Path] = {}  # of each process, the folder of its version
        self._dead: set[int] = set()
        self._tried: dict[int, float] = {}  # when, for each dead process
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.look()

    def stop(self) -> None:
        """Stop watching; wait until that is so."""
        self._ended.set()
        self.join()

    def look(self) -> None:
        """Look once, and mend the models whose process was dead the last time too: one that ends well is soon gone."""
        dead = set()
        known: dict[int, Path] = {}
        for pid, state in _grandchildren(self._keeper):
            version = self._versions.get(pid) or self._version(pid)
            if version is not None:
                known[pid] = version
                if state == "Z":
                    dead.add(pid)
        now = time.monotonic()
        due = {pid for pid in dead & self._dead if now >= self._tried.get(pid, -AGAIN_S) + AGAIN_S}
        for version in sorted({known[pid] for pid in due}):
            self._mend(version)
        self._tried = {pid: when for pid, when in (self._tried | dict.fromkeys(due, now)).items() if pid in dead}
        self._versions, self._dead = known, dead

    def _version(self, pid: int) -> Path | None:
        """Return the folder of the version that a process serves."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        if len(words) < 2 or Path(os.fsdecode(words[0])).name != os.fsdecode(STUB):
            return None
        folder = Path(os.fsdecode(words[1])).parent
        return folder if folder.parent.parent == self._repository else None

    def _mend(self, version: Path) -> None:
        if not version.is_dir():
            return  # it is being taken away
        name = f"{version.parent.name}: version {version.name}"
        try:
            os.utime(version / MODEL)
        except OSError as error:
            self._progress(
                f"{name}: its process is dead, and {version / MODEL} cannot be touched to have it loaded anew: "
                f"{error.strerror}; let the user of 'facereg triton serve' own the repository"
            )
        else:
            self.mended += 1
            self._progress(f"{name}: its process was dead; the server loads it anew")


def _grandchildren(keeper: int) -> list[tuple[int, str]]:
    """Return number and state of the processes that the server, the child of its keeper, has started."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                text = Path(entry.path, "stat").read_text("ascii", "replace")
            except OSError:
                continue  # it ended
            state, parent = text.rpartition(")")[2].split()[:2]  # its name may have spaces and brackets
            parents.setdefault(int(parent), []).append((int(entry.name), state))
    return [found for pid, _ in parents.get(keeper, []) for found in parents.get(pid, [])]
