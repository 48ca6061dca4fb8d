"""A model by what people type: its name, a name that it had once, and the tag of its weights."""

from __future__ import annotations

import sys
from collections.abc import Collection, Container, Mapping, Sequence

from facereg import CONTRACT
from facereg.errors import PluginError, UnknownNameError
from facereg.registry.added import FILE, added_weights, weights_of_nobody
from facereg.registry.hooks import ModelSpec
from facereg.registry.tags import WeightsSpec

# What the default pipeline is made of, for who has the library alone.
COMES_WITH = {
    "yolov5s-face": "facereg-yolov5",
    "adnet-68": "facereg-adnet",
    "mobilenetv3-arcface": "facereg-mobilenetv3",
}


class OldNames:
    """Names that models had; they work for one contract more, and who asks by one is told, once."""

    def __init__(self) -> None:
        self._today: dict[str, str] = {}
        self._told: set[str] = set()

    def admit(self, models: Sequence[ModelSpec], taken: Container[str]) -> None:
        """Take up the names that some models had.

        Raises:
            PluginError: if one is a model's or was another's; then none is.
        """
        formerly = {
            old: f"{spec.name}:{weights.tag}" for spec in models for weights in spec.weights for old in weights.formerly
        }
        for old in formerly:
            if old in taken or old in self._today:
                raise PluginError(f"the old name {old!r} is taken; uninstall one of the two")
        for spec in models:
            if spec.name in self._today:
                raise PluginError(f"the name {spec.name!r} was that of {self._today[spec.name]!r}; choose another")
        self._today |= formerly

    def today(self, name: str) -> str:
        """Return the name that a model has today."""
        today = self._today.get(name)
        if today is None:
            return name
        if name not in self._told:
            self._told.add(name)
            tell(f"{name!r} is the old name of {today!r}, and goes with contract {CONTRACT + 1}; write {today}")
        return today


def weights_of(spec: ModelSpec) -> tuple[WeightsSpec, ...]:
    """Return the weights of a model beside its own: its plugin's, and those that the user added."""
    return (*spec.weights, *added_weights(spec))


def tagged_model(spec: ModelSpec, tag: str, installed: Collection[str]) -> ModelSpec:
    """Return a model with the weights of a tag.

    Args:
        installed: names of all models, to name weights that were added to none of them.
    Raises:
        UnknownNameError: if it has none.
        WeightsError: if the weights that the user added cannot be read.
    """
    held = {one.tag: one for one in spec.weights}
    held |= {} if tag in held else {one.tag: one for one in weights_of(spec)}
    if tag not in held:
        passed_over = "".join(f"; {line}" for line in weights_of_nobody(installed))
        raise UnknownNameError(
            f"no weights {tag!r} of {spec.name!r}; tags: {listed(held)}; yours go into {FILE}, see "
            f"'facereg models {spec.name}'{passed_over}"
        )
    return spec.tagged(held[tag])


def listed(names: Mapping[str, object]) -> str:
    """Return names in a line of a message."""
    return ", ".join(sorted(names)) or "none"


def tell(line: str) -> None:
    """Say something on stderr to whoever waits, or asks for what will go."""
    print(f"facereg: {line}", file=sys.stderr, flush=True)  # noqa: T201
