"""Weights in and out: ONNX files from torch modules, ours or the published ones."""

from __future__ import annotations

import json
from pathlib import Path

from facereg import WeightsError
from facereg.training import file_sha256, read_checkpoint
from facereg.training import save_network as save_checked
from facereg_mtcnn.networks import BUILDERS, DeployedONet, DeployedPNet, DeployedRNet
from facereg_mtcnn.plugin import networks


def save_network(module: DeployedPNet | DeployedRNet | DeployedONet, name: str, out: Path) -> Path:
    """Write NAME.onnx (checked against torch) and its checksum to `out`; return the file.

    The landmark task of P- and R-Net only helps training: the file keeps its tensors, and no output.
    """
    spec = {spec.name: spec for spec in networks()}[f"mtcnn-{name}"]
    path = out / spec.file
    save_checked(module, spec, out, free=31)
    checksums = out / "sha256.json"
    known = json.loads(checksums.read_text("utf-8")) if checksums.exists() else {}
    known[path.name] = file_sha256(path)
    checksums.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    return path


def convert_published(folder: Path, out: Path) -> None:
    """Turn published state dicts (`pnet.pt rnet.pt onet.pt`, as facenet-pytorch ships them) into ONNX files.

    Then `--weights detector=OUT` on the command line, or `weights={"detector": OUT}` in Python, uses them.

    Raises:
        WeightsError: if a file is missing or holds other tensors.
    """
    for name, build in BUILDERS.items():
        path = folder / f"{name}.pt"
        if not path.is_file():
            raise WeightsError(
                f"{path}: expected a published state dict, found none; name the folder that holds all three"
            )
        module = build()
        state = read_checkpoint(path, expected="a published state dict")
        try:
            missing, unexpected = module.network.load_state_dict(state, strict=False)
        except RuntimeError as error:  # other shapes
            raise WeightsError(f"{path}: expected the tensors of {name}, got others of its names") from error
        if unexpected or any(not key.startswith("points.") for key in missing):
            raise WeightsError(
                f"{path}: expected the tensors of {name}, got others: {', '.join([*missing, *unexpected][:4])}"
            )
        save_network(module, name, out)
