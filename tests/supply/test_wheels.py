"""What a wheel carries: licences, and the files that its code reads."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from facereg.registry.new_plugin import FILES
from tests.supply.wheels import built

ROOT = Path(__file__).parents[2]
TEMPLATES = {f"facereg/registry/templates/{path.format(role='matcher')}" for path in FILES}


def test_no_checkpoint_lies_beside_the_networks_that_ship() -> None:
    found = {path.suffix for path in ROOT.glob("plugins/*/facereg_*/weights/*")}
    assert ".onnx" in found
    assert found <= {".onnx", ".json", ".npz"}, "training goes on from the ONNX file: see CONTRIBUTING.md"


@pytest.mark.parametrize(
    ("project", "carried"),
    [
        (
            ".",
            {"LICENSE", "facereg/py.typed", "facereg/serving/pins/runtime.txt", "facereg/serving/pins/carrier.txt"}
            | TEMPLATES,
        ),
        (
            "plugins/facereg-mtcnn",
            {"LICENSE", "LICENSE-WEIGHTS", "facereg_mtcnn/weights/pnet.onnx", "facereg_mtcnn/weights/sha256.json"},
        ),
    ],
)
def test_a_wheel_carries_its_licences_and_files(project: str, carried: set[str], tmp_path: Path) -> None:
    wheel = built(ROOT / project, tmp_path)
    with ZipFile(wheel) as file:
        names = {name.partition(".dist-info/licenses/")[2] or name for name in file.namelist()}
        [metadata] = [name for name in file.namelist() if name.endswith("/METADATA")]
        text = file.read(metadata).decode()
    assert carried <= names
    assert [name for name in names if name.endswith((".safetensors", ".ckpt", ".pt"))] == []  # training's
    assert "\nLicense-Expression: MIT" in text
