"""What a plugin may say to facereg: four hooks, all optional.

A distribution lists its module under the entry-point group `facereg`:

```toml
[project.entry-points.facereg]
mymodels = "mymodels.plugin"
```

That module imports nothing heavy; it names what it brings by strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import pluggy

from facereg.errors import ContractError, PluginError
from facereg.networks.spec import NetworkSpec
from facereg.registry.requiring import (
    require_line,
    require_name,
    require_network_specs,
    require_reference,
    require_same_network,
    require_square,
    require_thresholds,
)
from facereg.registry.tags import WeightsSpec
from facereg.roles import RoleName

GROUP = "facereg"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


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
        card: where the weights are described: what they were trained on, what they are worth.
        paper: where the model comes from.
        summary: one line for listings.
        thresholds: for embedders, the cosine similarity from which two faces are called one person, by the false
            accept rate it was measured at, on the data its card names.
        weights: others that it has beside those of `networks`, each by a tag.
        tag: of the weights in `networks`, where they are others; the library's to fill in.
        square: for detectors, how the square about all points of a face, brows to chin, lies by its box: the square's
            side, and how much lower its centre lies, both over the box's longer side. A pipeline hands the two to an
            aligner that takes `factor` and `shift`.
        aligner: for detectors, the name of the aligner that a pipeline takes where nobody says which; empty for
            `five-point`. One that finds its own points, where the detector gives none or coarse ones.
        recognises: `package.module:callable` that tells whether a published ONNX file is one for this model, which has
            one network: called with a `PublishedFile` it gives the options with which the model takes that file, each
            as its value and how it is known, or None where the file is another's. `facereg models describe` asks it.
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
    card: str = field(default="", kw_only=True)
    weights: tuple[WeightsSpec, ...] = field(default=(), kw_only=True)
    tag: str = field(default="", kw_only=True)
    square: tuple[float, float] | None = field(default=None, kw_only=True)
    aligner: str = field(default="", kw_only=True)
    recognises: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        require_name("ModelSpec", self.name)
        require_reference(f"{self.name}: factory", self.factory)
        if self.options_from:
            require_reference(f"{self.name}: options_from", self.options_from)
        if self.recognises:
            require_reference(f"{self.name}: recognises", self.recognises)
            if len(self.networks) != 1:
                raise PluginError(f"{self.name}: recognises: expected a model of one network, got {len(self.networks)}")
        if self.role not in get_args(RoleName):
            raise PluginError(f"{self.name}: role: expected one of {', '.join(get_args(RoleName))}, got {self.role!r}")
        for place in ("licence", "paper", "summary", "card"):
            require_line(f"{self.name}: {place}", getattr(self, place))
        require_network_specs(self.name, self.networks)
        require_thresholds(self.name, self.thresholds)
        require_square(self.name, self.square)
        if self.aligner:
            require_name(f"{self.name}: aligner", self.aligner.partition(":")[0])
        self._require_weights()
        networks = tuple(replace(network, model=self.full_name) for network in self.networks)
        object.__setattr__(self, "networks", networks)

    def _require_weights(self) -> None:
        if not isinstance(self.weights, tuple) or not all(isinstance(one, WeightsSpec) for one in self.weights):
            raise PluginError(f"{self.name}: weights: expected a tuple of WeightsSpec, got {self.weights!r:.200}")
        if len({one.tag for one in self.weights}) != len(self.weights):
            raise PluginError(f"{self.name}: weights: a tag comes twice; give each its own")
        own = {network.name: network for network in self.networks}
        for one in self.weights:
            if {network.name for network in one.networks} != set(own):
                got = ", ".join(network.name for network in one.networks)
                raise PluginError(f"{self.name}:{one.tag}: expected the networks {', '.join(own)}, got {got}")
            for network in one.networks:
                require_same_network(self.name, one.tag, network, own[network.name])
            if one.formerly and self.role == "embedder":
                raise PluginError(
                    f"{self.name}:{one.tag}: formerly: an embedder's name is in people's galleries; keep it a model"
                )

    @property
    def full_name(self) -> str:
        """Return the name, and the tag of its weights after a colon where they have one."""
        return f"{self.name}:{self.tag}" if self.tag else self.name

    def tagged(self, weights: WeightsSpec) -> ModelSpec:
        """Return the model with other weights in place of its own."""
        return replace(
            self,
            networks=tuple(network.tagged(weights.tag) for network in weights.networks),
            licence=weights.licence or self.licence,
            card=weights.card or self.card,
            summary=weights.summary or self.summary,
            thresholds=weights.thresholds,
            weights=(),
            tag=weights.tag,
        )

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
        require_name("RecipeSpec", self.name)
        require_reference(f"{self.name}: run", self.run)
        if self.settings_from:
            require_reference(f"{self.name}: settings_from", self.settings_from)
        require_line(f"{self.name}: summary", self.summary)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command that a plugin adds; its name begins with the plugin's: `app` is `package.module:typer_app`."""

    name: str
    app: str
    summary: str = ""

    def __post_init__(self) -> None:
        require_name("CommandSpec", self.name)
        require_reference(f"{self.name}: app", self.app)
        require_line(f"{self.name}: summary", self.summary)


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Where galleries may lie beside files.

    Args:
        name: the scheme of its addresses: `postgresql` opens `postgresql://...`.
        factory: `package.module:callable`; called as `factory(address, sealer, make=..., anew=...)`, gives a `Store`:
            an `Address`; the `Sealer` of its seals; the space of a gallery to make where there is none, or None; and
            whether it is made whatever lies there, which goes in the transaction of the first change.
        summary: one line for listings.
    """

    name: str
    factory: str
    summary: str = ""

    def __post_init__(self) -> None:
        require_name("StoreSpec", self.name)
        require_reference(f"{self.name}: factory", self.factory)
        require_line(f"{self.name}: summary", self.summary)


@hookspec
def facereg_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Return the models of the plugin."""


@hookspec
def facereg_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Return the training recipes of the plugin."""


@hookspec
def facereg_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Return the commands of the plugin."""


@hookspec
def facereg_stores() -> Iterable[StoreSpec]:  # type: ignore[empty-body]
    """Return the stores of galleries of the plugin."""
