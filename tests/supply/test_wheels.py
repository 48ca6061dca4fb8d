"""What a wheel carries: licences, and the files that its code reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from facereg.registry.new_plugin import FILES

ROOT = Path(__file__).parents[2]
UNWANTED = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "*.png", ".*")
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
    source = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-WEIGHTS"):
        if (ROOT / project / name).is_file():
            source.mkdir(exist_ok=True)
            shutil.copy(ROOT / project / name, source)
    for package in (ROOT / project).glob("facereg*"):
        if (package / "__init__.py").is_file():
            shutil.copytree(package, source / package.name, ignore=UNWANTED)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "-w", str(tmp_path), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as file:
        names = {name.partition(".dist-info/licenses/")[2] or name for name in file.namelist()}
        [metadata] = [name for name in file.namelist() if name.endswith("/METADATA")]
        text = file.read(metadata).decode()
    assert carried <= names
    assert [name for name in names if name.endswith((".safetensors", ".ckpt", ".pt"))] == []  # training's
    assert "\nLicense-Expression: MIT" in text
