"""A recipe that learns nothing: it notes how it was called, and may be stopped or leave nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facereg.errors import DatasetError
from facereg.registry.hooks import RecipeSpec, hookimpl


@dataclass(frozen=True)
class Settings:
    """What it may be told."""

    epochs: float = 1.0
    stop: bool = False
    devices: int = 0
    seed: int = 0


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Note the call; stop the first time where it is told to."""
    log = out / "calls.jsonl"
    people = sorted(path.name for folder in data for path in folder.iterdir() if path.is_dir())
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"resume": resume, "given": dict(given), "people": people}) + "\n")
    if given.get("stop") == "true" and not (out / "last.ckpt").exists():
        (out / "last.ckpt").touch()
        raise KeyboardInterrupt
    (out / "result.json").write_text(json.dumps({"finished": "2026-01-01T00:00:00+00:00"}), "utf-8")


def fail(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    raise DatasetError("data: expected other people")


def break_down(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    raise RuntimeError("out of memory\nin two lines")


class Recipes:
    """What it is installed as."""

    @hookimpl
    def facereg_recipes(self) -> list[RecipeSpec]:
        settings = "tests.study.recipes:Settings"
        return [
            RecipeSpec("noted", "tests.study.recipes:run", settings_from=settings),
            RecipeSpec("failing", "tests.study.recipes:fail"),
            RecipeSpec("breaking", "tests.study.recipes:break_down"),
        ]
