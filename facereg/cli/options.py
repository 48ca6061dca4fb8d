"""What many commands share: how stages are chosen, JSON, progress."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from facereg.errors import ContractError
from facereg.interfaces import RoleName
from facereg.registry import Registry, default_registry

if TYPE_CHECKING:
    from facereg.interfaces import Detector, Matcher
    from facereg.pipeline import Pipeline

Json = Annotated[bool, typer.Option("--json", help="One JSON document, or a line per item, on stdout.")]
GalleryFile = Annotated[Path, typer.Option("--gallery", help="The gallery file.")]
ROLES: tuple[RoleName, ...] = ("detector", "aligner", "embedder")


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages chosen on the command line."""

    detector: str
    aligner: str
    embedder: str
    matcher: str
    runner: str
    device: str
    threads: int | None
    weights: list[str] | None
    option: list[str] | None

    @property
    def registry(self) -> Registry:
        """Return what is installed."""
        return default_registry()

    def pipeline(self) -> Pipeline:
        """Return the pipeline chosen, without a matcher."""
        from facereg.pipeline import Pipeline

        return Pipeline.create(
            detector=self.detector,
            aligner=self.aligner,
            embedder=self.embedder,
            runner=self.runner,
            device=self.device,
            threads=self.threads,
            weights=_by_role(self.weights, "--weights"),
            options={role: values for role in ROLES if (values := self._options(role))},
        )

    def detector_alone(self) -> Detector:
        """Return the detector chosen."""
        from facereg.interfaces import Detector

        stage = self.registry.create(
            self.detector,
            role="detector",
            runner=self.runner,
            device=self.device,
            threads=self.threads,
            weights=_by_role(self.weights, "--weights").get("detector"),
            **self._options("detector"),
        )
        return cast(Detector, stage)

    def make_matcher(self, threshold: float) -> Matcher:
        """Return the matcher chosen, empty."""
        from facereg.interfaces import Matcher

        return cast(Matcher, self.registry.create(self.matcher, role="matcher", threshold=threshold))

    def _options(self, role: RoleName) -> dict[str, object]:
        """Return the factory options of a role, as in `--option detector.min_face=40`."""
        chosen: dict[str, object] = {}
        for text in self.option or []:
            place, equals, value = text.partition("=")
            given, dot, name = place.partition(".")
            if not equals or not dot or given not in ROLES:
                raise ContractError(f"--option: expected ROLE.NAME=VALUE, as detector.min_face=40, got {text!r}")
            if given == role:
                try:
                    chosen[name] = json.loads(value)
                except ValueError:
                    chosen[name] = value
        return chosen


def _by_role(given: list[str] | None, option: str) -> dict[RoleName, str | Path]:
    chosen: dict[RoleName, str | Path] = {}
    for text in given or []:
        role, equals, path = text.partition("=")
        if not equals or role not in ROLES:
            raise ContractError(f"{option}: expected ROLE=PATH with a role of {', '.join(ROLES)}, got {text!r}")
        chosen[role] = path
    return chosen


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "detector": (str, typer.Option("mtcnn", help="Name as in 'facereg models'.")),
    "aligner": (str, typer.Option("five-point", help="Name as in 'facereg models'.")),
    "embedder": (str, typer.Option("mobilenetv3-arcface", help="Name as in 'facereg models'.")),
    "matcher": (str, typer.Option("exact", help="Name as in 'facereg models'.")),
    "runner": (str, typer.Option("onnx", help="Where networks run: onnx or torch.")),
    "device": (str, typer.Option("cpu", help="cpu or cuda.")),
    "threads": (int | None, typer.Option(None, min=1, help="Threads of one network call; default: all cores.")),
    "weights": (list[str] | None, typer.Option(None, metavar="ROLE=PATH", help="Folder or file for a role's own.")),
    "option": (list[str] | None, typer.Option(None, metavar="ROLE.NAME=VALUE", help="An option of a model.")),
}


def with_stages(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose stages; it gets them as its argument `stages`."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "stages"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=option)
        for name, (kind, option) in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(stages=Stages(**{name: given.pop(name) for name in _OPTIONS}), **given)

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = signature.replace(parameters=[*keyword_only, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword_only, *shared]}
    return run


def print_json(document: object) -> None:
    """Write one line of JSON to stdout."""
    print(json.dumps(document), flush=True)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 face`, `2 faces`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def complain(message: str) -> None:
    """Write one line to stderr: something that does not stop the rest."""
    print(f"facereg: {message}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr where that is a terminal; yield what to call with the number of items done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
