"""From a model's spec to a stage: its options are read by type, its factory is called, and faults are named."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from facereg.errors import FaceregError, OptionError, PluginError, words_of
from facereg.networks.spec import import_object
from facereg.options import Option, options_of, printable, read_options
from facereg.registry.hooks import ModelSpec

BESIDE = ("runner", "device", "threads", "weights", "threshold", "name", "role")  # given beside a model's options
GIVEN = frozenset({"self", "networks", "options", "threshold"})  # what the library itself gives to a factory


def known_options(spec: ModelSpec) -> dict[str, Option] | None:
    """Return what people may set of a model, by name; None where its factory takes any keyword.

    Raises:
        PluginError: if what says so cannot be imported.
    """
    if spec.options_from:
        return options_of(import_object(spec.options_from))
    return options_of(import_object(spec.factory), skip=GIVEN if spec.role == "matcher" else GIVEN - {"threshold"})


def build(
    spec: ModelSpec, networks: tuple[object, ...], options: Mapping[str, object], beside: dict[str, Any]
) -> object:
    """Return what the model's factory makes.

    Raises:
        OptionError: if an option is unknown or does not read.
        PluginError: if the factory cannot be called so, or fails.
        FaceregError: what the factory raises on purpose.
    """
    factory = import_object(spec.factory)
    known = known_options(spec)
    try:
        read = dict(options) if known is None else read_options(known, options, owner=spec.name)
    except OptionError as error:
        hint = next((f"; {name} is given beside the options" for name in BESIDE if name in options), "")
        raise OptionError(f"{error}{hint}") from error
    keywords: dict[str, Any] = dict(read)
    if spec.options_from:
        keywords = {"options": _called(spec, spec.options_from, import_object(spec.options_from), (), read)}
    return _called(spec, spec.factory, factory, networks, {**keywords, **beside})


def _called(
    spec: ModelSpec, reference: str, factory: Any, arguments: tuple[object, ...], keywords: Mapping[str, Any]
) -> object:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # written in C, and says nothing
        signature = None
    try:
        if signature is not None:
            signature.bind(*arguments, **keywords)
    except TypeError as error:
        given = ", ".join(["its networks"] * bool(arguments) + sorted(keywords)) or "nothing"
        raise PluginError(
            f"{spec.name}: {reference} cannot be called with {given} ({error}); see its docstring"
        ) from error
    try:
        return factory(*arguments, **keywords)
    except FaceregError:
        raise
    except (Exception, SystemExit) as error:
        text = printable(words_of(error), 500)
        raise PluginError(f"{spec.name}: {reference} failed: {type(error).__name__}: {text}") from error
