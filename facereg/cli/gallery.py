"""gallery list, show, rename, remove, export, import, check, audit, rotate, restore, rebuild."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import GalleryPlace, Json, answer, complain, counted, misused
from facereg.errors import GalleryError
from facereg.names import Address, names_alike

if TYPE_CHECKING:
    from facereg.gallery import Gallery

app = typer.Typer(help="Keep a gallery of known people.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The person's name.")]
Export = Annotated[Path, typer.Argument(help="An .npz file.")]
Unsealed = Annotated[
    bool, typer.Option("--unsealed", help="Take an export without a seal, or sealed without the key in force.")
]
OldKey = Annotated[Path | None, typer.Option("--old-key-file", help="The key that it has, if another than in force.")]
Unkeyed = Annotated[bool, typer.Option("--unkeyed", help="It has no key.")]


@app.command("list")
def list_(gallery: GalleryPlace, json: Json = False) -> None:
    """List the people. Example: facereg gallery list --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        for person in held.people():
            answer(
                json,
                {"name": person.name, "embeddings": person.embeddings, "created": person.created},
                f"{person.name}: {counted(person.embeddings, 'embedding')}, since {person.created}",
            )


@app.command()
def show(name: Name, gallery: GalleryPlace, json: Json = False) -> None:
    """Show a person and the pictures behind them. Example: facereg gallery show Ada --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        person = held.person(name)
        document = {"name": person.name, "created": person.created, "space": held.space}
        since = f"{person.name}: since {person.created}, {held.space}"
        sources = list(person.sources)
        answer(json, {**document, "sources": sources}, since, *(f"  {source}" for source in sources))


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryPlace,
    merge: Annotated[bool, typer.Option("--merge", help="Where somebody has that name, make them one person.")] = False,
    json: Json = False,
) -> None:
    """Give a person another name. Example: facereg gallery rename Ada "Ada Lovelace" --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        before = [person.name for person in held.people()]
        count = held.rename(name, new, merge=merge)
        person = held.person(new)
        _say_alike(held, before)
    answer(
        json,
        {"name": person.name, "was": name, "renamed": count, "embeddings": person.embeddings},
        f"{name}: {counted(count, 'embedding')} under {person.name} now",
    )


@app.command()
def remove(
    name: Name,
    gallery: GalleryPlace,
    backup: Annotated[
        list[Path] | None,
        typer.Option("--backup", help="Forget the person in this copy or export too."),
    ] = None,
    json: Json = False,
) -> None:
    """Forget a person. Example: facereg gallery remove Ada --gallery team.gallery --backup monday.npz"""
    from facereg.gallery import Gallery, remove_from_backup

    with Gallery.open(gallery) as held:
        if backup:  # before the gallery: where one of them cannot be written the same can be called again
            held.person(name)
        also = {str(file): remove_from_backup(file, name) for file in backup or ()}
        count = held.remove(name)
    answer_lines = [f"{name}: {counted(count, 'embedding')} removed"]
    answer_lines += [f"{file}: {counted(number, 'embedding')} removed" for file, number in also.items()]
    answer(json, {"name": name, "removed": count, "backups": also}, *answer_lines)


@app.command()
def export(file: Export, gallery: GalleryPlace, json: Json = False) -> None:
    """Write everybody to one .npz file. Example: facereg gallery export team.npz --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        count = held.export(file)
    answer(json, {"file": str(file), "embeddings": count}, f"{file}: {counted(count, 'embedding')}")


@app.command("import")
def import_(file: Export, gallery: GalleryPlace, unsealed: Unsealed = False, json: Json = False) -> None:
    """Add what export wrote; the gallery is made where there is none.

    Example: facereg gallery import team.npz --gallery copy.gallery
    """
    from facereg.gallery import Gallery, exported_space

    with Gallery.open(gallery, space=exported_space(file, unsealed=unsealed), create=True) as held:
        before = [person.name for person in held.people()]
        count = held.import_(file, unsealed=unsealed)
        _say_alike(held, before)
    answer(json, {"file": str(file), "added": count}, f"{gallery}: {counted(count, 'embedding')} added")


@app.command()
def check(gallery: GalleryPlace, json: Json = False) -> None:
    """Look for damage; exit status 1 where there is some. Example: facereg gallery check --gallery team.gallery"""
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        problems = held.check()
        people = 0 if problems else len(held)
        if exposed := held.exposure():
            complain(f"{gallery}: {exposed}")
    document = {"sound": not problems, "people": people, "problems": problems}
    answer(json, document, *(problems or [f"{gallery}: sound, {people} people"]))
    if problems:
        raise typer.Exit(1)


@app.command()
def audit(gallery: GalleryPlace, json: Json = False) -> None:
    """Say who changed what, and when, a line each; exit status 1 where lines are missing or altered.

    A person who is removed stays as a number. Example: facereg gallery audit --gallery team.gallery
    """
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        lines, problem = held.audit()
    for line in lines:
        document = {
            **{"number": line.number, "at": line.at, "actor": line.actor, "action": line.action},
            **{"person": line.person, "name": line.name, "embeddings": line.embeddings},
        }
        whom = "" if line.person is None else f" {line.name or 'somebody removed since'} (person {line.person})"
        done = f"{line.number}: {line.at} {line.actor}: {line.action}{whom}"
        answer(json, document, f"{done}, {counted(line.embeddings, 'embedding')}")
    if problem:
        raise GalleryError(f"{gallery}: {problem}")


@app.command()
def rotate(gallery: GalleryPlace, old_key_file: OldKey = None, unkeyed: Unkeyed = False, json: Json = False) -> None:
    """Seal and encrypt with the key in force in place of the old one; without one in force the vectors are as they are.

    Example: facereg gallery rotate --gallery team.gallery --old-key-file old.key
    """
    from facereg.gallery import rotate_key

    if not unkeyed and old_key_file is None:
        raise misused("--old-key-file", "expected it, or --unkeyed for a gallery without a key, got none of the two")
    count = rotate_key(gallery, old_key=_old_key(old_key_file, unkeyed))
    answer(json, {"embeddings": count}, f"{gallery}: {counted(count, 'embedding')} under the key in force now")


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="A copy of a gallery, or an export.")],
    gallery: GalleryPlace,
    unsealed: Unsealed = False,
    json: Json = False,
) -> None:
    """Put a backup in the place of a gallery: programs that have it open are told, and its log goes.

    Example: facereg gallery restore monday.gallery --gallery team.gallery
    """
    from facereg.gallery import restore_gallery

    people = restore_gallery(backup, gallery, unsealed=unsealed)
    answer(json, {"file": str(backup), "people": people}, f"{gallery}: restored, {people} people")


@app.command()
def rebuild(
    damaged: Annotated[
        Address, typer.Argument(metavar="DAMAGED", parser=Address.of, help="The damaged gallery, which stays as it is.")
    ],
    gallery: GalleryPlace,
    old_key_file: OldKey = None,
    unkeyed: Unkeyed = False,
    json: Json = False,
) -> None:
    """Make a new gallery of what is sound in a damaged one; exit status 1 where something was left out.

    Example: facereg gallery rebuild team.gallery --gallery new.gallery
    """
    from facereg.gallery import rebuild_gallery

    done = rebuild_gallery(damaged, gallery, old_key=_old_key(old_key_file, unkeyed))
    kept = f"{gallery}: {counted(done.embeddings, 'embedding')} of {done.people} people"
    document = {"embeddings": done.embeddings, "people": done.people, "left_out": list(done.left_out)}
    answer(json, document, *done.left_out, f"{kept}, {len(done.left_out)} left out")
    if done.left_out:
        raise typer.Exit(1)


def _old_key(file: Path | None, unkeyed: bool) -> bytes | None:
    from facereg.gallery.seals import key_from_environment, read_key_file

    if unkeyed and file is not None:
        raise misused("--unkeyed", "expected it without --old-key-file; leave one of them out")
    return None if unkeyed else key_from_environment() if file is None else read_key_file(file)


def _say_alike(gallery: Gallery, before: Collection[str]) -> None:
    """Say which names that were not there before look like others."""
    names = [person.name for person in gallery.people()]
    new = [name for name in names if name not in before]
    for name, other in names_alike(new, [name for name in names if name in before]):
        complain(
            f"warning: {name!r} and {other!r} differ only by case, invisible or look-alike letters; is it one person"
        )
