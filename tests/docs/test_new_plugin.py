"""`facereg plugins new`: what it writes keeps the contract, is clean, and installs as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TypedDict, get_args

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

import facereg
from facereg.cli.app import app
from facereg.errors import ContractError, FaceregError, PluginError, UnknownNameError
from facereg.registry.installed import Registry
from facereg.registry.new_plugin import create_plugin, plugin_files
from facereg.roles import RoleName
from facereg.testing import run_contract, validate
from facereg.testing.contracts import CONTRACTS
from tests.supply.wheels import built

ROOT = Path(__file__).parents[2]


class Asked(TypedDict, total=False):
    """What `create_plugin` may be asked for."""

    recipe: bool
    command: bool
    author: str
    url: str


ROLES: tuple[RoleName, ...] = get_args(RoleName)
WHOLE = Asked(recipe=True, command=True, author="Ada Lovelace <ada@example.org>", url="https://example.org/ada/mine")
ASKED: dict[RoleName, Asked] = {
    "detector": Asked(),
    "aligner": Asked(command=True, author="Ada Lovelace"),
    "embedder": WHOLE,
    "matcher": WHOLE,
}
SKIPPED = {  # by what a new plugin is: without a network, and of boxes alone
    "aligner": ["landmarks are those of the picture", "landmarks come to lie on the template"],
    "embedder": ["vectors are those of the network that was trained"],
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[RoleName, Path]:
    """One new plugin a role: two with all that may be asked for, one with a half, one without."""
    out = tmp_path_factory.mktemp("plugins")
    return {role: create_plugin(f"tried-{role}", role=role, out=out, **ASKED[role]) for role in ROLES}


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


@pytest.mark.parametrize("name", ["core", "facereg", "a" * 49, "up\nand", "\x1b[31m", "a--b", "A", "", "-a", "é"])
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


@pytest.mark.parametrize("name", ["a", "a-studio-s-face-stage", "x" * 48, "-".join(["words"] * 8)], ids=len)
def test_a_new_plugin_of_any_name_is_clean_for_ruff(name: str, tmp_path: Path) -> None:
    for role in ROLES:
        create_plugin(name, role=role, out=tmp_path / role, recipe=True, command=True)
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_new_plugin_is_clean_for_mypy(plugins: dict[RoleName, Path]) -> None:
    packages = [str(folder / f"facereg_tried_{role}") for role, folder in plugins.items()]
    tests = {path.name: str(path) for folder in plugins.values() for path in (folder / "tests").glob("test_*.py")}
    # In the project's folder: its settings are strict, and what `make lint` has read is not read again.
    command = [sys.executable, "-m", "mypy", "--strict", *packages, *tests.values()]
    path = os.pathsep.join(map(str, plugins.values()))
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"MYPYPATH": path}, capture_output=True, text=True)
    ours = [line for line in done.stdout.splitlines() if "facereg-tried-" in line]
    assert ours == []
    assert "source files" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(plugins: dict[RoleName, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(plugins["matcher"], tmp_path_factory.mktemp("wheel"))


def test_an_index_would_take_the_wheel_of_a_new_plugin(wheel: Path) -> None:
    pytest.importorskip("twine", reason="make .venv/docs.installed brings twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_of_a_new_plugin_is_valid(wheel: Path) -> None:
    assert [outcome for outcome in validate(str(wheel)) if not outcome.passed] == []


def test_an_installed_plugin_is_found_and_checked(wheel: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*install, "--target", str(tmp_path / "site"), str(wheel)], check=True, capture_output=True)
    command = [sys.executable, "-m", "facereg", "plugins", "check", "tried-matcher"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("passed tried-matcher ") for line in done.stdout.splitlines())


def test_what_was_asked_for_is_there_and_nothing_else(plugins: dict[RoleName, Path]) -> None:
    for role, folder in plugins.items():
        asked = ASKED[role]
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        for name in ("recipe", "command"):
            held = [path.name for path in folder.rglob(f"*{name}*.py")]
            assert len(held) == (2 if asked.get(name) else 0)  # the module and its test
            assert (f"facereg_{name}s" in (folder / f"facereg_tried_{role}/plugin.py").read_text("utf-8")) == bool(held)
        assert project.get("urls", {}).get("Repository", "") == asked.get("url", "")
        assert project["authors"][0]["name"] in (folder / "LICENSE").read_text("utf-8")
        text = "".join(path.read_text("utf-8") for path in folder.rglob("*") if path.is_file())
        assert [word for word in ("new-name", "NewStage", "new author", "new year", "new option") if word in text] == []
    assert project["authors"] == [{"name": "Ada Lovelace", "email": "ada@example.org"}]


def test_the_bounds_on_the_core_hold_for_this_one() -> None:
    project = tomllib.loads(plugin_files("mine", "matcher")["pyproject.toml"])["project"]
    [core] = [Requirement(line) for line in project["dependencies"]]
    assert core.name == "facereg-core"
    assert core.specifier.contains(facereg.__version__)
    assert not core.specifier.contains("0.0.9")
    assert not core.specifier.contains("1.0")


@pytest.mark.parametrize(
    "author", ["<ada@example.org>", 'Ada "x"', "Ada\nLovelace", "Ada <ada>", "Ada\\", "Ada <a@b> x"]
)
def test_an_author_that_does_not_read_is_one_line(author: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="author: expected a line like 'Ada Lovelace <ada@example.org>', got"):
        create_plugin("mine", role="matcher", out=tmp_path, author=author)


@pytest.mark.parametrize("url", ["example.org", "https://", 'https://a"b', "ftp://a.b", "https://a b"])
def test_an_address_that_does_not_read_is_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="url: expected an address like 'https://example.org/me/mine', got"):
        create_plugin("mine", role="matcher", out=tmp_path, url=url)


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
        ".github/workflows/ci.yml",
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "facereg_flat_detector/__init__.py",
        "facereg_flat_detector/detector.py",
        "facereg_flat_detector/plugin.py",
        "facereg_flat_detector/py.typed",
        "pyproject.toml",
        "tests/test_detector.py",
    ]
    assert "class FlatDetector(Detector)" in (Path(written["folder"]) / "facereg_flat_detector/detector.py").read_text()
