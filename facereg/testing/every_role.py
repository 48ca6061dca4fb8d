"""What a stage of any role must do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from io import StringIO
from typing import ClassVar

import numpy as np

from facereg.errors import ClosedError
from facereg.registry.hooks import GROUP
from facereg.roles import Stage
from facereg.testing.checking import CheckSkippedError, Contract, check, require, require_refused
from facereg.testing.importing import require_quick_import
from facereg.types import Image

PATIENCE_S = 2.0  # that a thread of a closed stage may take to end


class StageContract(Contract):
    """What stages of all roles share; the class of a role adds its own checks.

    A subclass may state `expected_failures`, as any Contract.
    """

    first = "test_it_can_be_made"
    import_s: ClassVar[float] = 2.0  # that the plugin's module may take to import, beyond what facereg itself does

    def make(self) -> Stage:
        """Return a new stage; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new stage")

    def _use(self, stage: Stage) -> None:
        """Call the stage once, with something small."""
        raise NotImplementedError

    @check(
        catches="a factory that fails, or works once only; weights that are missing, damaged or of another network",
        change="let the factory make a new stage each time it is called, and bring its weights here first",
    )
    def test_it_can_be_made(self) -> None:
        with self.make() as first, self.make() as second:
            if first.networks.specs:
                _ = first.networks.fingerprint  # opens each
            require(first is not second, expected="a new stage from each call of make()", got="the same one twice")

    @check(catches="a `close` that fails when called again", change="let close() do nothing on a stage that is closed")
    def test_closing_twice_is_allowed(self) -> None:
        stage = self.make()
        stage.close()
        stage.close()

    @check(
        catches="a `close` of its own that forgets the library's",
        change="call super().close() at the end of your close()",
    )
    def test_a_closed_stage_is_of_no_more_use(self) -> None:
        stage = self.make()
        stage.close()
        require_refused(ClosedError, lambda: self._use(stage), what="a call after close()")

    @check(
        catches="threads that go on after the stage is closed",
        change="end what you start in close(): shut pools down, stop watchers, join threads",
    )
    def test_no_thread_is_left_behind(self) -> None:
        before = set(threading.enumerate())
        with self.make() as stage:
            self._use(stage)
        until = time.monotonic() + PATIENCE_S
        while (left := set(threading.enumerate()) - before) and time.monotonic() < until:
            time.sleep(0.02)
        names = ", ".join(sorted(thread.name for thread in left))
        require(not left, expected="no thread of the stage after close()", got=f"{len(left)}: {names}")

    @check(
        catches="a stage that prints: its words stand among the answers of a command, and JSON is none any more",
        change="write what people have to know to a logger, logging.getLogger(__name__)",
    )
    def test_it_prints_nothing(self) -> None:
        with redirect_stdout(StringIO()) as said, self.make() as stage:
            self._use(stage)
        require(not said.getvalue(), expected="nothing on stdout", got=repr(said.getvalue()[:100]))

    @check(
        catches="a plugin that takes long to import, prints when it is imported, or starts threads then",
        change="import what is heavy inside the functions that use it, and print nothing: every command pays for it",
    )
    def test_importing_it_is_quick_and_silent(self) -> None:
        with self.make() as stage:
            module = _module_of(stage)
        require_quick_import(module, self.import_s)


def _module_of(stage: Stage) -> str:
    """Return the module that the entry point of the stage's package names; its own where none does."""
    own = type(stage).__module__
    package = own.partition(".")[0]
    named = [entry.module for entry in entry_points(group=GROUP) if entry.module.partition(".")[0] == package]
    if own == "__main__":
        raise CheckSkippedError("its class is in no module that can be imported")
    return named[0] if named else own


def same_pictures(image: Image) -> Iterator[tuple[str, Image]]:
    """Yield arrays of one picture that lie otherwise in memory, each with a word for how."""
    frozen = image.copy()
    frozen.setflags(write=False)
    yield "read-only", frozen
    yield "of negative strides", image[::-1, ::-1].copy()[::-1, ::-1]
    yield "of colours in reverse", image[..., ::-1].copy()[..., ::-1]
    wide = np.zeros((image.shape[0] * 2, image.shape[1] + 7, 3), np.uint8)
    wide[::2, 3:-4] = image
    yield "cut out of a larger one", wide[::2, 3:-4]
    yield "in column order", np.asfortranarray(image)
