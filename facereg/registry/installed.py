"""What is installed: plugins, their models, recipes and commands, found by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, overload

from facereg.errors import PluginError, UnknownNameError
from facereg.networks.opening import HERE, Where
from facereg.options import printable
from facereg.registry.asking import COMES_WITH, OldNames, listed, tagged_model, tell, weights_of
from facereg.registry.factories import build
from facereg.registry.hooks import GROUP, CommandSpec, ModelSpec, RecipeSpec, StoreSpec
from facereg.registry.loading import Brought, load_plugin, read_plugin
from facereg.roles import Aligner, Detector, Embedder, Matcher, RoleName, Stage

LOAD_PLUGINS = "FACEREG_LOAD_PLUGINS"  # environment: names of the entry points to load, commas between them
CLASS_OF: Mapping[RoleName, type[Stage]] = {
    "detector": Detector,
    "aligner": Aligner,
    "embedder": Embedder,
    "matcher": Matcher,
}
BUILT_IN = "facereg.builtin"
Options: TypeAlias = Mapping[str, object]
Spec = TypeVar("Spec", ModelSpec, RecipeSpec, CommandSpec, StoreSpec)


@dataclass(frozen=True, slots=True)
class PluginState:
    """One entry point: what became of it and why, and the models it brings.

    A plugin that works may have a `reason` too: that it was slow to load, or that its contract will be dropped.
    """

    name: str
    version: str
    state: Literal["loaded", "failed", "skipped"]
    reason: str = ""
    models: tuple[str, ...] = ()


class Registry:
    """The plugins of one process; `Registry.load()` finds those that are installed."""

    def __init__(self) -> None:
        self._states: list[PluginState] = []
        self._models: dict[str, tuple[ModelSpec, str]] = {}  # spec and plugin, by name
        self._recipes: dict[str, tuple[RecipeSpec, str]] = {}
        self._commands: dict[str, tuple[CommandSpec, str]] = {}
        self._stores: dict[str, tuple[StoreSpec, str]] = {}
        self._old_names = OldNames()

    @classmethod
    def load(cls) -> Registry:
        """Return the installed plugins, each loaded by itself: one that fails is listed, and the others work.

        What plugins print while they are loaded goes to stderr; one that takes long is named there.
        """
        registry = cls()
        chosen = [name.strip() for name in os.environ.get(LOAD_PLUGINS, "").split(",") if name.strip()]
        found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.value != BUILT_IN, entry.name))
        for entry in found:
            version = entry.dist.version if entry.dist is not None else ""
            if chosen and entry.name not in chosen and entry.value != BUILT_IN:
                registry._states.append(PluginState(entry.name, version, "skipped", f"not in {LOAD_PLUGINS}"))
            else:
                with redirect_stdout(sys.stderr):
                    registry._load(entry, version)
        missing = sorted(set(chosen) - {entry.name for entry in found})
        registry._states += [
            PluginState(name, "", "failed", f"named in {LOAD_PLUGINS}, but not installed; pip install its distribution")
            for name in missing
        ]
        return registry

    def _load(self, entry: EntryPoint, version: str) -> None:
        try:
            self._admit(load_plugin(entry, tell), entry.name, version)
        except PluginError as error:
            self._states.append(PluginState(entry.name, version, "failed", printable(str(error), 1000)))

    def register(self, plugin: object, *, name: str, version: str = "") -> None:
        """Add a module or object with hook implementations.

        Raises:
            PluginError: if one of its names is taken, it was written for another contract, a hook is unknown, not
                marked or gives something else than specs; nothing of it stays.
        """
        self._admit(read_plugin(plugin, name=name), name, version)

    def _admit(self, brought: Brought, name: str, version: str) -> None:
        if any(state.name == name and state.state == "loaded" for state in self._states):
            raise PluginError(f"a plugin named {name!r} is registered already; uninstall one of the two")
        _require_free(brought.models, self._models)
        _require_free(brought.recipes, self._recipes)
        _require_free(brought.commands, self._commands)
        _require_free(brought.stores, self._stores)
        self._old_names.admit(brought.models, self._models)
        self._models |= {spec.name: (spec, name) for spec in brought.models}
        self._recipes |= {spec.name: (spec, name) for spec in brought.recipes}
        self._commands |= {spec.name: (spec, name) for spec in brought.commands}
        self._stores |= {spec.name: (spec, name) for spec in brought.stores}
        names = tuple(spec.name for spec in brought.models)
        self._states.append(PluginState(name, version, "loaded", brought.notice, names))

    @property
    def plugins(self) -> tuple[PluginState, ...]:
        """Every plugin found, loaded or not."""
        return tuple(self._states)

    def models(self, role: RoleName | None = None, *, tagged: bool = False) -> tuple[ModelSpec, ...]:
        """Return the models, of one role where given, by name; `tagged`: behind each itself with its other weights.

        Raises:
            WeightsError: if they are `tagged`, and the weights that the user added cannot be read.
        """
        found = [spec for _, (spec, _) in sorted(self._models.items()) if role in (None, spec.role)]
        if not tagged:
            return tuple(found)
        return tuple(one for spec in found for one in (spec, *map(spec.tagged, weights_of(spec))))

    def recipes(self) -> tuple[RecipeSpec, ...]:
        """Return the training recipes, by name."""
        return tuple(spec for _, (spec, _) in sorted(self._recipes.items()))

    def commands(self) -> tuple[CommandSpec, ...]:
        """Return the commands that plugins add, by name."""
        return tuple(spec for _, (spec, _) in sorted(self._commands.items()))

    def model(self, name: str, *, role: RoleName | None = None) -> ModelSpec:
        """Return a model's spec, of `NAME:TAG` with the weights of that tag in place of its own.

        A name that it had formerly is taken too; who asks by one is told on stderr, once.

        Raises:
            UnknownNameError: if none has that name, it has no such weights, or another role; the message names those
                there are.
            WeightsError: if the weights that the user added cannot be read.
        """
        name, colon, tag = self._old_names.today(name).partition(":")
        known = {spec.name: spec for spec in self.models(role)}
        if name in known:
            return tagged_model(known[name], tag, self._models) if colon else known[name]
        kind = role or "model"
        if name in self._models:
            raise UnknownNameError(
                f"no {kind} named {name!r}: that is the {self._models[name][0].role}; installed: {listed(known)}"
            )
        raise self._unknown(kind, name, known, "facereg models")

    def recipe(self, name: str) -> RecipeSpec:
        """Return a recipe's spec.

        Raises:
            UnknownNameError: if none has that name.
        """
        if name not in self._recipes:
            raise self._unknown("recipe", name, self._recipes, "facereg train --list")
        return self._recipes[name][0]

    def store(self, name: str) -> StoreSpec:
        """Return the spec of the store that opens addresses of a scheme.

        Raises:
            UnknownNameError: if none does.
        """
        if name not in self._stores:
            raise self._unknown("store of galleries", name, self._stores, "facereg plugins list")
        return self._stores[name][0]

    def _unknown(self, kind: str, name: str, known: Mapping[str, object], command: str) -> UnknownNameError:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        if name in COMES_WITH:
            hint = f"it comes with the package {COMES_WITH[name]}, install that or name another; "
        failed = [state.name for state in self._states if state.state == "failed"]
        broken = f"; plugins that failed to load: {', '.join(failed)}, see 'facereg plugins list'" if failed else ""
        return UnknownNameError(f"no {kind} named {name!r}; {hint}installed: {listed(known)}; see '{command}'{broken}")

    @overload
    def create(
        self,
        name: str,
        *,
        role: Literal["detector"],
        runner: str = ...,
        device: str = ...,
        threads: int | None = ...,
        weights: str | Path | None = ...,
        **options: object,
    ) -> Detector: ...

    @overload
    def create(
        self,
        name: str,
        *,
        role: Literal["aligner"],
        runner: str = ...,
        device: str = ...,
        threads: int | None = ...,
        weights: str | Path | None = ...,
        **options: object,
    ) -> Aligner: ...

    @overload
    def create(
        self,
        name: str,
        *,
        role: Literal["embedder"],
        runner: str = ...,
        device: str = ...,
        threads: int | None = ...,
        weights: str | Path | None = ...,
        **options: object,
    ) -> Embedder: ...

    @overload
    def create(
        self,
        name: str,
        *,
        role: Literal["matcher"],
        runner: str = ...,
        device: str = ...,
        threads: int | None = ...,
        weights: str | Path | None = ...,
        **options: object,
    ) -> Matcher: ...

    @overload
    def create(
        self,
        name: str,
        *,
        role: RoleName,
        runner: str = ...,
        device: str = ...,
        threads: int | None = ...,
        weights: str | Path | None = ...,
        **options: object,
    ) -> Stage: ...

    def create(
        self,
        name: str,
        *,
        role: RoleName,
        runner: str = "onnx",
        device: str = "cpu",
        threads: int | None = None,
        weights: str | Path | None = None,
        **options: object,
    ) -> Stage:
        """Return a model, ready to use; as `make`, with the options as keywords, and a matcher's threshold too."""
        threshold = options.pop("threshold") if role == "matcher" and "threshold" in options else None
        where = Where(runner=runner, device=device, threads=threads, weights=weights)
        return self.make(name, options, role=role, where=where, threshold=threshold)

    @overload
    def make(
        self, name: str, options: Options, *, role: Literal["detector"], where: Where = ..., threshold: object = ...
    ) -> Detector: ...

    @overload
    def make(
        self, name: str, options: Options, *, role: Literal["aligner"], where: Where = ..., threshold: object = ...
    ) -> Aligner: ...

    @overload
    def make(
        self, name: str, options: Options, *, role: Literal["embedder"], where: Where = ..., threshold: object = ...
    ) -> Embedder: ...

    @overload
    def make(
        self, name: str, options: Options, *, role: Literal["matcher"], where: Where = ..., threshold: object = ...
    ) -> Matcher: ...

    @overload
    def make(
        self, name: str, options: Options, *, role: RoleName, where: Where = ..., threshold: object = ...
    ) -> Stage: ...

    def make(
        self, name: str, options: Options, *, role: RoleName, where: Where = HERE, threshold: object = None
    ) -> Stage:
        """Return a model, ready to use.

        Args:
            name: of the model, `NAME` or `NAME:TAG`.
            options: of the model; words are read by each option's type, see `facereg.options`.
            role: that it must have.
            where: its networks run.
            threshold: of a matcher.
        Raises:
            UnknownNameError: if no such model is installed.
            PluginError: if the factory cannot be imported, an option is unknown or does not read, the factory fails or
                makes something of another role.
        """
        spec = self.model(name, role=role)
        networks = where.networks(spec.networks)
        given = (networks,) if spec.networks else ()
        stage = build(spec, given, options, {} if threshold is None else {"threshold": threshold})
        if not isinstance(stage, CLASS_OF[role]):
            raise PluginError(f"{name}: expected {spec.factory} to make the {role}, got {type(stage).__name__}")
        if isinstance(stage, Embedder) and type(stage).space is not Embedder.space:
            raise PluginError(f"{name}: expected no space of its own, the library makes it; state a version instead")
        try:
            stage.name = spec.full_name
        except AttributeError as error:
            raise PluginError(f"{name}: expected a stage whose name can be set; leave name to the library") from error
        return stage


def _require_free(specs: Iterable[Spec], taken: Mapping[str, tuple[Spec, str]]) -> None:
    for spec in specs:
        if spec.name in taken:
            raise PluginError(
                f"the name {spec.name!r} is taken by plugin {taken[spec.name][1]!r}; uninstall one of the two"
            )


@cache
def default_registry() -> Registry:
    """Return the registry of this process, loaded on first use."""
    return Registry.load()
