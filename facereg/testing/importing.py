"""What importing a module does: in a process of its own, where nothing is imported yet."""

from __future__ import annotations

import os
import subprocess
import sys

from facereg.networks.spec import TRAINING
from facereg.testing.checking import CheckSkippedError, require

TRIES = 3  # a busy computer is slow once, a slow import is slow each time
IMPORT = """\
import importlib, sys, threading, time
import facereg.testing
print("begins", flush=True)
start, before = time.perf_counter(), set(sys.modules)
try:
    for module in sys.argv[1:]:
        importlib.import_module(module)
except ModuleNotFoundError as error:
    if error.name and module.startswith(error.name):
        sys.exit(3)
    raise
took = time.perf_counter() - start
if threading.active_count() > 1:
    print("threads that go on:", *threading.enumerate()[1:])
print("ends", took, *sorted(set(sys.modules) - before))
"""


def require_quick_import(module: str, most_s: float) -> None:
    """Raise CheckFailedError unless a module is imported within `most_s` seconds, prints nothing and starts nothing.

    Raises:
        CheckSkippedError: if the module is found in this process only.
    """
    took = float("inf")
    for _ in range(TRIES):
        took = min(took, _import_alone(module)[0])
        if took <= most_s:
            break
    require(took <= most_s, expected=f"an import of {module} in {most_s:g} s", got=f"{took:.1f} s")


def training_libraries_of(*modules: str) -> list[str]:
    """Return the libraries of training that importing the modules imports too."""
    return sorted(TRAINING.intersection(_import_alone(*modules)[1]))


def _import_alone(*modules: str) -> tuple[float, list[str]]:
    """Return the seconds that an import takes in a process of its own, and all modules that it brings."""
    names = ", ".join(modules)
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT, *modules],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 3:
        raise CheckSkippedError(f"{names}: importable in this process only")
    last = " ".join((done.stderr.splitlines() or [""])[-1].split())
    require(done.returncode == 0, expected=f"{names} to import in a new process", got=last)
    said = done.stdout.partition("begins\n")[2]
    printed, _, end = said.rpartition("ends ")
    loud = " ".join((printed + done.stderr).split())[:200]
    require(not loud, expected=f"an import of {names} that prints nothing", got=repr(loud))
    took, *brought = end.split()
    return float(took), brought
