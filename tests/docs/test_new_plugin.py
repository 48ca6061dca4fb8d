"""`facereg plugins new`: what it writes keeps the contract, is clean, and installs as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from facereg.cli.app import app
from facereg.errors import ContractError, FaceregError, PluginError, UnknownNameError
from facereg.registry.installed import Registry
from facereg.registry.new_plugin import create_plugin, plugin_files
from facereg.roles import RoleName
from facereg.testing import run_contract
from facereg.testing.contracts import CONTRACTS

ROOT = Path(__file__).parents[2]
ROLES: tuple[RoleName, ...] = get_args(RoleName)
SKIPPED = {  # by what a new plugin is: without a network, and of boxes alone
    "aligner": ["landmarks come to lie on the template"],
    "embedder": ["vectors are those of the network that was trained"],
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[RoleName, Path]:
    """One new plugin a role."""
    out = tmp_path_factory.mktemp("plugins")
    return {role: create_plugin(f"tried-{role}", role=role, out=out) for role in ROLES}


@pytest.fixture
def importable(plugins: dict[RoleName, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for folder in plugins.values():
        monkeypatch.syspath_prepend(folder)
    invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.startswith("facereg_tried_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("role", ROLES)
def test_a_new_plugin_keeps_every_check_of_its_role(role: RoleName) -> None:
    registry = Registry()
    registry.register(import_module(f"facereg_tried_{role}.plugin"), name=f"tried-{role}")
    outcomes = list(run_contract(f"tried-{role}", registry))
    assert [outcome.message for outcome in outcomes if outcome.failed] == []
    assert [outcome.check for outcome in outcomes if outcome.skipped] == SKIPPED.get(role, [])
    assert len(outcomes) == sum(name.startswith("test_") for name in dir(CONTRACTS[role]))


@pytest.mark.parametrize("role", ROLES)
def test_a_plugin_named_after_its_role_has_a_class_of_its_own(role: RoleName) -> None:
    assert f"class {role.capitalize()}{role.capitalize()}(" in plugin_files(role, role)[f"facereg_{role}/{role}.py"]


@pytest.mark.parametrize("name", ["core", "facereg", "a" * 61, "up\nand", "\x1b[31m", "a--b", "A", "", "-a", "é"])
def test_a_name_that_cannot_be_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        create_plugin(name, role="detector", out=tmp_path)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("role", ROLES)
def test_the_tests_of_a_new_plugin_pass(plugins: dict[RoleName, Path], role: RoleName) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=plugins[role], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_a_new_plugin_is_clean_for_ruff(plugins: dict[RoleName, Path], arguments: list[str]) -> None:
    command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", *map(str, plugins.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_new_plugin_is_clean_for_mypy(plugins: dict[RoleName, Path]) -> None:
    packages = [str(folder / f"facereg_tried_{role}") for role, folder in plugins.items()]
    tests = [str(folder / "tests" / f"test_{role}.py") for role, folder in plugins.items()]
    # In the project's folder: its settings are strict, and what `make lint` has read is not read again.
    command = [sys.executable, "-m", "mypy", "--strict", *packages, *tests]
    path = os.pathsep.join(map(str, plugins.values()))
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"MYPYPATH": path}, capture_output=True, text=True)
    ours = [line for line in done.stdout.splitlines() if "facereg-tried-" in line]
    assert ours == []
    assert "source files" in done.stdout, done.stdout + done.stderr


def test_an_installed_plugin_is_found_and_checked(plugins: dict[RoleName, Path], tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(tmp_path), str(plugins["matcher"])], check=True, capture_output=True)
    command = [sys.executable, "-m", "facereg", "plugins", "check", "tried-matcher"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("passed tried-matcher ") for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", ["", "Skin", "2d", "skin_colour", "-skin", "skin--colour", "../skin", "facereg-skin"])
def test_a_bad_name_is_one_clear_line_and_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="name: expected small letters.*choose one like") as caught:
        create_plugin(name, role="detector", out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_role_lists_the_roles(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no role named 'tracker'; expected one of: detector, aligner, emb"):
        create_plugin("mine", role="tracker", out=tmp_path)
    assert CliRunner().invoke(app, ["plugins", "new", "mine", "--role", "tracker"]).exit_code == 2


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    held = tmp_path / "facereg-mine" / "notes.txt"
    held.parent.mkdir()
    held.write_text("mine", "utf-8")
    with pytest.raises(PluginError, match="facereg-mine: this folder is there already"):
        create_plugin("mine", role="matcher", out=tmp_path)
    assert [path.name for path in held.parent.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(PluginError, match="facereg-mine: cannot be written.*--out"):
        create_plugin("mine", role="matcher", out=tmp_path / "file")


def test_a_name_that_is_installed_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plugins", "new", "five-point", "--role", "aligner", "--out", str(tmp_path)])
    assert isinstance(done.exception, FaceregError)
    assert "'five-point' is taken" in str(done.exception)


def test_the_json_lists_the_files(tmp_path: Path) -> None:
    arguments = ["plugins", "new", "flat-detector", "--role", "detector", "--out", str(tmp_path), "--json"]
    written = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert written["files"] == [
        "README.md",
        "facereg_flat_detector/__init__.py",
        "facereg_flat_detector/detector.py",
        "facereg_flat_detector/plugin.py",
        "facereg_flat_detector/py.typed",
        "pyproject.toml",
        "tests/test_detector.py",
    ]
    assert "class FlatDetector(Detector)" in (Path(written["folder"]) / "facereg_flat_detector/detector.py").read_text()
