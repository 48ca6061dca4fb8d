"""Settings of a recipe: a frozen dataclass whose fields `--set key=value` may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from facereg.errors import ContractError
from facereg.options import Option, options_of, read_options

Settings = TypeVar("Settings")


def parse_settings(
    kind: Callable[..., Settings], given: Mapping[str, str], *, lowest: Mapping[str, float] | None = None
) -> Settings:
    """Return `kind` with the given fields changed from their defaults.

    Args:
        kind: a dataclass; its fields may have the types that `facereg.options` reads.
        lowest: the least value that a field may have.
    Raises:
        ContractError: if a key is unknown, or a value does not read as the field's type or is too low.
    """
    settings = kind(**read_options(_known(kind), given, owner="this recipe", what="setting", place="--set"))
    for name, least in (lowest or {}).items():
        value = getattr(settings, name)
        if not value >= least:
            raise ContractError(f"--set {name}: expected {least:g} or more, got {value:g}")
    return settings


def describe_settings(kind: type[Any]) -> dict[str, str]:
    """Return key to default value, for listings."""
    return {option.name: str(option.default) for option in _known(kind).values()}


def _known(kind: Callable[..., object]) -> dict[str, Option]:
    known = options_of(kind)
    if known is None:
        raise ContractError(f"{kind}: expected a dataclass of settings, each field with a type and a default")
    return known
