"""plugins list, plugins check, plugins validate, plugins new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, answer
from facereg.cli.streams import complain
from facereg.errors import PluginError
from facereg.registry.installed import default_registry
from facereg.roles import RoleName

if TYPE_CHECKING:
    from facereg.testing.contracts import Outcome

plugins = typer.Typer(help="What is installed, and whether it keeps the contract.", no_args_is_help=True)


@plugins.command("list")
def list_(json: Json = False) -> None:
    """List the plugins found, and why any failed. Example: facereg plugins list"""
    for state in default_registry().plugins:
        tail = "; ".join(filter(None, [", ".join(state.models), state.reason]))
        answer(json, asdict(state), f"{state.state:8} {state.name} {state.version}: {tail}")


@plugins.command()
def check(
    name: Annotated[str, typer.Argument(help="A plugin or a model.")],
    weights: Annotated[str | None, typer.Option(help="Folder or file that stands in for the models' own.")] = None,
    json: Json = False,
) -> None:
    """Run the conformance checks on a plugin's models. Example: facereg plugins check mtcnn"""
    from facereg.testing.contracts import run_contract

    _tell(run_contract(name, default_registry(), weights=weights), json)


@plugins.command()
def validate(
    target: Annotated[
        str | None, typer.Argument(help="A wheel, or an installed distribution, plugin or module; default: all.")
    ] = None,
    json: Json = False,
) -> None:
    """Check what plugins say and ship, without running a model.

    Example: facereg plugins validate dist/facereg_skin_colour-0.1.0-py3-none-any.whl
    """
    from facereg.testing.plugins import validate

    targets = [target] if target else sorted(state.name for state in default_registry().plugins)
    _tell((outcome for one in targets for outcome in validate(one)), json)


def _tell(found: Iterable[Outcome], json: bool) -> None:
    """Print outcomes and their sum.

    Raises:
        Exit: with status 1, if a check failed.
    """
    outcomes = []
    for outcome in found:
        outcomes.append(outcome)
        tail = f": {outcome.message}" if outcome.message else ""
        word = "passed" if outcome.passed else "skipped" if outcome.skipped else "FAILED"
        answer(json, asdict(outcome), f"{word} {outcome.model} {outcome.check}{tail}")
    failed, skipped = (sum(getattr(outcome, word) for outcome in outcomes) for word in ("failed", "skipped"))
    passed = len(outcomes) - failed - skipped
    complain(f"{len(outcomes)} checks: {passed} passed, {skipped} skipped, {failed} failed")
    if failed:
        raise typer.Exit(1)


@plugins.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the model; the distribution becomes facereg-NAME.")],
    role: Annotated[RoleName, typer.Option(help="What the model does.")],
    out: Annotated[Path, typer.Option("--out", help="Folder that the new folder goes into.")] = Path(),
    recipe: Annotated[bool, typer.Option("--recipe", help="With a recipe to train by.")] = False,
    command: Annotated[bool, typer.Option("--command", help="With a command of its own.")] = False,
    author: Annotated[str, typer.Option(metavar="NAME <EMAIL>", help="Default: the authors of facereg-NAME.")] = "",
    url: Annotated[str, typer.Option(help="Of its repository.")] = "",
    json: Json = False,
) -> None:
    """Write a plugin to begin with: a distribution to install and publish, whose model keeps the contract.

    Example: facereg plugins new skin-colour --role detector --out plugins
    """
    from facereg.registry.new_plugin import create_plugin

    registry = default_registry()
    names = {spec.name for spec in registry.models()} | {state.name for state in registry.plugins}
    if name in names:
        raise PluginError(f"the name {name!r} is taken; installed: {', '.join(sorted(names))}; choose another")
    folder = create_plugin(name, role=role, out=out, recipe=recipe, command=command, author=author, url=url)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    answer(
        json,
        {"name": name, "role": role, "folder": str(folder), "files": files},
        *(f"{folder / file}" for file in files),
        f"next: pip install -e {folder}; facereg plugins check {name}",
    )
