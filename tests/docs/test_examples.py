"""What the pages show is so: examples run, links lead somewhere, commands and names exist."""

from __future__ import annotations

import doctest
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from importlib.util import module_from_spec, spec_from_file_location
from itertools import takewhile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import facereg
from facereg import errors
from facereg.cli.app import app
from facereg.registry.installed import default_registry
from tests.docs.pages import ROOT, Block, anchors, blocks, commands, links, pages, steps

NOT_RUN = {"train": "hours", "export": "needs a run's checkpoint", "demo": "has its own test", "mtcnn-convert": "torch"}
BROUGHT = ("yunet.onnx", "arcface.onnx", "landmarks.onnx")  # files that FACEREG_WEIGHTS holds


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in ("python", "console")]


WITH_EXAMPLES = [page for page in pages() if page.is_relative_to(ROOT / "docs") or page == ROOT / "README.md"]


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """Examples may register plugins: nobody else sees them."""
    modules = set(sys.modules)
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()
    for name in set(sys.modules) - modules:
        if name.startswith("facereg_"):
            del sys.modules[name]


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize("page", [page for page in WITH_EXAMPLES if runnable(page)], ids=name_of)
def test_the_examples_of_a_page_run_in_order(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    names: dict[str, object] = {"__name__": "example"}
    if "postgresql:///" in page.read_text("utf-8"):
        request.getfixturevalue("database_named_faces")
    for block in runnable(page):
        if any(file in block.text and not (place / file).exists() for file in BROUGHT):
            continue
        if block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)
            continue
        for step in steps(block):
            if step.words[:3] == ("pip", "install", "-e"):
                install(Path(step.words[3]), monkeypatch)
            elif step.words[0] == "facereg" and step.words[1] not in NOT_RUN:
                run(step.words[1:], step.answer)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what pip and the next start of the program would: find the plugin's entry point."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    monkeypatch.syspath_prepend(folder.resolve())
    invalidate_caches()
    for name, module in project["entry-points"]["facereg"].items():
        default_registry().register(import_module(module), name=name, version=project["version"])


def run(arguments: tuple[str, ...], answer: str) -> None:
    """Run a command; what the page shows beneath it must come out, `...` standing for anything."""
    done = CliRunner().invoke(app, list(arguments))
    line = f"facereg {' '.join(arguments)}"
    assert done.exit_code == 0, f"{line}: {done.exception!r} {done.output}"
    if answer.strip():
        agrees = doctest.OutputChecker().check_output(answer, done.stdout, doctest.ELLIPSIS)
        assert agrees, f"{line}\nshown:\n{answer}\ngot:\n{done.stdout}"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)} links to {link}"


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert [name_of(page) for page in sorted((ROOT / "docs").rglob("*.md")) if page not in {index, *linked}] == []


COMMANDS: object = typer.main.get_command(app)  # of click, or of the copy of it in newer typers


def inside(command: object) -> dict[str, object]:
    """Return the commands of a group; a command has none."""
    if not hasattr(command, "list_commands"):
        return {}
    return {name: command.get_command(None, name) for name in command.list_commands(None)}  # type: ignore[attr-defined]


def find(words: tuple[str, ...]) -> tuple[object, int]:
    """Return the command that the words name, and how many words that took."""
    command = COMMANDS
    for used, word in enumerate(words):
        if not inside(command):
            return command, used
        if (default := getattr(command, "default", "")) and word not in inside(command):  # facereg models NAME
            return inside(command)[default], used
        assert word in inside(command), f"there is no command 'facereg {' '.join(words[: used + 1])}'"
        command = inside(command)[word]
    return command, len(words)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page):
        if words[1].isupper() or words[1].startswith("-"):  # facereg COMMAND
            continue
        command, used = find(words[1:])
        if "ignore_unknown_options" in getattr(command, "context_settings", {}):  # a plugin's: it has its own parser
            continue
        known = {"--help", *(name for option in getattr(command, "params", ()) for name in option.opts)}
        own = takewhile(lambda word: word not in ("--", "[--"), words[1 + used :])  # what follows is another program's
        given = {word.partition("=")[0] for word in own if word.startswith("--")}
        assert given <= known, f"{name_of(page)}: {' '.join(words)}: {sorted(given - known)}"


def leaves(command: object, path: str = "facereg") -> Iterator[str]:
    if not inside(command):
        yield path
    for name, one in inside(command).items():
        yield from leaves(one, f"{path} {name}")


def test_the_reference_has_every_command() -> None:
    text = (ROOT / "docs/reference/command-line.md").read_text("utf-8")
    assert [command for command in leaves(COMMANDS) if f"`{command} " not in text and f"`{command}`" not in text] == []


def test_the_reference_has_every_error() -> None:
    text = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    classes = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert len(classes) > 10
    assert [name for name in classes if f"| `{name}` |" not in text] == []


def test_the_changelog_has_every_name_and_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    names = [*facereg.__all__, *inside(COMMANDS)]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", ["python_api", "conformance", "plugins"])
def test_a_written_reference_is_what_its_script_writes(name: str) -> None:
    script = ROOT / f"docs/reference/{name}.py"
    spec = spec_from_file_location(name, script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == module.PAGE.read_text("utf-8"), f"run python docs/reference/{name}.py"
    if name == "python_api":  # what a change shows here changes for plugins and users: say so in CHANGELOG.md
        assert module.signatures() == module.SIGNATURES.read_text("utf-8"), f"run python docs/reference/{name}.py"
