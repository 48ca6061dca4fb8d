"""Several weights of one model, each known by a tag: `yolov5s-face:int8`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facereg.networks.spec import NetworkSpec
from facereg.registry.requiring import require_line, require_name, require_network_specs, require_thresholds


@dataclass(frozen=True, slots=True)
class WeightsSpec:
    """Weights of a model beside those it has by itself: `facereg models` shows them, `MODEL:TAG` asks for them.

    Args:
        tag: as people type it behind the colon.
        networks: the model's own, each with the file of these weights: `replace(NETWORK, file=..., sha256=...)`.
        licence, card, summary: as of a ModelSpec, which stand where these are empty.
        thresholds: as of a ModelSpec; other weights have others.
        formerly: names of models that these weights had; they go on working, and who asks by one is told.
    Raises:
        PluginError: if a field is not what it should be.
    """

    tag: str
    networks: tuple[NetworkSpec, ...]
    licence: str = ""
    card: str = ""
    summary: str = ""
    thresholds: Mapping[float, float] = field(default_factory=dict)
    formerly: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_name("WeightsSpec", self.tag)
        place = f"WeightsSpec {self.tag}"
        for name in ("licence", "card", "summary"):
            require_line(f"{place}: {name}", getattr(self, name))
        require_network_specs(place, self.networks)
        require_thresholds(place, self.thresholds)
        for name in self.formerly:
            require_name(f"{place}: formerly", name)
