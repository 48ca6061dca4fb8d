"""Imports run one way: no module reaches for one of a higher layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import facereg

ROOT = Path(facereg.__file__).parent
# From the lowest to the highest; those of one line may not import each other, but for the last but one.
LAYERS = (
    ("errors",),
    ("types",),
    ("geometry", "names", "options"),
    ("disk",),
    ("decoding",),
    ("images",),
    ("drawing", "video", "folders", "networks"),
    ("stage",),
    ("roles",),
    ("registry",),
    ("builtin",),
    ("pipeline",),
    ("gallery",),
    ("serving", "collection", "data", "evaluation", "training", "testing", "study"),
    ("cli",),
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
SHARED = LAYERS[-2]  # rooms of one floor, each used by the others: evaluation reads data, training too


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the room of each import of ours in a module, also of those within functions, with its line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module == "facereg":
            names = [alias.name for alias in node.names if (ROOT / alias.name).exists() or _module(alias.name)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facereg."):
            names = [str(node.module).split(".")[1]]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("facereg.")]
        yield from ((name, node.lineno) for name in names)  # type: ignore[attr-defined]


def _module(name: str) -> bool:
    return (ROOT / f"{name}.py").is_file()


TEMPLATES = ROOT / "registry" / "templates"  # files of a plugin to come, not modules of ours
MODULES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if _room(path) not in ("__init__", "__main__") and TEMPLATES not in path.parents
]


def test_every_room_has_its_layer() -> None:
    assert {_room(path) for path in MODULES} == set(HEIGHT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_downwards(path: Path) -> None:
    own = _room(path)
    for room, line in _imported(path):
        if room == own or (room in SHARED and own in SHARED):
            continue
        assert HEIGHT[room] < HEIGHT[own], f"{path}:{line}: {own} imports {room}, which lies higher or beside it"


def test_the_root_holds_few_modules() -> None:
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert len(modules) <= 10, sorted(modules)
