"""What a plugin may say to facereg: three hooks, all optional.

A distribution lists its module under the entry-point group `facereg`:

```toml
[project.entry-points.facereg]
mymodels = "mymodels.plugin"
```

That module imports nothing heavy; it names what it brings by strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

import pluggy

from facereg.disk.paths import relative_parts
from facereg.errors import ContractError, PluginError
from facereg.networks.spec import NetworkSpec
from facereg.networks.weights import InstalledFile
from facereg.roles import RoleName

GROUP = "facereg"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
NAME = re.compile(r"[a-z0-9]+([-._][a-z0-9]+)*")
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # packaging.python.org, names
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, named without importing it.

    Args:
        name: as people type it, like `mobilenetv3-arcface`.
        role: what it does.
        factory: `package.module:callable`; called as `factory(networks, options=...)`, without networks where it has
            none; `options` is a value of the class that `options_from` names. Where that is empty, the factory's own
            typed keyword parameters are its options. A matcher's is given `threshold=` beside them.
        options_from: `package.module:Class`, a dataclass of what people may set; see `facereg.options`.
        networks: the networks it asks for by name.
        licence: of the weights, in a few words.
        paper: where the model comes from.
        summary: one line for listings.
        thresholds: for embedders, the cosine similarity from which two faces are called one person, by the false
            accept rate it was measured at, on the data its card names.
    Raises:
        PluginError: if a field is not what it should be.
    """

    name: str
    role: RoleName
    factory: str
    options_from: str = field(default="", kw_only=True)
    networks: tuple[NetworkSpec, ...] = ()
    licence: str = "not stated"
    paper: str = ""
    summary: str = ""
    thresholds: Mapping[float, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_name("ModelSpec", self.name)
        _require_reference(f"{self.name}: factory", self.factory)
        if self.options_from:
            _require_reference(f"{self.name}: options_from", self.options_from)
        if self.role not in get_args(RoleName):
            raise PluginError(f"{self.name}: role: expected one of {', '.join(get_args(RoleName))}, got {self.role!r}")
        for place in ("licence", "paper", "summary"):
            _require_line(f"{self.name}: {place}", getattr(self, place))
        _require_networks(self.name, self.networks)
        _require_thresholds(self.name, self.thresholds)

    def require_networks(self) -> tuple[NetworkSpec, ...]:
        """Return the networks.

        Raises:
            ContractError: if there are none.
        """
        if not self.networks:
            raise ContractError(f"{self.name}: expected a model with networks, this {self.role} has none")
        return self.networks


@dataclass(frozen=True, slots=True)
class RecipeSpec:
    """A way to train a model.

    Args:
        name: as people type it, like `mobilenetv3-arcface`.
        run: `package.module:callable`; called as `run(data, out, resume, settings)`: the data folders,
            the output folder, whether to go on from its last checkpoint, and `{key: value}` strings of --set.
        summary: one line for listings.
        settings_from: `package.module:Dataclass` whose fields `--set` may change, for listings.
    """

    name: str
    run: str
    summary: str = ""
    settings_from: str = ""

    def __post_init__(self) -> None:
        _require_name("RecipeSpec", self.name)
        _require_reference(f"{self.name}: run", self.run)
        if self.settings_from:
            _require_reference(f"{self.name}: settings_from", self.settings_from)
        _require_line(f"{self.name}: summary", self.summary)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command that a plugin adds; its name begins with the plugin's: `app` is `package.module:typer_app`."""

    name: str
    app: str
    summary: str = ""

    def __post_init__(self) -> None:
        _require_name("CommandSpec", self.name)
        _require_reference(f"{self.name}: app", self.app)
        _require_line(f"{self.name}: summary", self.summary)


def _require_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or len(name) > 80 or not NAME.fullmatch(name):
        raise PluginError(
            f"{kind}: name: expected small letters and digits, with single hyphens, dots or underscores between, "
            f"got {name!r}"
        )


def _require_reference(place: str, reference: object) -> None:
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        raise PluginError(f"{place}: expected 'package.module:name', got {reference!r}")


def _require_line(place: str, text: object) -> None:
    if not isinstance(text, str) or not text.isprintable():
        raise PluginError(f"{place}: expected one line of text, got {text!r}")


def _require_networks(model: str, networks: object) -> None:
    if not isinstance(networks, tuple) or not all(isinstance(network, NetworkSpec) for network in networks):
        raise PluginError(f"{model}: networks: expected a tuple of NetworkSpec, got {networks!r}")
    for network in networks:
        _require_name("NetworkSpec", network.name)
        if not FILE.fullmatch(network.file):
            raise PluginError(f"{network.name}: file: expected the name of a file in weights/, got {network.file!r}")
        if network.sha256 is not None:
            _require_sha256(network.name, network.sha256)
        if network.installed is not None:
            _require_installed(network, network.installed)
    if len({network.name for network in networks}) != len(networks):
        raise PluginError(f"{model}: networks: a name comes twice; give each its own")


def _require_sha256(place: str, sha256: object) -> None:
    if not re.fullmatch("[0-9a-f]{64}", str(sha256)):
        raise PluginError(f"{place}: sha256: expected 64 small hex digits, got {sha256!r}")


def _require_installed(network: NetworkSpec, file: InstalledFile) -> None:
    place = f"{network.name}: installed"
    if not isinstance(file, InstalledFile):
        raise PluginError(f"{place}: expected an InstalledFile, got {file!r}")
    for name in ("distribution", "path"):
        _require_line(f"{place}: {name}", getattr(file, name))
    try:
        relative_parts(file.path)
    except ContractError as error:
        raise PluginError(f"{place}: path: {error}") from error
    if not DISTRIBUTION.fullmatch(file.distribution):
        raise PluginError(f"{place}: expected the name of a distribution, got {file.distribution!r}")
    _require_sha256(place, file.sha256)
    if file.convert:
        _require_reference(f"{place}: convert", file.convert)
    if network.sha256 is None or (file.sha256 != network.sha256 and not file.convert):
        raise PluginError(f"{network.name}: sha256: expected that of the ONNX file, got {network.sha256!r}")


def _require_thresholds(model: str, thresholds: object) -> None:
    if not isinstance(thresholds, Mapping):
        raise PluginError(f"{model}: thresholds: expected cosines by false accept rate, got {thresholds!r}")
    for far, cosine in thresholds.items():
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (far, cosine))
        if not (numbers and 0 < far <= 1 and -1 <= cosine <= 1):
            raise PluginError(
                f"{model}: thresholds: expected cosines in -1..1 by false accept rates in 0..1, got {far!r}: {cosine!r}"
            )


@hookspec
def facereg_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Return the models of the plugin."""


@hookspec
def facereg_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Return the training recipes of the plugin."""


@hookspec
def facereg_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Return the commands of the plugin."""
