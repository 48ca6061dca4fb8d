"""gallery list, show, remove, export, import, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import GalleryFile, Json, counted, print_json
from facereg.errors import GalleryError

app = typer.Typer(help="Keep a gallery of known people.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The person's name.")]
Export = Annotated[Path, typer.Argument(help="An .npz file.")]


@app.command("list")
def list_(gallery: GalleryFile, json: Json = False) -> None:
    """List the people. Example: facereg gallery list --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        for person in held.people():
            if json:
                print_json({"name": person.name, "embeddings": person.embeddings, "created": person.created})
            else:
                typer.echo(f"{person.name}: {counted(person.embeddings, 'embedding')}, since {person.created}")


@app.command()
def show(name: Name, gallery: GalleryFile, json: Json = False) -> None:
    """Show a person and the pictures behind them. Example: facereg gallery show Ada --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        for person in held.people():
            if person.name == name:
                break
        else:
            raise GalleryError(f"{gallery}: nobody named {name!r}; see 'facereg gallery list'")
        if json:
            print_json({"name": name, "created": person.created, "space": held.space, "sources": list(person.sources)})
        else:
            typer.echo(f"{name}: since {person.created}, {held.space}")
            for source in person.sources:
                typer.echo(f"  {source}")


@app.command()
def remove(name: Name, gallery: GalleryFile, json: Json = False) -> None:
    """Forget a person. Example: facereg gallery remove Ada --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        count = held.remove(name)
    if json:
        print_json({"name": name, "removed": count})
    else:
        typer.echo(f"{name}: {counted(count, 'embedding')} removed")


@app.command()
def export(file: Export, gallery: GalleryFile, json: Json = False) -> None:
    """Write everybody to one .npz file. Example: facereg gallery export team.npz --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        count = held.export(file)
    if json:
        print_json({"file": str(file), "embeddings": count})
    else:
        typer.echo(f"{file}: {counted(count, 'embedding')}")


@app.command("import")
def import_(file: Export, gallery: GalleryFile, json: Json = False) -> None:
    """Add what export wrote; the gallery is made where there is none.

    Example: facereg gallery import team.npz --gallery copy.gallery
    """
    from facereg.gallery import Gallery, exported_space

    with Gallery.open(gallery, space=exported_space(file), create=True) as held:
        count = held.import_(file)
    if json:
        print_json({"file": str(file), "added": count})
    else:
        typer.echo(f"{gallery}: {counted(count, 'embedding')} added")


@app.command()
def check(gallery: GalleryFile, json: Json = False) -> None:
    """Look for damage; exit status 1 where there is some. Example: facereg gallery check --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        problems = held.check()
        people = 0 if problems else len(held)
    if json:
        print_json({"sound": not problems, "people": people, "problems": problems})
    else:
        for problem in problems:
            typer.echo(problem)
        if not problems:
            typer.echo(f"{gallery}: sound, {people} people")
    if problems:
        raise typer.Exit(1)
