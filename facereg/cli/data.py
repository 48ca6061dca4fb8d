"""data convert, check, sheet, people, pseudo-label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from facereg.cli.cleaning import clean
from facereg.cli.copies import require_others
from facereg.cli.evaluate import Format
from facereg.cli.fetching import fetch
from facereg.cli.options import (
    Json,
    Stages,
    answer,
    complain,
    counted,
    print_json,
    progress,
    say_without_area,
    with_stages,
)
from facereg.cli.streams import say
from facereg.cli.tally import Tally
from facereg.cli.verifying import Images
from facereg.errors import ContractError, ImageError

app = typer.Typer(help="Prepare data: convert, check, look, fetch, label.", no_args_is_help=True)
app.command()(fetch)
app.command()(clean)
Annotations = Annotated[
    Path, typer.Option("--annotations", help="The list (wider, pseudo) or folder (voc, yolo, celeba).")
]
Layout = Annotated[Format, typer.Option(help="Layout of the annotations.")]
Partition = Annotated[str | None, typer.Option(help="train, val or test; of celeba only.")]


@app.command()
def convert(
    images: Images,
    annotations: Annotations,
    from_: Annotated[Format, typer.Option("--from", help="Layout of the annotations.")],
    to: Annotated[Literal["wider", "voc", "yolo", "5pt"], typer.Option("--to", help="Layout to write.")],
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
    require_others("--out", [out], [annotations, *(item.path for item in items)])
    say_without_area(items)
    written, tally = WRITERS[to](items, out, images), Tally()
    tally.done = len(items) - len(written.errors)
    for error in written.errors:
        tally.fail(error)
    if json:
        counts = {"images": written.images, "faces": written.faces, "left_out": written.left_out}
        print_json({"out": str(out), **counts, **tally.document})
    else:
        say(f"{out}: {counted(written.faces, 'face')} in {counted(written.images, 'picture')}")
        if written.left_out:
            complain(f"left out {counted(written.left_out, 'face')}, which the layout {to} cannot hold")
    tally.finish()


@app.command()
def check(
    images: Images,
    annotations: Annotations,
    format: Layout = "wider",
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
            answer(
                json,
                {"image": str(problem.path), "problem": problem.kind, "reason": problem.reason},
                f"{problem.path}: {problem.kind}: {problem.reason}",
            )
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
    format: Layout = "wider",
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
    require_others("--out", [out], [annotations, *(item.path for item in items)])
    say_without_area(items)
    rows, tally = sorted(np.random.default_rng(seed).permutation(len(items))[:count].tolist()), Tally()
    chosen = [items[row] for row in rows]
    write_image(out, contact_sheet(chosen, columns=columns, side=side, failed=tally.fail))
    tally.done = len(rows) - len(tally.failed)
    answer(
        json,
        {"out": str(out), "images": tally.done, **tally.document},
        f"{out}: {counted(tally.done, 'picture')} of {len(items)}",
    )
    tally.finish()


@app.command()
def people(
    source: Annotated[Path, typer.Argument(help="A folder with a folder a person, or an MXNet record: its folder.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder, for a folder a person.")],
    count: Annotated[int, typer.Option("--people", min=0, help="How many people to draw; 0: all.")] = 0,
    least: Annotated[int, typer.Option(min=1, help="Pictures that a person must have.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    json: Json = False,
) -> None:
    """Write some people of a set, drawn by a seed, as a folder a person; pictures stay as they are, byte for byte.

    Example: facereg data people faces_emore --people 10000 --least 2 --out identities
    """
    from facereg.data.subsets import write_people

    with progress("writing people", count or None) as advance:
        written = write_people(source, out, people=count, least=least, seed=seed, progress=advance, notice=complain)
    tally = Tally(done=written.images)
    for error in written.errors:
        tally.fail(error)
    if json:
        counts = {"people": written.people, "images": written.images, "few": written.few}
        print_json({"out": str(out), **counts, "seed": seed, **tally.document})
    else:
        say(f"{out}: {counted(written.images, 'picture')} of {written.people} people")
        if written.few:
            complain(f"left out {written.few} people with fewer than {counted(least, 'picture')}")
    tally.finish()


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
    """Label pictures with a detector's faces, to teach another; with an aligner's points, to teach another aligner.

    Example: facereg data pseudo-label photos/ --out labels.jsonl --detector yunet --weights detector=yunet.onnx
    """
    from facereg.data.boxes import PseudoLabels, write_pseudo_labels
    from facereg.data.pseudo import label_images
    from facereg.folders.walking import find_pictures

    root, tally = root.resolve(), Tally()
    found = find_pictures(images)
    require_others("--out", [out], found.pictures)
    tally.leave_out(found.skipped, found.failed)
    paths = [path.resolve() for path in found.pictures]
    outside = [path for path in paths if not path.is_relative_to(root)]
    if outside:
        raise ContractError(f"--root: expected a folder that holds every picture, got {root} for {outside[0]}")
    kept: list[PseudoLabels] = []
    with (
        stages.detector_alone() as detector,
        stages.aligner_alone() as aligner,
        progress("labelling", len(paths)) as advance,
    ):
        for item in label_images(detector, paths, aligner=aligner):
            if isinstance(item, ImageError):
                tally.fail(item)
            else:
                tally.done += 1
                kept.append(item)
            advance(1)
    write_pseudo_labels(out, kept, root=root)
    faces = sum(len(item.faces) for item in kept)
    answer(
        json,
        {"out": str(out), "images": len(kept), "faces": faces, **tally.document},
        f"{out}: {counted(faces, 'face')} in {counted(len(kept), 'picture')}",
    )
    tally.finish()
