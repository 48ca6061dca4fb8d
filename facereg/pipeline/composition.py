"""Which model each stage is and where it runs: from arguments, from the command line, or from a TOML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from facereg.disk.reading import MAX_SETTINGS, parse_toml, read_text
from facereg.errors import ContractError
from facereg.networks.opening import Where, require_runner
from facereg.registry.factories import known_options
from facereg.registry.installed import Registry
from facereg.roles import Aligner, Detector, Embedder, Matcher, RoleName

# Where nobody says which: chosen by faces found, error and time, docs/explanation/default-pipeline.md
DETECTOR, EMBEDDER = "yolov5s-face:int8", "mobilenetv3-arcface"
ALIGNER = "five-point"  # with a detector that states none
NETWORK_ROLES: tuple[RoleName, ...] = ("detector", "aligner", "embedder")  # a `runner` may be given for each
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class StageChoice:
    """One of the first three stages: a model's name, where its networks run, and its options.

    Args:
        role: of the model.
        name: as in `facereg models`.
        runner, device, threads, weights: see `facereg.networks.opening.open_network`.
        options: of the model's factory.
    Raises:
        RunnerError: if `runner` is none.
    """

    role: RoleName
    name: str
    runner: str = "onnx"
    device: str = "cpu"
    threads: int | None = None
    weights: str | Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_runner(self.runner)

    @property
    def where(self) -> Where:
        """Return where its networks run."""
        return Where(runner=self.runner, device=self.device, threads=self.threads, weights=self.weights)


@dataclass(frozen=True, slots=True)
class MatcherChoice:
    """The matcher: a model's name, the similarity from which a match is accepted, and its options."""

    name: str = "exact"
    threshold: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    def create(self, registry: Registry) -> Matcher:
        """Return the matcher, which knows nobody yet.

        Raises:
            ContractError: if no threshold was chosen.
        """
        if self.threshold is None:
            raise ContractError(f"matcher {self.name!r}: expected a threshold, got none; state one")
        return registry.make(self.name, self.options, role="matcher", threshold=self.threshold)


@dataclass(frozen=True, slots=True)
class Composition:
    """The stages of a pipeline, described and not made yet; an aligner without a name is the detector's, as stated."""

    detector: StageChoice = StageChoice("detector", DETECTOR)
    aligner: StageChoice = StageChoice("aligner", "")
    embedder: StageChoice = StageChoice("embedder", EMBEDDER)
    matcher: MatcherChoice | None = None

    @property
    def stages(self) -> tuple[StageChoice, StageChoice, StageChoice]:
        """Return the first three stages, in order."""
        return self.detector, self.aligner, self.embedder

    def make_detector(self, registry: Registry) -> Detector:
        """Return the detector; see `Registry.make`."""
        return registry.make(self.detector.name, self.detector.options, role="detector", where=self.detector.where)

    def settled(self, registry: Registry) -> Self:
        """Return the composition with its aligner named: the one chosen, else the one that the detector states.

        Raises:
            UnknownNameError: if it depends on the detector, and that is not installed.
        """
        if self.aligner.name:
            return self
        stated = registry.model(self.detector.name, role="detector").aligner
        return replace(self, aligner=replace(self.aligner, name=stated or ALIGNER))

    def make_aligner(self, registry: Registry) -> Aligner:
        """Return the aligner, told how the detector's boxes lie where it takes that; see `Registry.make`."""
        choice = self.settled(registry).aligner
        given = {**self._square(registry, choice), **choice.options}
        return registry.make(choice.name, given, role="aligner", where=choice.where)

    def _square(self, registry: Registry, aligner: StageChoice) -> dict[str, object]:
        """Return the options `factor` and `shift` of the aligner, as the detector states them."""
        square = registry.model(self.detector.name, role="detector").square
        known = known_options(registry.model(aligner.name, role="aligner"))
        names = ("factor", "shift")
        return {} if square is None or not set(names) <= set(known or ()) else dict(zip(names, square, strict=True))

    def make_embedder(self, registry: Registry) -> Embedder:
        """Return the embedder; see `Registry.make`."""
        return registry.make(self.embedder.name, self.embedder.options, role="embedder", where=self.embedder.where)

    @classmethod
    def of(
        cls,
        *,
        names: Mapping[RoleName, str],
        runner: str | Mapping[RoleName, str] = "onnx",
        device: str | Mapping[RoleName, str] = "cpu",
        threads: int | Mapping[RoleName, int | None] | None = None,
        weights: Mapping[RoleName, str | Path] | None = None,
        options: Mapping[RoleName, Mapping[str, object]] | None = None,
    ) -> Self:
        """Return a composition; the arguments are those of `Pipeline.create`.

        Raises:
            ContractError: if a mapping names something else than the three roles.
        """
        runners, devices = _by_role("runner", runner, "onnx"), _by_role("device", device, "cpu")
        counts = _by_role("threads", threads, None)
        held: Mapping[RoleName, str | Path | None] = _by_role("weights", weights or {}, None)
        extra: Mapping[RoleName, Mapping[str, object]] = _by_role("options", options or {}, {})
        detector, aligner, embedder = (
            StageChoice(role, names[role], runners[role], devices[role], counts[role], held[role], extra[role])
            for role in NETWORK_ROLES
        )
        return cls(detector, aligner, embedder)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the composition that a TOML file describes; what it leaves out has its default.

        ```toml
        [detector]
        name = "mtcnn"
        options = { min_face = 40 }

        [embedder]
        name = "mobilenetv3-arcface"
        runner = "triton://127.0.0.1:8001"

        [matcher]
        name = "exact"
        threshold = 0.4
        ```

        The tables are `detector`, `aligner` and `embedder`, with `name`, `runner`, `device`, `threads`, `weights` (a
        path, relative to the file) and `options`; and `matcher`, with `name`, `threshold` and `options`.

        Raises:
            ContractError: if the file cannot be read, is no TOML, or has another table, key or type.
        """
        path = Path(path)
        text = read_text(path, expected="a pipeline file", limit=MAX_SETTINGS, error=ContractError)
        document = parse_toml(text, place=str(path), expected="a pipeline file", error=ContractError)
        tables: dict[str, type] = dict.fromkeys((*NETWORK_ROLES, "matcher"), dict)
        given = _checked(document, tables, f"{path}")
        made = cls()
        for role in NETWORK_ROLES:
            if role in given:
                chosen = _checked(given[role], STAGE_KEYS, f"{path}: {role}")
                if "weights" in chosen:
                    chosen["weights"] = path.parent / chosen["weights"]
                made = replace(made, **{role: replace(getattr(made, role), **chosen)})
        if "matcher" in given:
            chosen = _checked(given["matcher"], MATCHER_KEYS, f"{path}: matcher")
            made = replace(made, matcher=MatcherChoice(**chosen))
        return made


STAGE_KEYS: Mapping[str, type] = {
    "name": str,
    "runner": str,
    "device": str,
    "threads": int,
    "weights": str,
    "options": dict,
}
MATCHER_KEYS: Mapping[str, type] = {"name": str, "threshold": float, "options": dict}
TYPES: Mapping[type, str] = {str: "a string", int: "a whole number", float: "a number", dict: "a table"}


def _by_role(what: str, given: Value | Mapping[RoleName, Value], default: Value) -> dict[RoleName, Value]:
    """Return a value for each role: one for all, or by role with the default for the others."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(NETWORK_ROLES, given)
    for role in given:
        if role not in NETWORK_ROLES:
            raise ContractError(f"{what}: expected roles of {', '.join(NETWORK_ROLES)}, got {role!r}")
    return {role: given.get(role, default) for role in NETWORK_ROLES}


def _checked(given: Mapping[str, Any], allowed: Mapping[str, type], place: str) -> dict[str, Any]:
    """Return a table of a file, each key known and of its type."""
    for key, value in given.items():
        if key not in allowed:
            raise ContractError(f"{place}: unknown key {key!r:.80}; allowed: {', '.join(allowed)}")
        kinds = (int, float) if allowed[key] is float else allowed[key]
        unsound = isinstance(value, float) and not math.isfinite(value)
        if not isinstance(value, kinds) or isinstance(value, bool) or unsound:
            raise ContractError(f"{place}: {key}: expected {TYPES[allowed[key]]}, got {value!r:.120}")
    return dict(given)
