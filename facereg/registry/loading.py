"""One plugin: its module is imported, its hooks are asked, and what they say is checked.

Importing runs whatever the plugin wrote, so it is done in a thread with a limit of time, and whatever goes wrong is
the reason why this plugin is listed as failed; the others work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from inspect import isroutine
from itertools import islice
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TypeVar

import pluggy

import facereg
from facereg.errors import PluginError, words_of
from facereg.options import printable
from facereg.registry import hooks as hookspecs
from facereg.registry.hooks import GROUP, CommandSpec, ModelSpec, RecipeSpec, StoreSpec

SLOW_S = 0.3  # of loading, from which the list of plugins says it: every command pays for it
NOTICE_S = 3.0  # of loading, after which it is said which plugin is waited for
LIMIT_S = 30.0  # after which a plugin is given up: a cold disk under load takes some seconds
MOST = 1000  # specs of a hook: a generator that never ends is refused
OLDEST_CONTRACT = 1  # the oldest that plugins may be written for
STATED = "FACEREG_CONTRACT"  # the name in a plugin's module; one that states none was written for contract 1
HOOKS = ("facereg_models", "facereg_recipes", "facereg_commands", "facereg_stores")
BUILT_IN_COMMANDS = frozenset(
    {"bench", "calibrate", "data", "demo", "detect", "embed", "enroll", "evaluate", "export", "find", "gallery"}
    | {"group", "identify", "index", "landmarks", "models", "plugins", "quantize", "report", "serve", "study", "train"}
    | {"triton", "verify"}
)
Spec = TypeVar("Spec", ModelSpec, RecipeSpec, CommandSpec, StoreSpec)


@dataclass(frozen=True, slots=True)
class Brought:
    """What a plugin brings; `notice` is what to say though it works."""

    models: tuple[ModelSpec, ...]
    recipes: tuple[RecipeSpec, ...]
    commands: tuple[CommandSpec, ...]
    stores: tuple[StoreSpec, ...]
    notice: str = ""


def load_plugin(entry: EntryPoint, tell: Callable[[str], None]) -> Brought:
    """Import a plugin and return what it brings.

    Args:
        entry: what its distribution says.
        tell: called with a line while the plugin keeps everybody waiting.
    Raises:
        PluginError: with the reason, whatever the plugin did; it never ends the process.
    """
    held: list[Brought | BaseException] = []

    def work() -> None:
        try:
            held.append(read_plugin(entry.load(), name=entry.name))
        except BaseException as error:  # sys.exit() and the like are the plugin's failure, not our end
            held.append(error)

    began = monotonic()
    if here := _is_being_imported(entry.module):  # another thread would wait for it for ever
        work()
    else:
        thread = Thread(target=work, name=f"load-{entry.name}", daemon=True)
        thread.start()
        thread.join(NOTICE_S)
        if thread.is_alive():
            tell(f"waiting for plugin {entry.name!r} ({entry.value}), which is given up after {LIMIT_S:g} s")
            thread.join(max(0.0, LIMIT_S - NOTICE_S))
    if not held:
        raise PluginError(f"it was not loaded within {LIMIT_S:g} s; its module should import nothing heavy")
    got, took = held[0], monotonic() - began
    if isinstance(got, KeyboardInterrupt) and here:  # in a thread of its own nobody but the plugin raises it
        raise got
    if isinstance(got, PluginError):
        raise got
    if isinstance(got, BaseException):
        ends = " (it ends the program when it is loaded)" if isinstance(got, SystemExit) else ""
        raise PluginError(f"{type(got).__name__}: {printable(words_of(got), 500)}{ends}") from got
    slow = [f"took {took:.1f} s to load"] if took >= SLOW_S else []
    return replace(got, notice="; ".join([*filter(None, [got.notice]), *slow]))


def read_plugin(plugin: object, *, name: str) -> Brought:
    """Return what a module or object with hook implementations brings.

    Raises:
        PluginError: if it was written for another contract, a hook is unknown, unmarked or gives no specs, or it
            brings nothing that it may.
    """
    notice = _contract_notice(getattr(plugin, STATED, 1))
    hooks = pluggy.PluginManager(GROUP)
    hooks.add_hookspecs(hookspecs)
    try:
        hooks.register(plugin, name=name)
    except pluggy.PluginValidationError as error:  # arguments that a hook does not have
        raise PluginError(words_of(error)) from error
    _require_known_hooks(plugin, hooks)
    commands = _collect(hooks, "facereg_commands", CommandSpec)
    for command in commands:
        if command.name in BUILT_IN_COMMANDS or not f"{command.name}-".startswith(f"{name}-"):
            raise PluginError(
                f"facereg_commands: expected a name that begins with the plugin's, as {name + '-convert'!r}, "
                f"got {command.name!r}"
            )
    models = _collect(hooks, "facereg_models", ModelSpec)
    for model in models:
        _require_checksums(model)
    recipes, stores = _collect(hooks, "facereg_recipes", RecipeSpec), _collect(hooks, "facereg_stores", StoreSpec)
    return Brought(models, recipes, commands, stores, notice)


def _is_being_imported(module: str) -> bool:
    """Whether a package of the module is half imported just now, by whoever asked for the plugins."""
    parts = module.split(".")
    held = [sys.modules.get(".".join(parts[:end])) for end in range(1, len(parts) + 1)]
    return any(getattr(getattr(one, "__spec__", None), "_initializing", False) for one in held)


def _contract_notice(stated: object) -> str:
    newest = facereg.CONTRACT
    if isinstance(stated, bool) or not isinstance(stated, int):
        raise PluginError(f"{STATED}: expected a whole number, got {stated!r}; write {STATED} = {newest}")
    if stated > newest:
        raise PluginError(f"it was written for contract {stated}, facereg {facereg.__version__} has {newest}; upgrade")
    if stated < OLDEST_CONTRACT:
        raise PluginError(
            f"it was written for contract {stated}, which was dropped; the oldest is {OLDEST_CONTRACT}; upgrade it"
        )
    return f"written for contract {stated}, which will be dropped; the newest is {newest}" if stated < newest else ""


def _require_known_hooks(plugin: object, hooks: pluggy.PluginManager) -> None:
    callers = hooks.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            close = get_close_matches(caller.name, HOOKS, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise PluginError(f"no hook named {printable(caller.name)}; {hint}hooks: {', '.join(HOOKS)}")
    marked = {caller.name for caller in callers}
    for name in dir(plugin):
        if name.startswith("facereg_") and name not in marked and isroutine(getattr(plugin, name, None)):
            raise PluginError(f"{printable(name)} is not marked as a hook; write @hookimpl above it")
    if not marked:
        raise PluginError(f"it has no hooks; expected at least one of {', '.join(HOOKS)}, marked with @hookimpl")


def _collect(hooks: pluggy.PluginManager, hook: str, kind: type[Spec]) -> tuple[Spec, ...]:
    caller = getattr(hooks.hook, hook)
    answers: list[object] = caller()
    if caller.get_hookimpls() and not answers:  # pluggy leaves None out
        raise PluginError(f"{hook}: expected a list of {kind.__name__}, got None; return what it made, [] for nothing")
    specs: dict[str, Spec] = {}
    for answer in answers:
        if not isinstance(answer, Iterable):
            raise PluginError(f"{hook}: expected a list of {kind.__name__}, got {type(answer).__name__}")
        for spec in islice(answer, MOST + 1):
            if not isinstance(spec, kind):
                raise PluginError(f"{hook}: expected {kind.__name__} values, got {type(spec).__name__}")
            if spec.name in specs:
                raise PluginError(f"{hook}: the name {spec.name!r} comes twice; give each its own")
            specs[spec.name] = spec
            if len(specs) > MOST:
                raise PluginError(f"{hook}: expected at most {MOST} specs, got more")
    return tuple(specs.values())


def _require_checksums(model: ModelSpec) -> None:
    """Refuse weights that ship without a checksum: nobody would see that they were altered."""
    tagged = (network for weights in model.weights for network in weights.networks)
    for network in (*model.networks, *tagged):
        if network.sha256 is not None:
            continue
        try:
            package = find_spec(network.package)
        except (ImportError, ValueError):
            package = None
        folders = (package.submodule_search_locations or []) if package is not None else []
        if any((Path(folder) / "weights" / network.file).is_file() for folder in folders):
            raise PluginError(
                f"{model.name}: {network.file} ships without a checksum; write sha256= in its NetworkSpec, "
                f"as 'sha256sum {network.file}' prints it"
            )
