"""Public is what is exported: a plugin needs no more, and reading the packages costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import facereg
import facereg.collection
import facereg.evaluation
import facereg.testing
import facereg.training
from facereg.registry.new_plugin import plugin_files
from facereg.roles import RoleName

ROOT = Path(__file__).parents[1]
PUBLIC = {"facereg", "facereg.gallery", "facereg.testing", "facereg.training"}
LAZY = (facereg, facereg.collection, facereg.evaluation, facereg.training)
PRODUCT = sorted(path for path in ROOT.glob("plugins/*/facereg_*/**/*.py"))


def _wrong_imports(text: str) -> list[str]:
    """Return the imports of facereg's that are not of names which a public package exports."""
    wrong = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            wrong += [alias.name for alias in node.names if alias.name.split(".")[0] == "facereg"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "facereg":
            exported = import_module(str(node.module)).__all__ if node.module in PUBLIC else []
            wrong += [f"{node.module}:{alias.name}" for alias in node.names if alias.name not in exported]
    return wrong


def test_an_import_of_what_is_not_exported_is_seen() -> None:
    text = "import facereg.roles\nfrom facereg import Detector, roles\nfrom facereg.types import Faces"
    assert _wrong_imports(text) == ["facereg.roles", "facereg:roles", "facereg.types:Faces"]


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: path.relative_to(ROOT / "plugins").as_posix())
def test_plugins_import_what_is_exported(path: Path) -> None:
    assert _wrong_imports(path.read_text("utf-8")) == []


@pytest.mark.parametrize("role", get_args(RoleName))
def test_new_plugins_import_what_is_exported(role: RoleName) -> None:
    files = {path: text for path, text in plugin_files("tried", role).items() if path.endswith(".py")}
    assert len(files) > 3
    assert {path: wrong for path, text in files.items() if (wrong := _wrong_imports(text))} == {}


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_checkers_see_the_names_that_are_given_at_run_time(package: ModuleType) -> None:
    [path] = [Path(str(package.__file__))]
    [block] = [node for node in ast.parse(path.read_text("utf-8")).body if ast.unparse(node).startswith("if TYPE_")]
    seen = {
        alias.name: node.module for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: module for module, names in package._HOMES.items() for name in names.split()}
    assert {*package.__all__} - {"CONTRACT"} == {*seen}


@pytest.mark.parametrize("package", [*LAZY, facereg.testing], ids=lambda package: package.__name__)
def test_every_exported_name_is_there(package: ModuleType) -> None:
    assert [name for name in package.__all__ if getattr(package, name, None) is None] == []
    assert {*package.__all__} <= {*dir(package)}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_packages_are_read_without_what_their_names_need() -> None:
    code = (
        "import sys, facereg, facereg.training\n"
        "from facereg.training import parse_settings, held_out, LabelledImage, whole_file\n"
        "from facereg import ModelSpec, Detector, Networks\n"
        "print(sorted({'torch', 'lightning', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
