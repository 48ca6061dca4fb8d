"""evaluate verification, templates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from facereg.cli.options import Json, Stages, complain, counted, progress, with_stages
from facereg.cli.reporting import Out, report

Images = Annotated[Path, typer.Option("--images", help="Folder of the pictures.")]
Pairs = Annotated[Path, typer.Option("--pairs", help="List of pairs, by default in LFW's layout.")]
Flipped = Annotated[
    Literal["sum", "concat", "none"] | None,
    typer.Option("--flip", help="Mirrored crops: add, put beside, or leave out; default: as the embedder is."),
]


@with_stages
def verification(
    images: Images,
    pairs: Pairs,
    threshold_pairs: Annotated[
        Path | None, typer.Option(help="List to choose the threshold on; needed where PAIRS has one fold.")
    ] = None,
    flip: Flipped = None,
    format: Annotated[
        Literal["lfw", "calfw", "cplfw", "cfp-fp", "cfp-ff", "agedb", "list", "bin"],
        typer.Option(help="Layout of the pairs; of bin, IMAGES is a folder for its pictures."),
    ] = "lfw",
    draws: Annotated[int, typer.Option(min=0, help="Draws of the people, for 95 % intervals; 0: none.")] = 0,
    worst: Annotated[
        Path | None, typer.Option(file_okay=False, help="Draw the pairs judged most wrongly into this folder.")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="List of NAME,GROUP: error rates within each group, at one threshold.")
    ] = None,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Accuracy and TPR at FAR over pairs, by the LFW protocol; no pair is left out.

    Example: facereg evaluate verification --images lfw --pairs pairs.txt
    """
    from facereg.data.groups import read_groups
    from facereg.data.pairs import read_pairs
    from facereg.evaluation.comparing import measure_verification

    tested = read_pairs(format, pairs, images)
    chosen = None if threshold_pairs is None else read_pairs(format, threshold_pairs, images)
    named = {name for names in tested.names for name in names}
    apart = None if groups is None else read_groups(groups, named)
    pictures = len({path for held in (tested, chosen) if held for path in held.paths})
    with stages.pipeline() as pipeline, progress("embedding", pictures) as advance:
        result = measure_verification(
            pipeline, tested, chosen, flip=flip, draws=draws, groups=apart, progress=advance, notice=complain
        )
    if worst is not None:
        complain(f"drew {counted(len(result.draw_worst(worst)), 'pair')} into {worst}")
    report(result, pictures, stages, ("detector", "aligner", "embedder"), out, json)


@with_stages
def templates(
    images: Images,
    templates: Annotated[Path, typer.Option("--templates", help="The list of pictures: NAME TEMPLATE MEDIA a line.")],
    pairs: Annotated[Path, typer.Option("--pairs", help="The list of pairs: TEMPLATE TEMPLATE 1 or 0 a line.")],
    points: Annotated[
        Path | None, typer.Option(help="A list of NAME, five x y and a score; default: faces are detected.")
    ] = None,
    flip: Flipped = None,
    weighted: Annotated[bool, typer.Option("--weighted", help="Vectors count by the score of their face.")] = False,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """TPR at FAR over pairs of templates, several pictures of a person each, in the lists of IJB-B and IJB-C.

    Example: facereg evaluate templates --images IJBC/loose_crop --templates IJBC/meta/ijbc_face_tid_mid.txt
    --pairs IJBC/meta/ijbc_template_pair_label.txt --points IJBC/meta/ijbc_name_5pts_score.txt
    """
    from facereg.data.templates import read_templates
    from facereg.evaluation.templates import measure_templates

    listed = read_templates(templates, pairs, images, points)
    with stages.pipeline() as pipeline, progress("embedding", len(set(listed.paths))) as advance:
        result = measure_templates(pipeline, listed, flip=flip, weighted=weighted, progress=advance, notice=complain)
    roles = ("aligner", "embedder") if points else ("detector", "aligner", "embedder")
    report(result, result.images, stages, roles, out, json)
