"""Checkpoints in and out: what a run leaves behind, and what the next one starts from."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import lightning
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset

from facereg.errors import WeightsError
from facereg.runners.spec import file_sha256
from facereg.training.export import export_onnx
from facereg.training.fitting import device_count, fit
from facereg_mobilenetv3.networks import DeployedEmbedder, MobileNetV3Embedder
from facereg_mobilenetv3.plugin import NETWORK


class RunSettings(Protocol):
    """What the settings of both recipes, dataclasses, have."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def size(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def precision(self) -> str: ...
    @property
    def devices(self) -> int: ...
    @property
    def seed(self) -> int: ...


def load_network(network: MobileNetV3Embedder, path: Path) -> None:
    """Fill a network from a `.safetensors` file or a Lightning `.ckpt` of either recipe.

    Raises:
        WeightsError: if the file is missing or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"init: expected a .safetensors or .ckpt file, found none at {path}")
    if path.suffix == ".safetensors":
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=False)["state_dict"]
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
        keep=keep,
    )
    if module.global_rank == 0:
        publish(network, out, recipe=recipe, settings=asdict(settings), size=settings.size, scores=scores)


def publish(
    network: MobileNetV3Embedder,
    out: Path,
    *,
    recipe: str,
    settings: Mapping[str, object],
    size: int,
    scores: Mapping[str, float],
) -> None:
    """Write the ONNX file (checked against torch), the checkpoint and `result.json` to `out`.

    Args:
        size: side that crops are enlarged to; the checkpoint holds it, so that an export from it does the same.
    """
    deployed = DeployedEmbedder(copy.deepcopy(network).cpu().float(), size=size).eval()
    onnx = out / NETWORK.file
    difference = export_onnx(deployed, NETWORK, onnx)
    state = {key: value.contiguous() for key, value in deployed.state_dict().items()}
    save_file(state, onnx.with_suffix(".safetensors"), metadata=deployed.checkpoint_metadata())
    result = {
        "recipe": recipe,
        "settings": dict(settings),
        "scores": dict(scores),
        "onnx_sha256": file_sha256(onnx),
        "onnx_difference_from_torch": difference,
        "torch": torch.__version__,
        "processor": platform.machine(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
