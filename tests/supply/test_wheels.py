"""What a wheel carries: licences, and the files that its code reads."""

from __future__ import annotations

import os
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


def built(project: Path, place: Path) -> Path:
    """Return the wheel of a project, of which a copy is built: nothing is left beside the sources."""
    source = place / "source" / (project.name or "core")
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-WEIGHTS"):
        if (project / name).is_file():
            shutil.copy(project / name, source)
    for package in project.glob("facereg*"):
        if (package / "__init__.py").is_file():
            shutil.copytree(package, source / package.name, ignore=UNWANTED)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "-w", str(source), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = source.glob("*.whl")
    return wheel


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


def test_an_example_from_outside_is_built_installed_found_and_checked(tmp_path: Path) -> None:
    wheels = [built(project, tmp_path) for project in (ROOT, ROOT / "docs/examples/facereg-lbp-cascade")]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", tmp_path / "site"]
    subprocess.run([*map(str, install), *map(str, wheels)], check=True)
    kept = {"PYTHONPATH": str(tmp_path / "site"), "FACEREG_LOAD_PLUGINS": "builtin,lbp-cascade"}
    done = subprocess.run(
        [sys.executable, "-m", "facereg", "plugins", "check", "lbp-cascade", "--json"],
        cwd=tmp_path,
        env=os.environ | kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import facereg_lbp_cascade.plugin, facereg; print(facereg.__file__)"],
        cwd=tmp_path,
        env=os.environ | kept,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tmp_path))  # the wheel's, not this tree's
