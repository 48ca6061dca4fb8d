"""The command of this plugin. Put your own here: it parses and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from facereg import Json, print_json, read_image

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def colours(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files.")],
    json: Json = False,
) -> None:
    """Print the mean colour of each picture. Example: facereg new-name-colours photo.jpg"""
    for path in pictures:
        mean = [round(float(value)) for value in read_image(path).mean((0, 1))]
        if json:
            print_json({"image": str(path), "colour": mean})
        else:
            typer.echo(f"{path}: {mean}")
