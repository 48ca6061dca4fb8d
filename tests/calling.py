"""The command line called in this process, and the stages of `tests.fakes` as an installed plugin."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from facereg.cli import main
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import default_registry
from tests.fakes import PaintedEmbedder


@dataclass(frozen=True)
class Called:
    """What a command left: exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, object]]:
        """Every line of stdout as JSON: anything else there is an error."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, object]:
        [line] = self.lines
        return line

    @property
    def error(self) -> str:
        """The one line on stderr."""
        [line] = self.err.splitlines()
        return line


Run = Callable[..., Called]


def caller(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: Path) -> Run:
    """Return what calls `facereg` with some words; what it remembers goes into `home`."""
    monkeypatch.setenv("FACEREG_HOME", str(home))

    def call(*words: object) -> Called:
        monkeypatch.setattr("sys.argv", ["facereg", *map(str, words)])
        capfd.readouterr()
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capfd.readouterr()
        return Called(status, captured.out, captured.err)

    return call


class OtherPaintedEmbedder(PaintedEmbedder):
    """The same numbers under another name: vectors of two spaces never meet."""


class Painted:
    """Models whose answers are known."""

    @hookimpl
    def facereg_models(self) -> list[ModelSpec]:
        return [
            ModelSpec(name="painted", role="detector", factory="tests.fakes:PaintedDetector"),
            ModelSpec(name="painted-colours", role="embedder", factory="tests.fakes:PaintedEmbedder"),
            ModelSpec(name="painted-others", role="embedder", factory="tests.calling:OtherPaintedEmbedder"),
        ]


def painted_options() -> list[str]:
    """Install the painted stages, once in this process; return the options that choose them."""
    if "painted" not in {state.name for state in default_registry().plugins}:
        default_registry().register(Painted(), name="painted")
    return ["--detector", "painted", "--embedder", "painted-colours"]
