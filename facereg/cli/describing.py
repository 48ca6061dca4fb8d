"""models describe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, complain, counted, print_json
from facereg.cli.streams import say
from facereg.errors import ContractError, FaceregError
from facereg.registry.installed import default_registry

if TYPE_CHECKING:
    from facereg.pipeline.describing import DescribedFile, PassedOver


def describe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.onnx|FOLDER...", help="Published files, or of a pack.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Pipeline file to write; default: the first name with .toml, here.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Default: a photograph that comes with scikit-image.")] = None,
    json: Json = False,
) -> None:
    """Write published ONNX files as a pipeline file, as far as they show what they are, and try it on a photograph.

    Comments say what was shown and what is a guess. Of a file whose batch has one size a copy that takes any is
    written beside it. Exit status 1 where the pipeline finds no face, or fails.

    Example: facereg models describe buffalo_l/ --out buffalo_l.toml
    """
    from facereg.images import read_image
    from facereg.pipeline.describing import describe_files, try_pipeline, write_pipeline
    from facereg.testing.pictures import photograph

    registry = default_registry()
    image = photograph() if picture is None else read_image(picture)
    found = describe_files(files, registry)
    first = files[0].resolve()
    place = Path(f"{first.name if first.is_dir() else first.stem}.toml") if out is None else out
    text = write_pipeline(found, place)
    for each in found:
        if json:
            print_json(_document(each))
    if not json:
        for line in text.splitlines():
            say(line)
    if image is None:
        raise ContractError(
            f"{place} is written, and was not tried: pip install 'facereg-core[app]', or give --picture"
        )
    try:
        tried = try_pipeline(place, image, registry)
    except FaceregError as error:
        raise FaceregError(f"{place} is written; tried on a photograph, it failed: {error}") from error
    if json:
        print_json({"out": str(place), **asdict(tried)})
    else:
        score = "" if tried.score is None else f", the best score {tried.score:.2f}"
        refused = f", {tried.refused} refused by the aligner" if tried.refused else ""
        say(f"# tried on a photograph: {counted(tried.faces, 'face')}{score}{refused}; vectors of {tried.dim} numbers")
    if not tried.faces:
        complain(f"{place}: no face was found on the photograph; correct the options that are guessed")
        raise typer.Exit(1)


def _document(found: DescribedFile | PassedOver) -> dict[str, object]:
    from facereg.pipeline.describing import PassedOver

    if isinstance(found, PassedOver):
        return {"file": str(found.path), "skipped": found.reason}
    options = {name: value for name, (value, _) in found.options.items()}
    known = {name: how for name, (_, how) in found.options.items()}
    named = {"file": str(found.path), "name": found.model.name, "role": found.role}
    return {**named, "options": options, "known": known, "copied": found.copy is not None}
