"""Write plugins.md, a row for every model of the plugins here, from their specs: `python docs/reference/plugins.py`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from facereg import ModelSpec, Registry

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("plugins.md")
HEAD = """\
# Plugins

Every model of the plugins in this repository, and of the [examples from outside](../README.md#learn), as their specs \
state it. `facereg plugins list` says what is installed with you. A plugin of yours: \
[write it](../tutorials/first-plugin.md), then [publish it](../how-to/publish-a-plugin.md).

Measured: by which `facereg evaluate`, in [the results](../explanation/results.md); thresholds and training are in the \
plugin's card. Written by [`plugins.py`](plugins.py).

| plugin | model | role | licence | weights, MB | measured |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the page as Markdown."""
    measured: dict[str, set[str]] = {}
    for path in (ROOT / "results").glob("*.json"):
        held = json.loads(path.read_text("utf-8"))
        words = held.get("command", "").split() if isinstance(held, dict) else []
        if words[:2] == ["facereg", "evaluate"]:
            for name in held["models"].values():
                measured.setdefault(name, set()).add(words[2])
    return HEAD + "".join(
        f"| [{folder.name}](../../{folder.relative_to(ROOT)}/README.md) | `{model.full_name}` | {model.role} "
        f"| {model.licence} | {_megabytes(model)} | {', '.join(sorted(measured.get(model.full_name, ())))} |\n"
        for folder, registry in _plugins()
        for spec in registry.models()
        for model in (spec, *map(spec.tagged, spec.weights))  # none that a user added
    )


def _plugins() -> Iterator[tuple[Path, Registry]]:
    """Yield the folder of each plugin, and what it brings."""
    for file in sorted(ROOT.glob("plugins/*/pyproject.toml")) + sorted(ROOT.glob("docs/examples/*/pyproject.toml")):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        sys.path.append(str(file.parent))
        registry = Registry()
        for name, module in project["entry-points"]["facereg"].items():
            registry.register(import_module(module), name=name)
        sys.path.pop()
        yield file.parent, registry


def _megabytes(model: ModelSpec) -> str:
    if not model.networks:
        return "none"
    paths = [Path(str(files(one.package))) / "weights" / one.file for one in model.networks]
    if not all(path.is_file() for path in paths):
        return "of another package" if model.networks[0].installed else "yours"
    return f"{sum(path.stat().st_size for path in paths) / 1e6:.1f}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
