"""What is installed: plugins, their models, recipes and commands, found by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, TypeVar

import pluggy

from facereg import hookspecs
from facereg.errors import PluginError, UnknownNameError
from facereg.hookspecs import GROUP, CommandSpec, ModelSpec, RecipeSpec
from facereg.interfaces import Aligner, Detector, Embedder, Matcher, RoleName, Stage
from facereg.runners.base import Networks
from facereg.runners.opening import open_network
from facereg.runners.spec import import_object

ONLY = "FACEREG_LOAD_PLUGINS"  # environment: names of the entry points to load, commas between them
ROLES: Mapping[RoleName, type[Stage]] = {
    "detector": Detector,
    "aligner": Aligner,
    "embedder": Embedder,
    "matcher": Matcher,
}
Spec = TypeVar("Spec", ModelSpec, RecipeSpec, CommandSpec)


@dataclass(frozen=True, slots=True)
class PluginState:
    """One entry point: what became of it and why, and the models it brings."""

    name: str
    version: str
    state: Literal["loaded", "failed", "skipped"]
    reason: str = ""
    models: tuple[str, ...] = ()


class Registry:
    """The plugins of one process; `Registry.load()` finds those that are installed."""

    def __init__(self) -> None:
        self._hooks = pluggy.PluginManager(GROUP)
        self._hooks.add_hookspecs(hookspecs)
        self._states: list[PluginState] = []
        self._models: dict[str, tuple[ModelSpec, str]] = {}  # spec and plugin, by name
        self._recipes: dict[str, tuple[RecipeSpec, str]] = {}
        self._commands: dict[str, tuple[CommandSpec, str]] = {}

    @classmethod
    def load(cls) -> Registry:
        """Return the installed plugins, each loaded by itself: one that fails is listed, and the others work."""
        registry = cls()
        chosen = [name.strip() for name in os.environ.get(ONLY, "").split(",") if name.strip()]
        found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name != "builtin", entry.name))
        for entry in found:
            version = entry.dist.version if entry.dist is not None else ""
            if chosen and entry.name not in chosen and entry.name != "builtin":
                registry._states.append(PluginState(entry.name, version, "skipped", f"not in {ONLY}"))
            else:
                registry._load(entry, version)
        missing = sorted(set(chosen) - {entry.name for entry in found})
        registry._states += [
            PluginState(name, "", "failed", f"named in {ONLY}, but not installed; pip install its distribution")
            for name in missing
        ]
        return registry

    def _load(self, entry: EntryPoint, version: str) -> None:
        try:
            plugin = entry.load()
            self.register(plugin, name=entry.name, version=version)
        except Exception as error:  # a plugin may raise anything while it is imported
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._states.append(PluginState(entry.name, version, "failed", reason))

    def register(self, plugin: object, *, name: str, version: str = "") -> None:
        """Add a module or object with hook implementations.

        Raises:
            PluginError: if one of its names is taken, or a hook gives something else than specs; nothing of it stays.
        """
        if self._hooks.get_plugin(name) is not None:
            raise PluginError(f"a plugin named {name!r} is registered already; uninstall one of the two")
        self._hooks.register(plugin, name=name)
        try:
            models = self._collect("facereg_models", plugin, ModelSpec, self._models)
            recipes = self._collect("facereg_recipes", plugin, RecipeSpec, self._recipes)
            commands = self._collect("facereg_commands", plugin, CommandSpec, self._commands)
        except Exception:
            self._hooks.unregister(plugin)
            raise
        self._models |= {spec.name: (spec, name) for spec in models}
        self._recipes |= {spec.name: (spec, name) for spec in recipes}
        self._commands |= {spec.name: (spec, name) for spec in commands}
        self._states.append(PluginState(name, version, "loaded", "", tuple(spec.name for spec in models)))

    def _collect(
        self, hook: str, plugin: object, kind: type[Spec], taken: Mapping[str, tuple[Spec, str]]
    ) -> list[Spec]:
        others = [other for other in self._hooks.get_plugins() if other is not plugin]
        specs: list[Spec] = []
        for answer in self._hooks.subset_hook_caller(hook, others)():
            for spec in answer:
                if not isinstance(spec, kind):
                    raise PluginError(f"{hook}: expected {kind.__name__} values, got {type(spec).__name__}")
                if spec.name in taken:
                    raise PluginError(
                        f"the name {spec.name!r} is taken by plugin {taken[spec.name][1]!r}; uninstall one of the two"
                    )
                if spec.name in {other.name for other in specs}:
                    raise PluginError(f"{hook}: the name {spec.name!r} comes twice; give each its own")
                specs.append(spec)
        return specs

    @property
    def plugins(self) -> tuple[PluginState, ...]:
        """Every plugin found, loaded or not."""
        return tuple(self._states)

    def models(self, role: RoleName | None = None) -> tuple[ModelSpec, ...]:
        """Return the models, of one role where given, by name."""
        return tuple(spec for _, (spec, _) in sorted(self._models.items()) if role in (None, spec.role))

    def recipes(self) -> tuple[RecipeSpec, ...]:
        """Return the training recipes, by name."""
        return tuple(spec for _, (spec, _) in sorted(self._recipes.items()))

    def commands(self) -> tuple[CommandSpec, ...]:
        """Return the commands that plugins add, by name."""
        return tuple(spec for _, (spec, _) in sorted(self._commands.items()))

    def model(self, name: str, *, role: RoleName | None = None) -> ModelSpec:
        """Return a model's spec.

        Raises:
            UnknownNameError: if none has that name, or it has another role; the message names those there are.
        """
        known = {spec.name: spec for spec in self.models(role)}
        if name in known:
            return known[name]
        kind = role or "model"
        if name in self._models:
            raise UnknownNameError(
                f"no {kind} named {name!r}: that is the {self._models[name][0].role}; installed: {_listed(known)}"
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

    def _unknown(self, kind: str, name: str, known: Mapping[str, object], command: str) -> UnknownNameError:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        failed = [state.name for state in self._states if state.state == "failed"]
        broken = f"; plugins that failed to load: {', '.join(failed)}, see 'facereg plugins list'" if failed else ""
        return UnknownNameError(f"no {kind} named {name!r}; {hint}installed: {_listed(known)}; see '{command}'{broken}")

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
        """Return a model, ready to use.

        Args:
            name: of the model.
            role: that it must have.
            runner, device, threads: where its networks run; see `facereg.runners.opening.open_network`.
            weights: folder (or the one file) that stands in for the plugin's own.
            options: given to the model's factory.
        Raises:
            UnknownNameError: if no such model is installed.
            PluginError: if the factory cannot be imported, refuses an option or makes something of another role.
        """
        spec = self.model(name, role=role)
        factory: Callable[..., object] = import_object(spec.factory)
        opener = partial(open_network, runner=runner, device=device, threads=threads, weights=weights)
        given = (Networks(spec.networks, opener, own=weights is None),) if spec.networks else ()
        try:
            stage = factory(*given, **options)
        except TypeError as error:
            raise PluginError(f"{name}: cannot be made with {sorted(options)} ({error}); see its docstring") from error
        if not isinstance(stage, ROLES[role]):
            raise PluginError(f"{name}: expected {spec.factory} to make the {role}, got {type(stage).__name__}")
        return stage


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"


@cache
def default_registry() -> Registry:
    """Return the registry of this process, loaded on first use."""
    return Registry.load()
