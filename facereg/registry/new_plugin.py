"""A new plugin: a distribution whose one model keeps the contract, for its author to put a better model in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path, PurePath

from facereg.disk.replacing import whole_folder
from facereg.errors import ContractError, PluginError, UnknownNameError
from facereg.options import printable
from facereg.roles import RoleName

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MOST_LETTERS = 48  # of a name: lines with the names made of it are within what ruff format leaves alone
TAKEN = frozenset({"core", "facereg"})  # facereg-core is the library's own distribution

AUTHOR = re.compile(r'[^<>"\\]*[^<>"\\\s]( <[^<>"\\\s@]+@[^<>"\\\s@]+>)?')
ADDRESS = re.compile(r'https?://[^\s"\\]*[^\s"\\/]')

# templates/ holds a distribution that ruff and mypy read like any other; create_plugin replaces these words in it.
WORDS = re.compile(
    'facereg_new_name|new-name|NewStage|new summary|new option|new year|name = "new author"|new author|new address'
    "|detector"
)
FILES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "gitignore",
    "ci.yml",
    "facereg_new_name/__init__.py",
    "facereg_new_name/py.typed",
    "facereg_new_name/plugin.py",
    "facereg_new_name/{role}.py",
    "tests/test_{role}.py",
)
PLACES = {"gitignore": ".gitignore", "ci.yml": ".github/workflows/ci.yml"}  # wheels leave out what begins with a dot


@dataclass(frozen=True, slots=True)
class Part:
    """What a new plugin has where it is asked for.

    Args:
        files: of templates/, there for this part alone.
        marks: a paragraph of another file with one of these goes where the part is not asked for.
        imported: a name that `plugin.py` imports for it.
    """

    files: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    imported: str = ""


RECIPE = Part(
    ("facereg_new_name/recipe.py", "tests/test_recipe.py"), ("def facereg_recipes", "Train\n"), ", RecipeSpec"
)
COMMAND = Part(
    ("facereg_new_name/commands.py", "tests/test_commands.py"), ("def facereg_commands", "Command\n"), "CommandSpec, "
)
URLS = Part(marks=("project.urls]",))
PARAGRAPHS = {".py": "\n\n\n", ".md": "\n\n## ", ".toml": "\n\n["}  # what goes between those of a file
SUMMARIES: dict[RoleName, str] = {
    "detector": "regions of the colour of skin, five landmarks guessed from the box",
    "aligner": "the upright square about each box; needs no landmarks",
    "embedder": "colours of a grid of cells, 192-d",
    "matcher": "every vector compared, person by person",
}
OPTIONS: dict[RoleName, str] = {
    "detector": "`least` (24 px): narrower regions are no faces",
    "aligner": "`margin` (0): how much is seen around the box on each side, over its longer side",
    "embedder": "`cells` (8) along each side of a crop: 4, 8 or 16; `flip` (true) adds the mirrored crop",
    "matcher": "`of_several` (best): which of a person's similarities counts, the best or their mean",
}


def create_plugin(
    name: str,
    *,
    role: str,
    out: Path,
    recipe: bool = False,
    command: bool = False,
    author: str = "",
    url: str = "",
) -> Path:
    """Write the distribution `facereg-NAME` into a new folder of `out` and return that folder.

    It holds what a publisher expects: pyproject.toml, LICENSE (MIT), README.md as a model card, CHANGELOG.md, a CI
    file, the package `facereg_NAME` with a model NAME that keeps the contract of its role and has typed options, and
    tests. The folder appears whole or not at all.

    Args:
        recipe, command: whether it has a recipe NAME to train by, and a command NAME-colours.
        author: `NAME <EMAIL>`, or a name; default: the authors of facereg-NAME.
        url: of its repository; default: none is stated.
    Raises:
        ContractError: if the name is not made of small letters, digits and single hyphens, or the author or the address
            do not read.
        UnknownNameError: if there is no such role.
        PluginError: if the folder is there already or cannot be written.
    """
    if not NAME.fullmatch(name) or name.startswith("facereg-") or name in TAKEN or len(name) > MOST_LETTERS:
        raise ContractError(
            f"name: expected small letters, digits and single hyphens, at most {MOST_LETTERS}, without 'facereg-' and "
            f"none of {', '.join(sorted(TAKEN))}, got {printable(name)!r}; "
            "choose one like 'skin-colour'"
        )
    if role not in SUMMARIES:
        raise UnknownNameError(f"no role named {role!r}; expected one of: {', '.join(SUMMARIES)}")
    if author and not (AUTHOR.fullmatch(author) and author.isprintable()):
        raise ContractError(f"author: expected a line like 'Ada Lovelace <ada@example.org>', got {printable(author)!r}")
    if url and not ADDRESS.fullmatch(url):
        raise ContractError(f"url: expected an address like 'https://example.org/me/mine', got {printable(url)!r}")
    parts = [part for part, wanted in ((RECIPE, recipe), (COMMAND, command), (URLS, bool(url))) if wanted]
    folder = out / f"facereg-{name}"
    if folder.exists():
        raise PluginError(f"{folder}: this folder is there already; choose another name, or another --out")
    try:
        with whole_folder(folder) as unfinished:
            for path, text in plugin_files(name, role, parts, author=author, url=url).items():
                (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
                (unfinished / path).write_text(text, "utf-8")
    except OSError as error:
        raise PluginError(f"{folder}: cannot be written ({error.strerror}); check the folder given as --out") from error
    return folder


def plugin_files(
    name: str, role: RoleName, parts: Sequence[Part] = (), *, author: str = "", url: str = ""
) -> dict[str, str]:
    """Return the text of each file of a new plugin, by its path; see `create_plugin`."""
    words = name.split("-")
    if words[-1] != role or len(words) == 1:  # the role's own name is taken, by the class that this one subclasses
        words.append(role)
    who, _, email = (author or f"the authors of facereg-{name}").removesuffix(">").partition(" <")
    values = {
        "facereg_new_name": f"facereg_{name.replace('-', '_')}",
        "new-name": name,
        "NewStage": "".join(word.capitalize() for word in words),
        "new summary": SUMMARIES[role],
        "new option": OPTIONS[role],
        "new year": str(date.today().year),
        'name = "new author"': f'name = "{who}"' + (f', email = "{email}"' if email else ""),
        "new author": who,
        "new address": url,
        "detector": role,
    }

    def filled(text: str) -> str:
        return WORDS.sub(lambda word: values[word[0]], text)

    absent = [part for part in (RECIPE, COMMAND, URLS) if part not in parts]
    template = resources.files("facereg.registry") / "templates"
    paths = [path.format(role=role) for path in (*FILES, *(file for part in parts for file in part.files))]
    texts = {path: (template / path).read_text("utf-8") for path in paths}
    return {filled(PLACES.get(path, path)): filled(_without(absent, path, text)) for path, text in texts.items()}


def _without(absent: Sequence[Part], path: str, text: str) -> str:
    """Return the text of a file without the paragraphs and imports of parts that were not asked for."""
    between = PARAGRAPHS.get(PurePath(path).suffix)
    if between is None:
        return text
    marks = [mark for part in absent for mark in part.marks]
    kept = [one for one in text.split(between) if not any(mark in one for mark in marks)]
    text = between.join(kept).rstrip() + "\n" if text else text
    for part in absent:
        text = text.replace(part.imported, "") if part.imported else text
    return text
