"""models, plugins list, plugins check, plugins new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, print_json
from facereg.cli.streams import complain
from facereg.errors import PluginError
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import default_registry
from facereg.roles import RoleName

plugins = typer.Typer(help="What is installed, and whether it keeps the contract.", no_args_is_help=True)


def models(
    name: Annotated[str | None, typer.Argument(help="Show one model whole.")] = None,
    role: Annotated[RoleName | None, typer.Option(help="Only models of this role.")] = None,
    json: Json = False,
) -> None:
    """List the models by role, with licence and weights; or one whole, with its options.

    Example: facereg models --role embedder
    """
    if name is not None:
        _show(default_registry().model(name, role=role), json)
        return
    for spec in sorted(default_registry().models(role), key=lambda spec: (spec.role, spec.name)):
        if json:
            print_json({"name": spec.name, "role": spec.role, "licence": spec.licence, "weights": _weights(spec)})
        else:
            shipped = sum(network.sha256 is not None for network in spec.networks)
            typer.echo(f"{spec.role:9} {spec.name:22} {spec.summary}")
            typer.echo(f"{'':32} licence: {spec.licence}; weights: {shipped} of {len(spec.networks)} networks ship")


def _weights(spec: ModelSpec) -> list[dict[str, str | None]]:
    return [{"file": network.file, "sha256": network.sha256} for network in spec.networks]


def _show(spec: ModelSpec, json: bool) -> None:
    """Print a model whole."""
    from facereg.options import REQUIRED
    from facereg.registry.factories import known_options

    options = known_options(spec)
    if json:
        shown = [
            {
                "name": one.name,
                "type": one.type,
                "default": None if one.default in (None, REQUIRED) else str(one.default),
                "meaning": one.meaning,
            }
            for one in (options or {}).values()
        ]
        document = {"name": spec.name, "role": spec.role, "summary": spec.summary, "licence": spec.licence}
        thresholds = {f"{far:g}": cosine for far, cosine in spec.thresholds.items()}
        print_json(
            {**document, "paper": spec.paper, "weights": _weights(spec), "thresholds": thresholds, "options": shown}
        )
        return
    typer.echo(f"{spec.name}: {spec.role}, {spec.summary}")
    typer.echo(f"licence: {spec.licence}")
    typer.echo(f"paper: {spec.paper or 'none stated'}")
    for network in spec.networks:
        typer.echo(f"weights: {network.file}, sha256 {network.sha256 or 'none: no file ships'}")
    for far, cosine in spec.thresholds.items():
        typer.echo(f"threshold at a false accept rate of {far:g}: {cosine:g}")
    for one in (options or {}).values():
        typer.echo(f"option {one}: {one.meaning or 'not said'}")
    if options is None:
        typer.echo("options: any, read by the plugin itself")


@plugins.command("list")
def list_(json: Json = False) -> None:
    """List the plugins found, and why any failed. Example: facereg plugins list"""
    for state in default_registry().plugins:
        if json:
            print_json(
                {
                    "name": state.name,
                    "version": state.version,
                    "state": state.state,
                    "reason": state.reason,
                    "models": list(state.models),
                }
            )
        else:
            tail = ": " + "; ".join(filter(None, [", ".join(state.models), state.reason]))
            typer.echo(f"{state.state:8} {state.name} {state.version}{tail}")


@plugins.command()
def check(
    name: Annotated[str, typer.Argument(help="A plugin or a model.")],
    weights: Annotated[str | None, typer.Option(help="Folder or file that stands in for the models' own.")] = None,
    json: Json = False,
) -> None:
    """Run the conformance checks on a plugin's models. Example: facereg plugins check mtcnn"""
    from facereg.testing.contracts import run_contract

    outcomes = []
    for outcome in run_contract(name, default_registry(), weights=weights):
        outcomes.append(outcome)
        if json:
            print_json(
                {
                    "model": outcome.model,
                    "check": outcome.check,
                    "passed": outcome.passed,
                    "skipped": outcome.skipped,
                    "message": outcome.message,
                }
            )
        else:
            tail = f": {outcome.message}" if outcome.message else ""
            word = "passed" if outcome.passed else "skipped" if outcome.skipped else "FAILED"
            typer.echo(f"{word} {outcome.model} {outcome.check}{tail}")
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
    json: Json = False,
) -> None:
    """Write a plugin to begin with: an installable distribution whose model keeps the contract.

    Example: facereg plugins new skin-colour --role detector --out plugins
    """
    from facereg.registry.new_plugin import create_plugin

    registry = default_registry()
    names = {spec.name for spec in registry.models()} | {state.name for state in registry.plugins}
    if name in names:
        raise PluginError(f"the name {name!r} is taken; installed: {', '.join(sorted(names))}; choose another")
    folder = create_plugin(name, role=role, out=out)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if json:
        print_json({"name": name, "role": role, "folder": str(folder), "files": files})
    else:
        for file in files:
            typer.echo(f"{folder / file}")
        typer.echo(f"next: pip install -e {folder}; facereg plugins check {name}")
