"""From a trained network to the files that a detector opens."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import save_file

from facereg.runners.spec import file_sha256
from facereg.training.export import export_onnx
from facereg_yolov5.networks import DeployedYolo, YoloV5s
from facereg_yolov5.plugin import NETWORK

TRACED = 96  # px; the side the graph is traced and checked at, not a power of two


def save_network(network: YoloV5s, out: Path) -> float:
    """Write the ONNX file and its checkpoint to `out`; return the difference from torch."""
    deployed = DeployedYolo(copy.deepcopy(network).cpu().float().to(memory_format=torch.contiguous_format)).eval()
    path = out / NETWORK.file
    difference = export_onnx(deployed, NETWORK, path, free=TRACED)
    state = {key: value.contiguous() for key, value in deployed.state_dict().items()}
    save_file(state, path.with_suffix(".safetensors"))
    return difference


def publish(network: YoloV5s, out: Path, *, settings: Mapping[str, object], scores: Mapping[str, object]) -> None:
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
