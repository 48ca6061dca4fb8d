"""data clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, Stages, counted, print_json, progress, with_stages
from facereg.cli.streams import complain, say
from facereg.cli.tally import Tally


@with_stages
def clean(
    source: Annotated[Path, typer.Argument(help="A folder with a folder a person; it stays as it is.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder, for the pictures that belong.")],
    like: Annotated[
        float | None,
        typer.Option(min=-1.0, max=1.0, help="Cosine to the mean of its person's others; default: as two of FAR 1 %."),
    ] = None,
    least: Annotated[int, typer.Option(min=1, help="Pictures that a person must have left.")] = 1,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Write a set of people without what does not belong: no face, pictures that come twice, faces of others.

    Pictures that are crops already take --detector aligned, which leaves out the look for a face.

    Example: facereg data clean identities --out clean --least 2
    """
    from facereg.data.writing import require_new_folder
    from facereg.evaluation.cleaning import clean_people, write_cleaned
    from facereg.folders.people import find_people, merge_by_case, require_outside, require_pictures

    require_outside(out, source)
    require_new_folder(out)
    found, tally = find_people(source), Tally()
    require_pictures(found, source)
    tally.leave_out(found.skipped, found.failed)
    people_found, notes = merge_by_case(found.people, source)
    for line in notes:
        complain(line)
    pictures = len(found.pictures)
    with stages.pipeline() as pipeline, progress("cleaning", 2 * pictures) as advance:
        bound = like if like is not None else stages.threshold_for(pipeline.embedder.space, None, far=0.01).value
        cleaned = clean_people(pipeline, people_found, least=bound, progress=advance, notice=complain)
    people, images = write_cleaned(cleaned, out, least=least)
    for one in cleaned.removed:
        complain(f"removed {one.path}: {one.kind}: {one.reason}")
    for error in cleaned.errors:
        tally.fail(error)
    tally.done += pictures - len(cleaned.errors)
    lost = len(people_found) - people
    if json:
        removed = [{"image": str(one.path), "kind": one.kind, "reason": one.reason} for one in cleaned.removed]
        counts = {"people": people, "images": images, "people_left_out": lost, "like": bound}
        print_json({"out": str(out), **counts, "removed": removed, **tally.document})
    else:
        kinds = {kind: sum(one.kind == kind for one in cleaned.removed) for kind in ("no-face", "duplicate")}
        say(f"{out}: {counted(images, 'picture')} of {people} people")
        complain(
            f"removed {counted(len(cleaned.removed), 'picture')}: {kinds['no-face']} without a face, "
            f"{kinds['duplicate']} that come twice, {len(cleaned.removed) - sum(kinds.values())} of others; "
            f"{lost} people have too few left"
        )
    tally.finish()
