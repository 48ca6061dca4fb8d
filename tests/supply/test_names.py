"""Nothing of ours asks for `facereg`: in the package index that name is another project's; ours is `facereg-core`."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from facereg.registry.new_plugin import plugin_files

ROOT = Path(__file__).parents[2]
CORE = "facereg-core"
# A command of pip or uv, and what it is asked to install: words up to the end of the line, the quotes or the command.
INSTALL = re.compile(r"(?:pip3?|uv|pipx) (?:install|add|download)\s+([^\n`;|&\"]*)")
THEIRS = re.compile(r"['\"]?facereg(?:\[[^\]]*\])?(?:[=<>~!].*)?['\"]?")


def projects() -> dict[str, dict[str, object]]:
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in ROOT.glob("plugins/*/pyproject.toml")
    }
    files["pyproject.toml"] = (ROOT / "pyproject.toml").read_text("utf-8")
    files["plugins new"] = plugin_files("tried", "detector")["pyproject.toml"]
    return {name: tomllib.loads(text)["project"] for name, text in files.items()}


def requirements(project: dict[str, object]) -> Iterator[Requirement]:
    optional = project.get("optional-dependencies", {})
    assert isinstance(optional, dict)
    dependencies = project.get("dependencies", [])
    assert isinstance(dependencies, list)
    yield from map(Requirement, [*dependencies, *(line for lines in optional.values() for line in lines)])


@pytest.mark.parametrize("name", list(projects()))
def test_no_project_depends_on_the_name_of_another_project(name: str) -> None:
    project = projects()[name]
    assert canonicalize_name(str(project["name"])) != "facereg"
    assert "facereg" not in {canonicalize_name(one.name) for one in requirements(project)}


def test_a_new_plugin_and_ours_depend_on_the_core() -> None:
    needing = {name for name, project in projects().items() if CORE in {one.name for one in requirements(project)}}
    assert needing >= {name for name in projects() if name.startswith("plugins")}


def test_the_core_keeps_its_import_name() -> None:
    assert projects()["pyproject.toml"]["name"] == CORE
    assert (ROOT / "facereg" / "__init__.py").is_file()


BINARY = {".onnx", ".safetensors", ".npz", ".png", ".jpg"}


def test_no_message_page_or_script_says_to_install_the_name_of_another_project() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout: which files are the project's own is not known")
    wrong = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file() or path.suffix in BINARY:
            continue
        for found in INSTALL.finditer(path.read_text("utf-8")):
            wrong += [f"{name}: {found[0]}" for word in found[1].split() if THEIRS.fullmatch(word.rstrip(",."))]
    assert wrong == []


@pytest.mark.parametrize("word", ["facereg", "'facereg[train]'", "facereg>=0.1", "facereg[app]==0.1.0"])
def test_the_search_for_that_name_finds_it(word: str) -> None:
    found = INSTALL.search(f"needs torch; pip install {word}, or use another")
    assert found is not None
    assert THEIRS.fullmatch(found[1].split()[0].rstrip(","))
