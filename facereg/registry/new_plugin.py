"""A new plugin: a distribution whose one model keeps the contract, for its author to put a better model in."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from facereg.disk.replacing import whole_folder
from facereg.errors import ContractError, PluginError, UnknownNameError
from facereg.options import printable
from facereg.roles import RoleName

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TAKEN = frozenset({"core", "facereg"})  # facereg-core is the library's own distribution

# templates/ holds a distribution that ruff and mypy read like any other; create_plugin replaces these words in it.
WORDS = re.compile("facereg_new_name|new-name|NewStage|new summary|detector")
FILES = (
    "pyproject.toml",
    "README.md",
    "facereg_new_name/__init__.py",
    "facereg_new_name/py.typed",
    "facereg_new_name/plugin.py",
    "facereg_new_name/{role}.py",
    "tests/test_{role}.py",
)
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
    if role not in SUMMARIES:
        raise UnknownNameError(f"no role named {role!r}; expected one of: {', '.join(SUMMARIES)}")
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
    words = name.split("-")
    if words[-1] != role or len(words) == 1:  # the role's own name is taken, by the class that this one subclasses
        words.append(role)
    values = {
        "facereg_new_name": f"facereg_{name.replace('-', '_')}",
        "new-name": name,
        "NewStage": "".join(word.capitalize() for word in words),
        "new summary": SUMMARIES[role],
        "detector": role,
    }

    def filled(text: str) -> str:
        return WORDS.sub(lambda word: values[word[0]], text)

    template = resources.files("facereg.registry") / "templates"
    paths = [path.format(role=role) for path in FILES]
    return {filled(path): filled((template / path).read_text("utf-8")) for path in paths}
