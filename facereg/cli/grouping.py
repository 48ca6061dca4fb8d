"""group: unknown faces put into people, looked at, mended by hand and enrolled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facereg.cli.collecting import indexed
from facereg.cli.copies import require_folder
from facereg.cli.options import GalleryPlace, Json, Stages, answer, counted, misused, progress, with_stages
from facereg.cli.streams import complain
from facereg.cli.tally import Tally

if TYPE_CHECKING:
    from facereg.collection.groups import Group
    from facereg.collection.store import Index

app = typer.Typer(help="Put unknown faces into people: merge, split, name and enrol them.")
IndexFile = Annotated[Path, typer.Argument(help="The index, as 'facereg index' or 'facereg group --out' makes it.")]
Number = Annotated[int, typer.Argument(help="The number of a group, as 'facereg group show' lists it.")]
Sheets = Annotated[Path | None, typer.Option(help="Folder for a sheet of each group, its faces with their numbers.")]


@app.command()
@with_stages
def make(
    source: Annotated[Path, typer.Argument(exists=True, help="A folder of pictures, or an index.")],
    out: Annotated[Path | None, typer.Option("--out", help="Of a folder: keep the index and its groups here.")] = None,
    method: Annotated[Literal["agglomerative", "dbscan", "hdbscan"], typer.Option(help="How.")] = "agglomerative",
    threshold: Annotated[
        float | None, typer.Option(min=-0.9999, max=0.9999, help="Cosine similarity; default: made of the calibration.")
    ] = None,
    sheets: Sheets = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Put the faces of a collection into groups, each of one person: a line a group, the largest first.

    Groups that have a name stay as they are. A folder is indexed first.

    Example: facereg group make photos/ --out photos.index --sheets people
    """
    from facereg.collection.grouping import Grouping
    from facereg.collection.groups import group_index
    from facereg.collection.store import Index
    from facereg.gallery.thresholds import calibration_for

    tally = Tally()
    with ExitStack() as opened:
        if source.is_dir():
            scratch = Path(opened.enter_context(TemporaryDirectory(prefix="facereg-")))
            held, _ = opened.enter_context(indexed(out or scratch / "faces.index", source, stages, tally))
        elif out is not None:
            raise misused("--out", f"expected a folder of pictures to index, got {source}; leave --out out")
        else:
            held = opened.enter_context(Index.open(source, write=True))
        measured = None if threshold is not None else calibration_for(held.space, stages.registry)
        faces = held.counts()[2]
        with progress("reading faces", faces) as advance:
            groups = group_index(held, Grouping(method, threshold, calibration=measured), progress=advance)
        _say(held, groups, sheets, json)
    alone = faces - sum(group.faces for group in groups)
    complain(f"{counted(faces, 'face')}: {counted(len(groups), 'group')}, {alone} alone")
    tally.finish()


@app.command()
def show(index: IndexFile, sheets: Sheets = None, json: Json = False) -> None:
    """List the groups, a line each, the largest first. Example: facereg group show photos.index --sheets people"""
    from facereg.collection.groups import groups_of
    from facereg.collection.store import Index

    with Index.open(index) as held:
        _say(held, groups_of(held), sheets, json)


@app.command()
def name(
    index: IndexFile,
    number: Number,
    name: Annotated[str, typer.Argument(help="Of the person.")],
    json: Json = False,
) -> None:
    """Say who a group is: it stays as it is from now on. Example: facereg group name photos.index 3 Ada"""
    from facereg.collection.groups import name_group

    with _opened(index) as held:
        _say(held, [name_group(held, number, name)], None, json)


@app.command()
def merge(
    index: IndexFile,
    number: Number,
    others: Annotated[list[int], typer.Argument(help="Groups of the same person.")],
    json: Json = False,
) -> None:
    """Make groups of one person one. Example: facereg group merge photos.index 3 7 12"""
    from facereg.collection.groups import merge_groups

    with _opened(index) as held:
        _say(held, [merge_groups(held, number, others)], None, json)


@app.command()
def split(
    index: IndexFile,
    number: Number,
    faces: Annotated[
        list[int] | None, typer.Option("--face", help="A face that is another person's, by the number on the sheet.")
    ] = None,
    into: Annotated[int | None, typer.Option(min=2, help="Divide it into so many, by how alike its faces are.")] = None,
    json: Json = False,
) -> None:
    """Take faces out of a group, into one of their own; or divide it.

    Example: facereg group split photos.index 3 --face 41 --face 58
    """
    from facereg.collection.groups import alike_parts, split_group

    if bool(faces) == bool(into):
        raise typer.BadParameter("give either --face, as often as needed, or --into")
    with _opened(index) as held:
        parts = [faces] if faces else alike_parts(held, number, into or 0)[1:]
        _say(held, split_group(held, number, parts), None, json)


@app.command()
def enroll(
    index: IndexFile,
    gallery: GalleryPlace,
    unnamed: Annotated[bool, typer.Option("--unnamed", help="Groups without a name too, as 'person 3'.")] = False,
    json: Json = False,
) -> None:
    """Add the groups that have a name to a gallery.

    Example: facereg group enroll photos.index --gallery team.gallery
    """
    from facereg.collection.groups import enrol_groups
    from facereg.collection.store import Index
    from facereg.gallery import Gallery

    with Index.open(index) as held, Gallery.open(gallery, space=held.space, create=True) as known:
        gained = enrol_groups(held, known, unnamed=unnamed)
    for title, count in gained.items():
        answer(json, {"name": title, "enrolled": count}, f"{title}: {counted(count, 'face')} enrolled")
    if not gained:
        named = "no group has a name; name one with 'facereg group name', or pass --unnamed"
        complain(f"{index}: {'there is no group; make some with facereg group make' if unnamed else named}")


@contextmanager
def _opened(index: Path) -> Iterator[Index]:
    from facereg.collection.store import Index

    with Index.open(index, write=True) as held:
        yield held


def _say(held: Index, groups: list[Group], sheets: Path | None, json: bool) -> None:
    """Print groups, and draw them where asked."""
    from facereg.collection.groups import draw_group
    from facereg.images import write_image
    from facereg.pipeline.showing import rounded

    if sheets is not None:
        require_folder(sheets)
    for group in groups:
        if json:
            faces = [
                {"face": int(number), "image": str(files[0]), "box": rounded([box])[0]}
                for some in held.faces(person=group.number)
                for number, files, box in zip(some.numbers, some.files, some.boxes, strict=True)
            ]
            answer(json, {"group": group.number, "name": group.name or None, "faces": faces})
        else:
            answer(json, None, f"{group.number}: {group.title}, {counted(group.faces, 'face')}")
        if sheets is not None:
            drawn = draw_group(held, group.number, failed=lambda error: complain(str(error)))
            write_image(sheets / f"{group.number:05d}.jpg", drawn)
