"""train, export, data pseudo-label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, Stages, complain, counted, print_json, progress, with_stages
from facereg.errors import ContractError, ImageError
from facereg.registry import default_registry

data = typer.Typer(help="Prepare data for recipes.", no_args_is_help=True)


def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of the recipe.")] = None,
    data: Annotated[list[Path] | None, typer.Option("--data", help="Folder of data; may come several times.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for weights, checkpoints, log and curve.")] = Path("out"),
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="A setting of the recipe.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and their settings.")] = False,
) -> None:
    """Train a model by a recipe; needs the [train] extra.

    Example: facereg train mobilenetv3-arcface --data people/ --out run --set epochs=30
    """
    from facereg.runners.spec import import_object
    from facereg.training.settings import describe_settings

    registry = default_registry()
    if list_ or recipe is None:
        for known in registry.recipes():
            typer.echo(f"{known.name}: {known.summary}")
            if list_ and known.settings_from:
                for key, default in describe_settings(import_object(known.settings_from)).items():
                    typer.echo(f"  {key}={default}")
        return
    spec = registry.recipe(recipe)
    given = {}
    for text in set_ or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise ContractError(f"--set: expected KEY=VALUE, got {text!r}")
        given[key] = value
    run = import_object(spec.run)
    out.mkdir(parents=True, exist_ok=True)
    run(data or [], out, resume, given)
    typer.echo(f"{out}: done")


def export(
    model: Annotated[str, typer.Argument(help="Name as in 'facereg models'.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the ONNX files.")],
    weights: Annotated[Path | None, typer.Option(help="Folder of checkpoints; default: the plugin's own.")] = None,
    json: Json = False,
) -> None:
    """Write a model's networks as ONNX with dynamic batch, checked against torch; needs the [train] extra.

    Example: facereg export mobilenetv3-arcface --weights run --out onnx
    """
    from facereg.runners.spec import import_object

    spec = default_registry().model(model)
    if not spec.networks:
        raise ContractError(f"{model}: expected a model with networks, this {spec.role} has none")
    export_checkpoint = import_object("facereg.training.export:export_checkpoint")
    for network in spec.networks:
        path = out / network.file
        difference = export_checkpoint(network, weights, path)
        if json:
            print_json({"name": network.name, "file": str(path), "difference": difference})
        else:
            typer.echo(f"{path}: differs from torch by {difference:.1e} of its largest output")


@data.command("pseudo-label")
@with_stages
def pseudo_label(
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="The .jsonl file to write.")],
    root: Annotated[Path, typer.Option("--root", help="Folder that pictures are named relative to.")] = Path(),
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Label pictures with a detector's faces, to teach another detector.

    Example: facereg data pseudo-label photos/ --out labels.jsonl --detector yunet --weights detector=yunet.onnx
    """
    from facereg.data.boxes import PseudoLabels, write_pseudo_labels
    from facereg.data.pseudo import label_images
    from facereg.images import find_images

    root = root.resolve()
    paths = [path.resolve() for path in find_images(images)]
    outside = [path for path in paths if not path.is_relative_to(root)]
    if outside:
        raise ContractError(f"--root: expected a folder that holds every picture, got {root} for {outside[0]}")
    kept: list[PseudoLabels] = []
    failed = 0
    with stages.detector_alone() as detector, progress("labelling", len(paths)) as advance:
        for item in label_images(detector, paths):
            if isinstance(item, ImageError):
                failed += 1
                complain(str(item))
            else:
                kept.append(item)
            advance(1)
    write_pseudo_labels(out, kept, root=root)
    faces = sum(len(item.faces) for item in kept)
    if json:
        print_json({"out": str(out), "images": len(kept), "faces": faces})
    else:
        typer.echo(f"{out}: {counted(faces, 'face')} in {counted(len(kept), 'picture')}")
    if failed:
        raise typer.Exit(1)
