"""evaluate detection, wider, landmarks, verification, identification, grouping."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from facereg.cli.options import (
    Json,
    Stages,
    complain,
    counted,
    misused,
    progress,
    say_without_area,
    with_stages,
)
from facereg.cli.reporting import Out, drawn, report
from facereg.cli.tally import Tally
from facereg.cli.verifying import Images, templates, verification
from facereg.errors import FaceregError

app = typer.Typer(help="Measure models on labelled pictures.", no_args_is_help=True)
app.command()(verification)
app.command()(templates)


Format = Literal["wider", "voc", "yolo", "celeba", "pseudo"]  # how boxes are labelled


@app.command()
@with_stages
def detection(
    images: Images,
    annotations: Annotated[
        Path, typer.Option("--annotations", help="The list (wider, pseudo) or folder (voc, yolo, celeba).")
    ],
    format: Annotated[Format, typer.Option(help="Layout of the annotations.")] = "wider",
    partition: Annotated[str | None, typer.Option(help="train, val or test; of celeba only.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first pictures, as the paper's 1000.")] = None,
    fifth: Annotated[bool, typer.Option("--held-out-fifth", help="Only pictures that recipes keep out.")] = False,
    least: Annotated[float, typer.Option(help="px; smaller faces are ignored in the second line.")] = 24.0,
    close_up: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Cut a picture about each face of --least px, to fill this share of it."),
    ] = None,
    worst: Annotated[
        Path | None,
        typer.Option(file_okay=False, callback=drawn, help="Draw the pictures with most mistakes into this folder."),
    ] = None,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Average precision at IoU 0.5, and precision, recall, accuracy and mean IoU of all boxes given.

    Accuracy is TP / (TP + FP + FN): of faces and false boxes together, the share found. With --close-up 0.4 the recall
    is that of faces that nearly fill the picture.

    Example: facereg evaluate detection --images crowds/images --annotations crowds/list.txt --format wider
    """
    from facereg.data.formats import read_boxes
    from facereg.data.splits import held_out
    from facereg.evaluation.detecting import measure_detection

    if close_up is not None and worst is not None:
        raise misused("--worst", "expected whole pictures, got --close-up; leave one of the two out")
    items = read_boxes(format, annotations, images, partition=partition)
    say_without_area(items)
    if fifth:
        items = held_out(items, key=lambda item: item.path.name)[1]
    items = items[:limit]
    with stages.detector_alone() as detector, progress("detecting", len(items)) as advance:
        result = measure_detection(detector, items, least=least, close_up=close_up, progress=advance, notice=complain)
    if worst is not None:
        complain(f"drew {counted(len(result.draw_worst(worst)), 'picture')} into {worst}")
    report(result, len(items), stages, ("detector",), out, json)


@app.command()
@with_stages
def wider(
    ground_truth: Annotated[
        Path, typer.Option("--ground-truth", help="Folder of wider_face_val.mat and wider_{easy,medium,hard}_val.mat.")
    ],
    predictions: Annotated[Path | None, typer.Option(help="Folder of EVENT/FILE.txt, as the benchmark asks.")] = None,
    images: Annotated[Path | None, typer.Option(help="WIDER_val/images, to detect now instead.")] = None,
    save: Annotated[Path | None, typer.Option(help="With --images: write the predictions into this folder.")] = None,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Average precision on WIDER FACE's easy, medium and hard faces, by its own protocol.

    Example: facereg evaluate wider --ground-truth eval_tools/ground_truth --images WIDER_val/images
    """
    from facereg.data.wider import read_wider_predictions, read_wider_truth
    from facereg.evaluation.wider import WiderResult, measure_wider, score_wider

    if (predictions is None) == (images is None):
        raise typer.BadParameter("give either --predictions or --images")
    if save is not None and images is None:
        raise typer.BadParameter("--save goes with --images")
    truth = read_wider_truth(ground_truth)
    if images is not None:
        with stages.detector_alone() as detector, progress("detecting", len(truth.names)) as advance:
            result = measure_wider(detector, truth, images, save=save, progress=advance, notice=complain)
        report(result, result.images, stages, ("detector",), out, json)
    elif predictions is not None:
        scores = score_wider(truth, read_wider_predictions(predictions, truth.names))
        report(WiderResult(len(truth.names), scores), 0, stages, (), out, json)


Points = Literal["5pt", "68pt", "wflw", "pts", "cofw", "pseudo"]  # how points are labelled


@app.command()
@with_stages
def landmarks(
    images: Images,
    annotations: Annotated[
        Path, typer.Option("--annotations", help="The list of points, or the folder of .pts files.")
    ],
    format: Annotated[Points, typer.Option(help="Layout of the annotations.")] = "5pt",
    enlarge: Annotated[float, typer.Option(min=0.1, max=16, help="Detect on the picture made larger by this.")] = 1.0,
    worst: Annotated[
        Path | None,
        typer.Option(file_okay=False, callback=drawn, help="Draw the faces with the largest errors into this folder."),
    ] = None,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Error of the points that the aligner finds, divided by the distance between the labelled eyes (inter-ocular).

    The aligner five-point takes the detector's own five. nme is in percent, over the faces found; fr10 the share of
    all faces with more than 10 % or missed; auc10 the area under the curve of errors up to 10 %, from 0 to 1.

    Example: facereg evaluate landmarks --images faces --annotations dev_5pt.txt --format 5pt --enlarge 3
    """
    from facereg.data.points import read_points
    from facereg.evaluation.landmarks import measure_landmarks

    items = read_points(format, annotations, images)
    with (
        stages.detector_alone() as detector,
        stages.aligner_alone() as aligner,
        progress("detecting", len(items)) as advance,
    ):
        result = measure_landmarks(detector, items, aligner=aligner, enlarge=enlarge, progress=advance, notice=complain)
    if worst is not None:
        complain(f"drew {counted(len(result.draw_worst(worst)), 'picture')} into {worst}")
    report(result, len(items), stages, ("detector", "aligner"), out, json)


@app.command()
@with_stages
def identification(
    images: Annotated[Path, typer.Option("--images", help="Folder with a folder of pictures for each person.")],
    seeds: Annotated[int, typer.Option(min=1, help="Divisions into enrolled people and strangers.")] = 5,
    enrolled_images: Annotated[int, typer.Option(min=1, help="Pictures enrolled of each person.")] = 3,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Open set: half the people are enrolled, the others are strangers; means over several divisions.

    Example: facereg evaluate identification --images people/
    """
    from facereg.evaluation.identification import measure_identification
    from facereg.folders.people import find_people, require_pictures

    found, tally = find_people(images), Tally()
    require_pictures(found, images)
    tally.leave_out(found.skipped, found.failed)
    with stages.pipeline() as pipeline, progress("embedding", len(found.pictures)) as advance:
        result = measure_identification(
            pipeline,
            found.people,
            matcher=partial(stages.make_matcher, -1.0),
            seeds=seeds,
            images=enrolled_images,
            progress=advance,
            notice=complain,
        )
    report(result, result.images, stages, ("detector", "aligner", "embedder", "matcher"), out, json, tally)


@app.command()
@with_stages
def grouping(
    images: Annotated[Path, typer.Option("--images", help="Folder with a folder of pictures for each person.")],
    choose_on: Annotated[
        Path, typer.Option("--choose-on", help="Another such folder, on which each method's threshold is chosen.")
    ],
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Unknown people: their main faces are put into groups by each method, and the groups compared with the people.

    Example: facereg evaluate grouping --images people/ --choose-on others/
    """
    from facereg.evaluation.grouping import measure_grouping
    from facereg.folders.people import find_people, require_pictures
    from facereg.gallery.thresholds import calibration_for

    found, others, tally = find_people(images), find_people(choose_on), Tally()
    for each, folder in ((found, images), (others, choose_on)):
        require_pictures(each, folder)
        tally.leave_out(each.skipped, each.failed)
    pictures = len(found.pictures) + len(others.pictures)
    with stages.pipeline() as pipeline, progress("embedding", pictures) as advance:
        calibration = None
        with suppress(FaceregError):  # thresholds of its own are chosen then
            calibration = calibration_for(pipeline.embedder.space, stages.registry)
        result = measure_grouping(
            pipeline,
            found.people,
            choose_on=others.people,
            calibration=calibration,
            progress=advance,
            notice=complain,
        )
    report(result, pictures, stages, ("detector", "aligner", "embedder"), out, json, tally)
