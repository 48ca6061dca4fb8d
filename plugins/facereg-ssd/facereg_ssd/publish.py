"""From a trained network to the files that a detector opens, and from files to a network to train."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import save_file
from torchvision.models.detection.ssd import SSD

from facereg.errors import WeightsError
from facereg.runners.spec import file_sha256
from facereg.training.export import export_onnx, load_checkpoint
from facereg_ssd.networks import DeployedSsd, vgg_convolutions
from facereg_ssd.plugin import NETWORK

VGG_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # the convolutions of torchvision's vgg16().features


def load_network(network: SSD, path: Path) -> None:
    """Fill a network from a `.safetensors` file of the recipe, or its VGG16 part from torchvision's features.

    Raises:
        WeightsError: if the file is missing or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"init: expected a file of weights, found none at {path}; check --set init")
    if path.suffix == ".safetensors":
        load_checkpoint(DeployedSsd(network), path)
        return
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for convolution, layer in zip(vgg_convolutions(network), VGG_LAYERS, strict=True):
            convolution.load_state_dict({name: state[f"features.{layer}.{name}"] for name in ("weight", "bias")})
    except (UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise WeightsError(f"{path}: expected VGG16's weights as torchvision names them, got something else") from error


def save_network(network: SSD, out: Path) -> float:
    """Write the ONNX file and its checkpoint to `out`; return the difference from torch."""
    deployed = DeployedSsd(copy.deepcopy(network).cpu().float().to(memory_format=torch.contiguous_format)).eval()
    path = out / NETWORK.file
    difference = export_onnx(deployed, NETWORK, path)
    state = {key: value.contiguous() for key, value in deployed.state_dict().items()}
    save_file(state, path.with_suffix(".safetensors"))
    return difference


def publish(network: SSD, out: Path, *, settings: Mapping[str, object], scores: Mapping[str, object]) -> None:
    """Write the ONNX file (checked against torch), the checkpoint and `result.json` to `out`."""
    difference = save_network(network, out)
    result = {
        "recipe": NETWORK.name,
        "settings": dict(settings),
        "scores": dict(scores),
        "onnx_sha256": file_sha256(out / NETWORK.file),
        "onnx_difference_from_torch": difference,
        "torch": torch.__version__,
        "processor": platform.machine(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
