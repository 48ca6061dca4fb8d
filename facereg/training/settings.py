"""Settings of a recipe: a frozen dataclass whose fields `--set key=value` may change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from facereg.errors import ContractError
from facereg.options import Option, options_of, read_options

Settings = TypeVar("Settings")
# least and most of settings that mean the same in every recipe: what lies outside ends in an error of torch or
# Lightning after the data were read, trains for ever, or teaches nothing
RANGES: Mapping[str, tuple[float, float]] = {
    "epochs": (1e-6, 1e6),
    "steps": (1, 1e9),
    "batch": (1, 1e6),
    "size": (1, 4096),
    "lr": (0, 1e3),
    "warmup": (0, 1e9),
    "decay": (0, 1),
    "weight_decay": (0, 1e3),
    "dropout": (0, 0.99),
    "average": (0, 0.999999),  # with 1 the average is what the run began with
    "keep_out": (0, 1e9),
    "devices": (0, 1024),
    "seed": (0, 2**32 - 1),  # what numpy takes
}
PRECISIONS = (  # Lightning's, but for those that need another package
    *("32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"),
    *("32", "16", "bf16", "64"),
)


def parse_settings(
    kind: Callable[..., Settings], given: Mapping[str, str], *, lowest: Mapping[str, float] | None = None
) -> Settings:
    """Return `kind` with the given fields changed from their defaults.

    Fields whose names all recipes share (`epochs`, `batch`, `lr`, ...: RANGES) are checked where they are given,
    and so is `precision`.

    Args:
        kind: a dataclass; its fields may have the types that `facereg.options` reads.
        lowest: the least value that a field may have.
    Raises:
        ContractError: if a key is unknown, or a value does not read as the field's type or is out of its range.
    """
    known = _known(kind)
    read = read_options(known, given, owner="this recipe", what="setting", place="--set")
    for name, value in read.items():
        _check(known[name], value)
    settings = kind(**read)
    for name, least in (lowest or {}).items():
        value = getattr(settings, name)
        if not value >= least:
            raise ContractError(f"--set {name}: expected {least:g} or more, got {value:g}")
    return settings


def _check(option: Option, value: object) -> None:
    """Refuse a value that no recipe can use, of a setting that all share."""
    low, high = RANGES.get(option.name, (-math.inf, math.inf))
    if isinstance(value, int | float) and not low <= value <= high:
        raise ContractError(f"--set {option.name}: expected {low:g} to {high:g}, got {value:g}")
    if option.name == "precision" and value not in (*PRECISIONS, option.default):
        raise ContractError(f"--set precision: expected one of {', '.join(PRECISIONS)}, got {value!r:.80}")


def describe_settings(kind: type[Any]) -> dict[str, str]:
    """Return key to default value, for listings."""
    return {option.name: str(option.default) for option in _known(kind).values()}


def _known(kind: Callable[..., object]) -> dict[str, Option]:
    known = options_of(kind)
    if known is None:
        raise ContractError(f"{kind}: expected a dataclass of settings, each field with a type and a default")
    return known
