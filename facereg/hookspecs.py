"""What a plugin may say to facereg: three hooks, all optional.

A distribution lists its module under the entry-point group `facereg`:

```toml
[project.entry-points.facereg]
mymodels = "mymodels.plugin"
```

That module imports nothing heavy; it names what it brings by strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pluggy

from facereg.errors import ContractError
from facereg.interfaces import RoleName
from facereg.runners.spec import NetworkSpec

GROUP = "facereg"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, named without importing it.

    Args:
        name: as people type it, like `mobilenetv3-arcface`.
        role: what it does.
        factory: `package.module:callable`; called as `factory(networks, **options)`, or
            `factory(**options)` where it has no networks.
        networks: the networks it asks for by name.
        licence: of the weights, in a few words.
        paper: where the model comes from.
        summary: one line for listings.
        thresholds: for embedders, the cosine similarity from which two faces are called one person, by the false
            accept rate it was measured at, on the data its card names.
    """

    name: str
    role: RoleName
    factory: str
    networks: tuple[NetworkSpec, ...] = ()
    licence: str = "not stated"
    paper: str = ""
    summary: str = ""
    thresholds: Mapping[float, float] = field(default_factory=dict)

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


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command that a plugin adds: `app` is `package.module:typer_app`."""

    name: str
    app: str
    summary: str = ""


@hookspec
def facereg_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Return the models of the plugin."""


@hookspec
def facereg_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Return the training recipes of the plugin."""


@hookspec
def facereg_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Return the commands of the plugin."""
