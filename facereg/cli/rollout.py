"""triton rollout and retire: weights beside others on a server, and taken out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, answer, checked_runner, misused
from facereg.networks.triton.address import parse_address
from facereg.registry.installed import default_registry

Models = Annotated[list[str] | None, typer.Option("--model", help="Only this model; may come again. Default: all.")]
Weights = Annotated[
    list[str] | None, typer.Option("--weights", metavar="MODEL=PATH", help="Folder or file for a model's own.")
]
PipelineFile = Annotated[
    Path | None, typer.Option("--pipeline", metavar="FILE", help="The models of a pipeline file, with its weights.")
]
Repository = Annotated[Path, typer.Option("--repository", help="Folder of the model repository.")]


def rollout(
    repository: Repository = Path("triton_repo"),
    model: Models = None,
    weights: Weights = None,
    runner: Annotated[str | None, typer.Option(help="Wait until this server answers with the new weights.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait.")] = 120.0,
    json: Json = False,
) -> None:
    """Put new weights beside those that are served; a running server takes them up, and clients of the old go on.

    Then start clients with the new weights, and take out the old ones with 'facereg triton retire'.

    Example: facereg triton rollout --weights onnx-arcface=new.onnx --runner triton://127.0.0.1:8001
    """
    from facereg.serving.rollout import roll_out

    if not model and not weights:
        raise misused(
            "--weights", "expected the weights to roll out, as --weights MODEL=PATH or --model MODEL; got none"
        )
    for entry in roll_out(
        repository,
        registry=default_registry(),
        models=named_models(model, weights),
        weights=by_model(weights),
        address=None if runner is None else checked_runner(runner, parse_address),
        timeout_s=timeout,
    ):
        others = [str(version) for version in entry.versions if version != entry.version]
        answer(
            json,
            {
                "name": entry.network,
                "model": entry.model,
                "version": entry.version,
                "sha256": entry.sha256,
                "versions": list(entry.versions),
            },
            f"{entry.network}: version {entry.version}, beside {', '.join(others) or 'no other'}",
        )


def retire(
    repository: Repository = Path("triton_repo"),
    model: Models = None,
    weights: Weights = None,
    version: Annotated[
        list[str] | None, typer.Option("--version", metavar="NETWORK=VERSION", help="As 'check' shows it.")
    ] = None,
    json: Json = False,
) -> None:
    """Take weights out again: new ones to roll back, or old ones that no client asks for any more.

    Example: facereg triton retire --weights onnx-arcface=new.onnx
    """
    from facereg.serving.rollout import roll_back
    from facereg.serving.versions import retire as retire_version

    if not model and not weights and not version:
        raise misused(
            "--weights", "expected what to retire, as --weights, --model or --version NETWORK=VERSION; got none"
        )
    numbers = [numbered(text) for text in version or []]
    gone = (
        roll_back(
            repository,
            registry=default_registry(),
            models=named_models(model, weights),
            weights=by_model(weights),
        )
        if model or weights
        else []
    )
    for network, number in numbers:
        retire_version(repository, network, number)
    for network, number in [*gone, *numbers]:
        answer(
            json, {"name": network, "version": number, "state": "retired"}, f"{network}: version {number} is retired"
        )


def with_pipeline(
    pipeline: Path | None, models: list[str] | None, weights: list[str] | None
) -> tuple[list[str] | None, dict[str, str | Path]]:
    """Return the models named, those of a pipeline file among them, and the weights of each that has others."""
    from facereg.pipeline.composition import Composition
    from facereg.serving.repository import models_of

    given = by_model(weights)
    if pipeline is None:
        return models, given
    found = models_of(Composition.read(pipeline), default_registry())
    return [*found, *(models or [])], {name: path for name, path in found.items() if path is not None} | given


def named_models(models: list[str] | None, weights: list[str] | None) -> list[str]:
    """Return the models that are named, here or with their weights, each once."""
    return list(dict.fromkeys([*(models or []), *by_model(weights)]))


def numbered(text: str) -> tuple[str, int]:
    network, equals, number = text.partition("=")
    if not equals or not network or not (number.isascii() and number.isdecimal()):
        raise misused("--version", f"expected NETWORK=VERSION, a number, got {text!r}")
    return network, int(number)


def by_model(given: list[str] | None) -> dict[str, str | Path]:
    chosen: dict[str, str | Path] = {}
    for text in given or []:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise misused("--weights", f"expected MODEL=PATH, as onnx-arcface=mine.onnx, got {text!r}")
        chosen[name] = path
    return chosen
