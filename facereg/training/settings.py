"""Settings of a recipe: a frozen dataclass whose fields `--set key=value` may change."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from facereg.errors import ContractError

Settings = TypeVar("Settings")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_settings(kind: type[Settings], given: Mapping[str, str]) -> Settings:
    """Return `kind` with the given fields changed from their defaults.

    Args:
        kind: a dataclass whose fields are int, float, bool or str, or one of these or None.
    Raises:
        ContractError: if a key is unknown or a value does not read as the field's type.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(given) - set(hints))
    if unknown:
        raise ContractError(f"no setting named {', '.join(unknown)}; this recipe has: {', '.join(hints)}")
    return kind(**{key: _parse(key, value, hints[key]) for key, value in given.items()})


def describe_settings(kind: type[Any]) -> dict[str, str]:
    """Return key to default value, for listings."""
    return {field.name: str(field.default) for field in dataclasses.fields(kind)}


def _parse(key: str, text: str, hint: Any) -> object:
    if isinstance(hint, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        if text.lower() == "none":
            return None
        hint = options[0]
    try:
        if hint is bool:
            return TRUTH[text.lower()]
        return hint(text)
    except (ValueError, KeyError) as error:
        raise ContractError(f"--set {key}: expected {hint.__name__}, got {text!r}") from error
