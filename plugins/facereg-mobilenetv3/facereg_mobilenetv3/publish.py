"""Checkpoints in and out: what a run leaves behind, and what the next one starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from facereg import WeightsError
from facereg.training import device_count, fit, publish, read_checkpoint, read_safetensors
from facereg_mobilenetv3.networks import DeployedEmbedder, MobileNetV3Embedder, freeze_norms
from facereg_mobilenetv3.plugin import NETWORK


class RunSettings(Protocol):
    """What the settings of both recipes, dataclasses, have."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def size(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def freeze_norm(self) -> bool: ...
    @property
    def average(self) -> float: ...
    @property
    def init(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def devices(self) -> int: ...
    @property
    def seed(self) -> int: ...


def begin_network(settings: RunSettings) -> MobileNetV3Embedder:
    """Return the network that a run starts from, channels last.

    Raises:
        WeightsError: if `init` is missing or of another network.
    """
    network = MobileNetV3Embedder(dropout=settings.dropout)
    if settings.init:
        load_network(network, Path(settings.init))
    if settings.freeze_norm:
        freeze_norms(network)
    return network.to(memory_format=torch.channels_last)


def load_network(network: MobileNetV3Embedder, path: Path) -> None:
    """Fill a network from a `.safetensors` file or a Lightning `.ckpt` of either recipe.

    Raises:
        WeightsError: if the file is missing or of another network.
    """
    expected = "a .safetensors or .ckpt file"
    if path.suffix == ".safetensors":
        state = read_safetensors(path, expected=expected)
    else:
        state = read_checkpoint(path, expected=expected).get("state_dict", {})
    state = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path}: expected a MobileNetV3-small embedder, got other tensors") from error


def fit_and_publish(
    module: lightning.LightningModule,
    network: MobileNetV3Embedder,
    rows: Dataset[tuple[torch.Tensor, ...]],
    out: Path,
    *,
    recipe: str,
    settings: RunSettings,
    steps: int,
    resume: bool,
    keep: Sequence[str] = ("loss",),
) -> None:
    """Train `module` on `rows`, then write its `network` to `out` in every form: see `fit` and `publish`."""
    share = settings.batch // device_count(settings.devices)
    scores = fit(
        module,
        DataLoader(rows, share, shuffle=True, drop_last=True),
        out,
        steps=steps,
        seed=settings.seed,
        resume=resume,
        precision=settings.precision,
        devices=settings.devices,
        average=settings.average,
        keep=keep,
    )
    if module.global_rank == 0:
        deployed = DeployedEmbedder(network, size=settings.size)
        publish(deployed, NETWORK, out, recipe=recipe, settings=asdict(settings), scores=scores)
