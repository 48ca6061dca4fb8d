"""What many commands share: how stages are chosen, JSON, progress."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facereg.cli.streams import complain as complain
from facereg.cli.streams import say
from facereg.errors import RunnerError
from facereg.names import Address, masked
from facereg.networks.opening import require_runner
from facereg.pipeline.composition import DETECTOR, EMBEDDER, NETWORK_ROLES, Composition, MatcherChoice, StageChoice
from facereg.registry.installed import Registry, default_registry
from facereg.roles import Aligner, Detector, Matcher, RoleName

if TYPE_CHECKING:
    from facereg.data.boxes import LabelledImage
    from facereg.gallery.thresholds import Threshold
    from facereg.pipeline.composer import Pipeline

Json = Annotated[bool, typer.Option("--json", help="One JSON document, or a line per item, on stdout.")]
GalleryPlace = Annotated[
    Address,
    typer.Option("--gallery", metavar="GALLERY", parser=Address.of, help="The gallery: a file, or postgresql://..."),
]


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages chosen on the command line, by `--pipeline` and by options that go before it."""

    composition: Composition
    matcher_choice: MatcherChoice

    @property
    def registry(self) -> Registry:
        """Return what is installed."""
        return default_registry()

    @property
    def detector(self) -> str:
        """Return the detector's name."""
        return self.composition.detector.name

    @property
    def aligner(self) -> str:
        """Return the aligner's name."""
        return self.composition.settled(self.registry).aligner.name

    @property
    def embedder(self) -> str:
        """Return the embedder's name."""
        return self.composition.embedder.name

    @property
    def matcher(self) -> str:
        """Return the matcher's name."""
        return self.matcher_choice.name

    def pipeline(self) -> Pipeline:
        """Return the pipeline chosen, without a matcher."""
        from facereg.pipeline.composer import Pipeline

        return Pipeline.compose(replace(self.composition, matcher=None), registry=self.registry)

    def detector_alone(self) -> Detector:
        """Return the detector chosen."""
        return self.composition.make_detector(self.registry)

    def aligner_alone(self) -> Aligner:
        """Return the aligner chosen."""
        return self.composition.make_aligner(self.registry)

    def threshold_for(self, space: str, given: float | None, *, far: float | None = None) -> Threshold:
        """Return the threshold given, else that of the pipeline file, else the one calibrated (of that rate)."""
        from facereg.gallery.thresholds import Threshold, calibration_for

        chosen = self.matcher_choice.threshold if given is None else given
        if chosen is None:
            return calibration_for(space, self.registry).at(far)
        return Threshold(chosen, None, "given" if given is not None else "pipeline file")

    def make_matcher(self, threshold: float) -> Matcher:
        """Return the matcher chosen, empty."""
        return replace(self.matcher_choice, threshold=threshold).create(self.registry)


def _compose(given: Mapping[str, Any]) -> Stages:
    """Return the stages of the options given: the pipeline file's, changed by those that are not None."""
    held = Composition() if given["pipeline"] is None else Composition.read(given["pipeline"])
    runners = _runners(given["runner"] or [])
    weights, options = _weights(given["weights"] or []), _options(given["option"] or [])

    def changed(choice: StageChoice) -> StageChoice:
        own: dict[str, Any] = {
            "name": given[choice.role],
            "runner": runners.get(choice.role),
            "device": given["device"],
            "threads": given["threads"],
            "weights": weights.get(choice.role),
        }
        # another model takes neither the weights nor the options of the one in the file
        base = choice if own["name"] in (None, choice.name) else replace(choice, weights=None, options={})
        own["options"] = {**base.options, **options[choice.role]}
        return replace(base, **{key: value for key, value in own.items() if value is not None})

    detector, aligner, embedder = map(changed, held.stages)
    matcher = held.matcher or MatcherChoice()
    if given["matcher"] not in (None, matcher.name):
        matcher = replace(matcher, name=given["matcher"], options={})
    matcher = replace(matcher, options={**matcher.options, **options["matcher"]})
    return Stages(Composition(detector, aligner, embedder, held.matcher), matcher)


def _runners(given: list[str]) -> dict[RoleName, str]:
    """Return where each role's networks run, as in `--runner onnx` or `--runner embedder=triton://HOST:PORT`."""
    for_all: list[str] = []
    by_role: dict[RoleName, str] = {}
    for text in given:
        role, equals, runner = text.partition("=")
        if equals and role in NETWORK_ROLES:
            by_role[role] = checked_runner(runner)
        elif equals and "/" not in role:  # an address may have an = of its own
            roles = ", ".join(NETWORK_ROLES)
            raise misused("--runner", f"expected a role of {roles} before the =, got {masked(text)!r}")
        else:
            for_all.append(checked_runner(text))
    if len(for_all) > 1:
        raise misused(
            "--runner", f"expected one value for all roles, got {' and '.join(for_all)}; write ROLE=VALUE for each"
        )
    return {role: for_all[0] for role in NETWORK_ROLES if for_all} | by_role


def checked_runner(text: str, check: Callable[[str], object] = require_runner) -> str:
    """Return the value of `--runner`, which is bad usage where it names no runner, or does not pass another check."""
    try:
        check(text)
    except RunnerError as error:
        raise misused("--runner", str(error)) from error
    return text


def _weights(given: list[str]) -> dict[RoleName, Path]:
    chosen: dict[RoleName, Path] = {}
    for text in given:
        role, _, path = text.partition("=")
        if not path or role not in NETWORK_ROLES:
            raise misused("--weights", f"expected ROLE=PATH with a role of {', '.join(NETWORK_ROLES)}, got {text!r}")
        chosen[role] = Path(path)
    return chosen


def _options(given: list[str]) -> dict[RoleName, dict[str, object]]:
    """Return the factory options of each role, as in `--option detector.min_face=40`."""
    chosen: dict[RoleName, dict[str, object]] = {role: {} for role in (*NETWORK_ROLES, "matcher")}
    for text in given:
        place, equals, value = text.partition("=")
        role, _, name = place.partition(".")
        if not equals or not name or role not in chosen:
            raise misused("--option", f"expected ROLE.NAME=VALUE, as detector.min_face=40, got {text!r}")
        chosen[role][name] = value  # read by the option's type when the stage is made
    return chosen


_NAME = "Name as in 'facereg models'; default: {}."
_RUNNER = "Where networks run: onnx, torch or triton://HOST:PORT; of one role with ROLE=; default: onnx."
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "pipeline": (Path | None, typer.Option(None, metavar="FILE", help="A pipeline file; options below go before it.")),
    "detector": (str | None, typer.Option(None, help=_NAME.format(DETECTOR))),
    "aligner": (str | None, typer.Option(None, help=_NAME.format("the one the detector states, else five-point"))),
    "embedder": (str | None, typer.Option(None, help=_NAME.format(EMBEDDER))),
    "matcher": (str | None, typer.Option(None, help=_NAME.format("exact"))),
    "runner": (list[str] | None, typer.Option(None, metavar="[ROLE=]VALUE", help=_RUNNER)),
    "device": (str | None, typer.Option(None, help="cpu or cuda; default: cpu.")),
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
        command(stages=_compose({name: given.pop(name) for name in _OPTIONS}), **given)

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = signature.replace(parameters=[*keyword_only, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword_only, *shared]}
    return run


def misused(option: str, message: str) -> typer.BadParameter:
    """Return the error for a value of an option that does not read: bad usage, exit status 2."""
    return typer.BadParameter(message, param_hint=option)


def print_json(document: object) -> None:
    """Write one line of JSON to stdout."""
    print(json.dumps(document), flush=True)


def answer(as_json: bool, document: object, *lines: str) -> None:
    """Write to stdout what a command found: a document for programs, or lines for people."""
    for line in [json.dumps(document)] if as_json else lines:
        say(line)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 face`, `2 faces`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def say_without_area(items: Sequence[LabelledImage]) -> None:
    """Say how many labelled boxes are ignored because they have no width or no height."""
    from facereg.data.boxes import count_without_area

    if count := count_without_area(items):
        complain(f"ignored {counted(count, 'face')} without width or height; 'facereg data check' names each")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr where that is a terminal; yield what to call with the number of items done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
