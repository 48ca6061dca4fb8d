"""Faults planted in what stages of every role share, here in an aligner."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module, invalidate_caches
from pathlib import Path
from threading import Event, Thread

import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.networks.opening import open_network
from facereg.networks.runner import Networks
from facereg.networks.spec import NetworkSpec
from facereg.roles import Aligner
from facereg.testing import AlignerContract
from facereg.types import Crops, Faces, FloatArray, Image
from tests.testing.planting import Fault, require_caught, rows

IMPORT, MADE = "importing it is quick and silent", "it can be made"
MODULE = """\
import sys, time
from threading import Timer
from facereg.builtin.alignment import FivePointAligner
{}
class Made(FivePointAligner): pass
"""


class Quick(AlignerContract):
    import_s = 0.4


def module(line: str) -> Callable[[], Aligner]:
    """Return what makes an aligner of a module, written into the working folder, that runs a line when imported."""

    def make() -> Aligner:
        name = f"facereg_made_{abs(hash(line))}"
        Path(f"{name}.py").write_text(MODULE.replace("{}", line), "utf-8")
        invalidate_caches()
        made: Aligner = import_module(name).Made()
        return made

    return make


class Printing(FivePointAligner):
    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        sys.stdout.write(f"aligning {len(images)}")
        return super()._align(images, faces, size, template)


class Watched(FivePointAligner):
    """Starts a thread that nobody ends."""

    def __init__(self) -> None:
        super().__init__()
        Thread(target=Event().wait, args=(20,), daemon=True, name="watcher").start()


class Needy(FivePointAligner):
    def __init__(self, colour: str) -> None:
        super().__init__()


class ClosesOnce(FivePointAligner):
    def close(self) -> None:
        if self._closed:
            raise ValueError("closed already")
        super().close()


class HalfClosed(FivePointAligner):
    def close(self) -> None:
        """Forget the library's."""


class WithoutWeights(FivePointAligner):
    def __init__(self) -> None:
        super().__init__()
        self.networks = Networks([NetworkSpec("net", (), (), package="tests", file="net.onnx")], open_network)


FAULTS = (
    Fault("a factory that fails", MADE, "TypeError", Needy),  # type: ignore[arg-type]
    Fault("a factory that gives the same stage again", MADE, "the same one twice", cache(FivePointAligner)),
    Fault("weights that are not there", MADE, "net: no weights ship with tests", WithoutWeights),
    Fault("a close that fails when called again", "closing twice is allowed", "closed already", ClosesOnce),
    Fault("a close that closes nothing", "a closed stage is of no more use", "ClosedError", HalfClosed),
    Fault("a thread left behind", "no thread is left behind", "watcher", Watched),
    Fault("prints", "it prints nothing", "got 'aligning 1", Printing),
    Fault("slow to import", IMPORT, "in 0.4 s, got", module("time.sleep(0.7)")),
    Fault("prints when imported", IMPORT, "that prints nothing, got 'welcome'", module("print('welcome')")),
    Fault("prints to stderr when imported", IMPORT, "got 'loading'", module("print('loading', file=sys.stderr)")),
    Fault("starts a thread when imported", IMPORT, "threads that go on", module("Timer(3, int).start()")),
    Fault("fails when imported elsewhere", IMPORT, "KeyError: 'screen'", module("if len(sys.argv) == 2: {}['screen']")),
)


@rows(*FAULTS)
def test_a_planted_fault_is_caught(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    require_caught(Quick, fault)
