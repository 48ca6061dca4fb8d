"""The command of this plugin."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import typer

from facereg import Address, Json, print_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def index(
    kind: Annotated[Literal["hnsw", "ivf", "none"], typer.Argument(help="none takes the indexes away.")],
    gallery: Annotated[
        Address, typer.Option("--gallery", metavar="GALLERY", parser=Address.of, help="As postgresql://HOST/DATABASE.")
    ],
    json: Json = False,
) -> None:
    """Make the index that the matcher pgvector searches by; others go on reading and writing meanwhile.

    Example: facereg pgvector-index hnsw --gallery postgresql://localhost/faces
    """
    from facereg_pgvector.index import index_gallery

    began = time.monotonic()
    people = index_gallery(gallery, kind)
    took = time.monotonic() - began
    if json:
        print_json({"index": kind, "people": people, "seconds": round(took, 3)})
    else:
        typer.echo(f"{gallery}: {kind} of {people} people in {took:.1f} s")
