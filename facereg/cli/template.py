"""plugins new: a distribution with one model that keeps the contract, to be filled with a better one."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from facereg.cli.template_stages import IMPORTS_OF_TESTS, MAKES, STAGES, TESTS
from facereg.disk.replacing import whole_folder
from facereg.errors import ContractError, PluginError, UnknownNameError
from facereg.options import printable
from facereg.roles import RoleName

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TAKEN = frozenset({"core", "facereg"})  # facereg-core is the library's own distribution

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "facereg-$name"
version = "0.1.0"
description = "The $role $name, for facereg"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["facereg-core>=0.1"]

[project.optional-dependencies]
dev = ["pytest>=8", "scikit-image>=0.22"]

[project.entry-points.facereg]
$name = "$package.plugin"

[tool.setuptools.packages.find]
include = ["$package*"]

[tool.setuptools.package-data]
$package = ["weights/*", "py.typed"]

[tool.ruff]
line-length = 120

[tool.ruff.lint]
select = ["E", "F", "W", "I", "B", "UP"]

[tool.mypy]
strict = true

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""

README = """\
# facereg-$name

The $role `$name` for facereg.

| | |
|---|---|
| what | $summary |
| trained on | nothing: no weights |
| licence | not stated yet |

```console
$$ pip install -e ".[dev]"
$$ pytest
$$ facereg plugins check $name
```

What to write: `$package/$role.py`. What people read in `facereg models`: `$package/plugin.py`. Weights go into \
`$package/weights/`, each with a `NetworkSpec` in `plugin.py` that names its tensors and its sha256.
"""

PLUGIN = '''\
"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg.registry.hooks import ModelSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="$name",
            role="$role",
            factory="$package.$role:$stage",
            summary="$summary",
        )
    ]
'''

TEST = '''\
"""The $role keeps the contract, and what is its own."""

from __future__ import annotations

$imports

from $package import plugin
from $package.$role import $stage


class TestItKeepsTheContract(${kind}Contract):
    def make(self) -> $kind:
        return $make


def test_it_is_found_by_name() -> None:
    registry = Registry()
    registry.register(plugin, name="$name")
    with registry.create("$name", role="$role"$options) as made:
        assert isinstance(made, $stage)

'''

SUMMARIES: dict[RoleName, str] = {
    "detector": "regions of the colour of skin, five landmarks guessed from the box",
    "aligner": "the upright square about each box; needs no landmarks",
    "embedder": "colours of a grid of cells, 192-d",
    "matcher": "every vector compared, person by person",
}


def create_plugin(name: str, *, role: str, out: Path) -> Path:
    """Write the distribution `facereg-NAME` into a new folder of `out` and return that folder.

    It holds pyproject.toml, README.md, the package `facereg_NAME` with a model NAME that keeps the contract of its
    role, and tests. The folder appears whole or not at all.

    Raises:
        ContractError: if the name is not made of small letters, digits and single hyphens.
        UnknownNameError: if there is no such role.
        PluginError: if the folder is there already or cannot be written.
    """
    if not NAME.fullmatch(name) or name.startswith("facereg-") or name in TAKEN or len(name) > 60:
        raise ContractError(
            f"name: expected small letters, digits and single hyphens, at most 60, without 'facereg-' and none of "
            f"{', '.join(sorted(TAKEN))}, got {printable(name)!r}; "
            "choose one like 'skin-colour'"
        )
    if role not in STAGES:
        raise UnknownNameError(f"no role named {role!r}; expected one of: {', '.join(STAGES)}")
    folder = out / f"facereg-{name}"
    if folder.exists():
        raise PluginError(f"{folder}: this folder is there already; choose another name, or another --out")
    try:
        with whole_folder(folder) as unfinished:
            for path, text in plugin_files(name, role).items():
                (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
                (unfinished / path).write_text(text, "utf-8")
    except OSError as error:
        raise PluginError(f"{folder}: cannot be written ({error.strerror}); check the folder given as --out") from error
    return folder


def plugin_files(name: str, role: RoleName) -> dict[str, str]:
    """Return the text of each file of a new plugin, by its path."""
    package = f"facereg_{name.replace('-', '_')}"
    words = name.split("-")
    if words[-1] != role or len(words) == 1:  # the role's own name is taken, by the class that this one subclasses
        words.append(role)
    stage = "".join(word.capitalize() for word in words)
    values = {
        "name": name,
        "role": role,
        "package": package,
        "kind": role.capitalize(),
        "stage": stage,
        "summary": SUMMARIES[role],
        "imports": IMPORTS_OF_TESTS[role],
        "make": f"{stage}({MAKES[role]})",
        "options": f", {MAKES[role]}" if MAKES[role] else "",
    }

    def filled(text: str) -> str:
        return Template(text).substitute(values)

    return {
        "pyproject.toml": filled(PYPROJECT),
        "README.md": filled(README),
        f"{package}/__init__.py": filled('"""The $role $name, for facereg."""\n'),
        f"{package}/py.typed": "",
        f"{package}/plugin.py": filled(PLUGIN),
        f"{package}/{role}.py": filled(STAGES[role]),
        f"tests/test_{role}.py": filled(TEST + TESTS[role]),
    }
