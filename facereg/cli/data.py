"""data convert, check, sheet, fetch, pseudo-label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.evaluate import Format, Images
from facereg.cli.options import Json, Stages, complain, counted, print_json, progress, say_without_area, with_stages
from facereg.cli.streams import say
from facereg.cli.tally import Tally
from facereg.errors import ContractError, DatasetError, ImageError

if TYPE_CHECKING:
    from facereg.data.fetch import Source

app = typer.Typer(help="Prepare data: convert, check, look, fetch, label.", no_args_is_help=True)
Annotations = Annotated[
    Path, typer.Option("--annotations", help="The list (wider, pseudo) or folder (voc, yolo, celeba).")
]
Layout = Annotated[Format, typer.Option(help="Layout of the annotations.")]
Partition = Annotated[str | None, typer.Option(help="train, val or test; of celeba only.")]


class Target(StrEnum):
    """Layouts to convert to."""

    wider = "wider"
    voc = "voc"
    yolo = "yolo"
    five_points = "5pt"


@app.command()
def convert(
    images: Images,
    annotations: Annotations,
    from_: Annotated[Format, typer.Option("--from", help="Layout of the annotations.")],
    to: Annotated[Target, typer.Option("--to", help="Layout to write.")],
    out: Annotated[Path, typer.Option("--out", help="The list to write (wider, 5pt), or a new folder (voc, yolo).")],
    partition: Partition = None,
    json: Json = False,
) -> None:
    """Write labelled boxes in another layout; pictures stay where they are.

    Example: facereg data convert --from wider --to yolo --images WIDER_val/images
    --annotations wider_face_val_bbx_gt.txt --out WIDER_val/labels
    """
    from facereg.data.formats import WRITERS, read_boxes

    items = read_boxes(from_, annotations, images, partition=partition)
    say_without_area(items)
    written = WRITERS[to](items, out, images)
    if json:
        print_json(
            {"out": str(out), "images": written.images, "faces": written.faces, "left_out": written.left_out},
        )
        return
    typer.echo(f"{out}: {counted(written.faces, 'face')} in {counted(written.images, 'picture')}")
    if written.left_out:
        complain(f"left out {counted(written.left_out, 'face')}, which the layout {to} cannot hold")


@app.command()
def check(
    images: Images,
    annotations: Annotations,
    format: Layout = Format.wider,
    partition: Partition = None,
    json: Json = False,
) -> None:
    """Name what is wrong with a data set, a line each; exit status 1 where there is anything.

    Missing or unreadable pictures, boxes outside them, empty boxes, and what comes twice: boxes, entries, pictures.

    Example: facereg data check --images crowds/images --annotations crowds/list.txt --format wider
    """
    from facereg.data.check import check_boxes
    from facereg.data.formats import read_boxes

    items = read_boxes(format, annotations, images, partition=partition, strict=False)
    problems = 0
    with progress("checking", len(items)) as advance:
        for problem in check_boxes(items, progress=advance):
            problems += 1
            if json:
                print_json({"image": str(problem.path), "problem": problem.kind, "reason": problem.reason})
            else:
                typer.echo(f"{problem.path}: {problem.kind}: {problem.reason}")
    faces = sum(len(item.boxes) for item in items)
    found = counted(problems, "problem") if problems else "nothing wrong"
    complain(f"{counted(len(items), 'picture')}, {counted(faces, 'face')}: {found}")
    if problems:
        raise typer.Exit(1)


@app.command()
def sheet(
    images: Images,
    annotations: Annotations,
    out: Annotated[Path, typer.Option("--out", help="The picture to write.")],
    format: Layout = Format.wider,
    count: Annotated[int, typer.Option(min=1, help="Pictures shown.")] = 30,
    columns: Annotated[int, typer.Option(min=1, help="Pictures in a row.")] = 6,
    side: Annotated[int, typer.Option(min=16, help="px of each picture's square.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of pictures.")] = 0,
    partition: Partition = None,
    json: Json = False,
) -> None:
    """Draw labelled pictures, chosen by a seed, on one sheet: faces green, ignored faces red.

    Example: facereg data sheet --images crowds/images --annotations crowds/list.txt --out sheet.png
    """
    import numpy as np

    from facereg.data.formats import read_boxes
    from facereg.data.sheet import contact_sheet
    from facereg.images import write_image

    items = read_boxes(format, annotations, images, partition=partition)
    say_without_area(items)
    rows = sorted(np.random.default_rng(seed).permutation(len(items))[:count].tolist())
    write_image(out, contact_sheet([items[row] for row in rows], columns=columns, side=side))
    if json:
        print_json({"out": str(out), "images": len(rows)})
    else:
        typer.echo(f"{out}: {counted(len(rows), 'picture')} of {len(items)}")


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(help="An http(s) address, or a name in the table.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write, or a folder for it.")] = Path(),
    sha256: Annotated[str | None, typer.Option(help="Of the file; the table may hold it.")] = None,
    unpack: Annotated[Path | None, typer.Option(help="Unpack zip or tar into this new folder.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="TOML file: [NAME] address, sha256, unpack; default: sources.toml of facereg.")
    ] = None,
    json: Json = False,
) -> None:
    """Download a data set, checked and resumed, whole or not at all; the set's terms are yours to keep.

    Example: facereg data fetch https://example.org/faces.zip --sha256 0123...cdef --out downloads --unpack faces
    """
    from urllib.parse import unquote, urlsplit

    from facereg.data.fetch import fetch as bring
    from facereg.disk.paths import inside

    chosen = _source(source, sha256, table)
    path = out
    if out.is_dir():
        name = unquote(urlsplit(chosen.addresses[0]).path).rpartition("/")[2]
        if not name:
            raise ContractError(f"--out: expected a file's name, which the address {chosen.addresses[0]} does not give")
        path = inside(out, name)
    with _bytes_shown(path.name) as show:
        fetched = bring(chosen, path, progress=show)
    folder = unpack if unpack is not None else (path.with_suffix("") if chosen.unpack else None)
    files = None
    if folder is not None:
        from facereg.data.unpack import unpack as open_archive

        files = open_archive(path, folder)
    if json:
        document = {"file": str(path), "bytes": fetched.size, "sha256": fetched.sha256, "resumed": fetched.resumed}
        print_json({**document, "folder": None if folder is None else str(folder), "files": files})
        return
    typer.echo(f"{path}: {counted(fetched.size, 'byte')}, sha256 {fetched.sha256}")
    if folder is not None and files is not None:
        typer.echo(f"{folder}: {counted(files, 'file')}")


@app.command("pseudo-label")
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
    from facereg.folders.walking import find_pictures

    root, tally = root.resolve(), Tally()
    found = find_pictures(images)
    tally.leave_out(found.skipped, found.failed)
    paths = [path.resolve() for path in found.pictures]
    outside = [path for path in paths if not path.is_relative_to(root)]
    if outside:
        raise ContractError(f"--root: expected a folder that holds every picture, got {root} for {outside[0]}")
    kept: list[PseudoLabels] = []
    with stages.detector_alone() as detector, progress("labelling", len(paths)) as advance:
        for item in label_images(detector, paths):
            if isinstance(item, ImageError):
                tally.fail(item)
            else:
                tally.done += 1
                kept.append(item)
            advance(1)
    write_pseudo_labels(out, kept, root=root)
    faces = sum(len(item.faces) for item in kept)
    if json:
        print_json({"out": str(out), "images": len(kept), "faces": faces, **tally.document})
    else:
        say(f"{out}: {counted(faces, 'face')} in {counted(len(kept), 'picture')}")
    tally.finish()


def _source(given: str, sha256: str | None, table: Path | None) -> Source:
    from facereg.data.fetch import Source, check_source, read_sources
    from facereg.gallery.thresholds import calibrations_file

    if "://" in given:
        return check_source(Source((given,), sha256), given=given)
    table = table or calibrations_file().with_name("sources.toml")
    sources = read_sources(table)
    if given not in sources:
        raise DatasetError(f"{table}: no source named {given!r}; it holds {', '.join(sorted(sources)) or 'none'}")
    held = sources[given]
    return check_source(Source(held.addresses, sha256 or held.sha256, held.unpack), given=given)


@contextmanager
def _bytes_shown(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show on stderr, where that is a terminal, bytes there and to come; yield what to call with both."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(
        "{task.description}", *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
