"""What a finished run leaves: files that a plugin opens or ships, and a record of how they came about."""

from __future__ import annotations

import copy
import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from facereg.disk.reading import MAX_SETTINGS, parse_json, read_text
from facereg.disk.replacing import file_sha256, write_file
from facereg.errors import WeightsError
from facereg.networks.spec import NetworkSpec
from facereg.training.export import export_onnx

SETTINGS = "settings.json"  # beside last.ckpt


@rank_zero_only
def note_settings(out: Path, settings: Mapping[str, object], *, resume: bool) -> None:
    """Keep the settings of a run beside its checkpoint; say on stderr what a resumed one has changed.

    A checkpoint holds the rates and weight decay that it was begun with: of these others are not taken up.
    """
    path = out / SETTINGS
    if resume and path.is_file() and (out / "last.ckpt").is_file():
        text = read_text(path, expected="settings of a run", limit=MAX_SETTINGS, error=WeightsError)
        before = parse_json(text, place=str(path), expected="settings of a run", error=WeightsError)
        plain = json.loads(json.dumps(dict(settings)))
        changed = [name for name in plain if isinstance(before, dict) and before.get(name, plain[name]) != plain[name]]
        if changed:
            told = ", ".join(f"{name} {before[name]!r} before, {plain[name]!r} now" for name in changed)
            sys.stderr.write(
                f"{out}: goes on with other settings than before: {told}; rates and weight decay stay those of "
                "last.ckpt\n"
            )
    write_file(path, f"{json.dumps(dict(settings), indent=2)}\n".encode())


def save_network(module: nn.Module, spec: NetworkSpec, out: Path, *, free: int = 32) -> float:
    """Write the ONNX file of a network to `out`; return the difference from torch.

    Args:
        module: takes and gives the tensors of `spec`; it stays as it is, where it is.
        free: size given to dims that the spec leaves open, for tracing.
    Raises:
        RunnerError: if ONNX Runtime's numbers differ from torch's.
    """
    copied = copy.deepcopy(module).cpu().float().to(memory_format=torch.contiguous_format).eval()
    return export_onnx(copied, spec, out / spec.file, free=free)


def save_run(
    module: nn.Module,
    spec: NetworkSpec,
    out: Path,
    *,
    recipe: str,
    settings: Mapping[str, object],
    scores: Mapping[str, object],
    free: int = 32,
) -> None:
    """Write the file of `save_network`, and `result.json`: recipe, settings, scores, checksum, machine."""
    difference = save_network(module, spec, out, free=free)
    result: dict[str, object] = {
        "recipe": recipe,
        "settings": dict(settings),
        "scores": dict(scores),
        "onnx_sha256": file_sha256(out / spec.file),
        "onnx_difference_from_torch": difference,
        "torch": torch.__version__,
        "processor": platform.machine(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    init = settings.get("init")
    if isinstance(init, str) and Path(init).is_file():
        result["init_sha256"] = file_sha256(Path(init))  # a path alone does not say which weights
    write_file(out / "result.json", f"{json.dumps(result, indent=2)}\n".encode())
