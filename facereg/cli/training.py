"""train, export, quantize."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facereg.cli.copies import require_folder
from facereg.cli.options import Json, Stages, answer, counted, misused, progress, with_stages
from facereg.cli.streams import complain
from facereg.cli.tally import Tally
from facereg.errors import FaceregError, ImageError
from facereg.registry.installed import default_registry

if TYPE_CHECKING:
    from facereg.types import Image


def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of the recipe.")] = None,
    data: Annotated[list[Path] | None, typer.Option("--data", help="Folder of data; may come several times.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for weights, checkpoints, log and curve.")] = Path("out"),
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="A setting of the recipe.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and their settings.")] = False,
    json: Json = False,
) -> None:
    """Train a model by a recipe; needs the [train] extra.

    Example: facereg train mobilenetv3-arcface --data people/ --out run --set epochs=30
    """
    from facereg.data.readable import left_out
    from facereg.networks.spec import import_object
    from facereg.training.settings import describe_settings

    registry = default_registry()
    if list_ or recipe is None:
        for known in registry.recipes():
            held, needs = {}, ""
            try:
                held = describe_settings(import_object(known.settings_from)) if list_ and known.settings_from else {}
            except FaceregError as error:  # the others are listed
                needs = str(error)
            more = {"needs": needs} if needs else {}
            lines = [f"settings not shown: {needs}"] * bool(needs) + [f"{key}={value}" for key, value in held.items()]
            document = {"name": known.name, "summary": known.summary, "settings": held, **more}
            answer(json, document, f"{known.name}: {known.summary}", *(f"  {line}" for line in lines))
        return
    spec = registry.recipe(recipe)
    given = {}
    for text in set_ or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise misused("--set", f"expected KEY=VALUE, got {text!r}")
        given[key] = value
    require_folder(out)
    run, tally = import_object(spec.run), Tally()
    with redirect_stdout(sys.stderr), left_out(tally.fail):  # progress bars
        run(data or [], out, resume, given)
    answer(json, {"name": recipe, "out": str(out), **tally.document}, f"{out}: done")
    if tally.failed:
        complain(f"{counted(len(tally.failed), 'picture')} could not be read and taught nothing; the others did")
        raise typer.Exit(1)


def export(
    model: Annotated[str, typer.Argument(help="Name as in 'facereg models'.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the ONNX files.")],
    weights: Annotated[
        Path | None, typer.Option(help="ONNX file of a run, or its folder; default: the plugin's own.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a model's networks as ONNX with dynamic batch, checked against torch; needs the [train] extra.

    Example: facereg export mobilenetv3-arcface --weights run --out onnx
    """
    from facereg.networks.spec import import_object

    networks = default_registry().model(model).require_networks()
    require_folder(out)
    export_checkpoint = import_object("facereg.training.export:export_checkpoint")
    for network in networks:
        path = out / network.file
        difference = export_checkpoint(network, weights, path)
        answer(
            json,
            {"name": network.name, "file": str(path), "difference": difference},
            f"{path}: differs from torch by {difference:.1e} of its largest output",
        )


@with_stages
def quantize(
    role: Annotated[Literal["detector", "aligner", "embedder"], typer.Argument(help="The stage.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures like those to come, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the ONNX files.")],
    pictures: Annotated[int, typer.Option(min=1, help="How many to measure on, spread over those given.")] = 64,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Write 8-bit copies of a stage's networks: smaller, faster on many CPUs; needs the [train] extra.

    Measure them before use: facereg evaluate ... --weights detector=OUT. A gallery holds the vectors of one embedder
    file, so people are enrolled anew with an 8-bit one.

    Example: facereg quantize detector photos/ --detector yolov5s-face --out small
    """
    from facereg.folders.left_out import LeftOut
    from facereg.folders.walking import find_pictures
    from facereg.images import load_images
    from facereg.networks.spec import import_object
    from facereg.pipeline.files import error_of_file

    require_folder(out)
    found, tally = find_pictures(images), Tally()
    step = max(1, len(found.pictures) // pictures)
    chosen = found.pictures[::step][:pictures]
    beside = [path for row, path in enumerate(found.pictures) if row % step or row // step >= pictures]
    unused = [LeftOut(path, "not among those measured, see --pictures", minor=True) for path in beside]
    tally.leave_out(found.skipped + unused, found.failed)
    quantize_stage = import_object("facereg.training.quantizing:quantize_stage")
    failures: list[FaceregError] = []  # of a stage, for the picture given last
    with progress("measuring", len(chosen)) as advance:

        def read() -> Iterator[Image]:
            for path, image in load_images(chosen):
                if not isinstance(image, ImageError):
                    yield image
                    image = error_of_file(path, failures.pop()) if failures else image
                if isinstance(image, ImageError):
                    tally.fail(image)
                else:
                    tally.done += 1
                advance(1)

        made = quantize_stage(stages.composition, role, read(), out, failed=failures.append, registry=stages.registry)
    for one in made:
        document = {"name": one.network, "file": str(one.path), "difference": one.difference, "kept": one.kept}
        then = "; float32 kept" if one.kept else ""
        answer(json, document, f"{one.path}: differs from float32 by {one.difference:.1%} of its outputs{then}")
    tally.finish()
