"""evaluate detection, wider, landmarks, verification, identification; calibrate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import (
    Json,
    Stages,
    complain,
    counted,
    misused,
    print_json,
    progress,
    say_without_area,
    with_stages,
)
from facereg.cli.tally import Tally
from facereg.errors import DatasetError

if TYPE_CHECKING:
    from facereg.data.pairs import PairList
    from facereg.evaluation.main_faces import MainFaces
    from facereg.roles import Detector
    from facereg.types import BoolArray, Faces, FloatArray, Image

app = typer.Typer(help="Measure models on labelled pictures.", no_args_is_help=True)
Images = Annotated[Path, typer.Option("--images", help="Folder of the pictures.")]
Pairs = Annotated[Path, typer.Option("--pairs", help="LFW list of pairs.")]


def _json_file(path: Path | None) -> Path | None:
    if path is not None and path.suffix != ".json":
        raise typer.BadParameter(f"expected a name that ends in .json, got {path}")
    return path


Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write the figures to this .json, the curve to a .png beside.", callback=_json_file),
]


class Format(StrEnum):
    """How boxes are labelled."""

    wider = "wider"
    voc = "voc"
    yolo = "yolo"
    celeba = "celeba"
    pseudo = "pseudo"


@app.command()
@with_stages
def detection(
    images: Images,
    annotations: Annotated[
        Path, typer.Option("--annotations", help="The list (wider, pseudo) or folder (voc, yolo, celeba).")
    ],
    format: Annotated[Format, typer.Option(help="Layout of the annotations.")] = Format.wider,
    partition: Annotated[str | None, typer.Option(help="train, val or test; of celeba only.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first pictures, as the paper's 1000.")] = None,
    fifth: Annotated[bool, typer.Option("--held-out-fifth", help="Only pictures that recipes keep out.")] = False,
    least: Annotated[float, typer.Option(help="px; smaller faces are ignored in the second line.")] = 24.0,
    close_up: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Cut a picture about each face of --least px, to fill this share of it."),
    ] = None,
    worst: Annotated[Path | None, typer.Option(help="Draw the pictures with most mistakes into this folder.")] = None,
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
    from facereg.evaluation.close_ups import close_ups
    from facereg.evaluation.detection import score_detections
    from facereg.images import read_image

    items = read_boxes(format, annotations, images, partition=partition)
    say_without_area(items)
    if fifth:
        items = held_out(items, key=lambda item: item.path.name)[1]
    items = items[:limit]
    if close_up is not None and worst is not None:
        raise misused("--worst", "expected whole pictures, got --close-up; leave one of the two out")
    whole, items, found = items, [], []
    with stages.detector_alone() as detector, progress("detecting", len(whole)) as advance:
        for item in whole:
            image = read_image(item.path, whole=True)
            parts = [(item, image)] if close_up is None else close_ups(item, image, share=close_up, least=least)
            found += detector.detect([part for _, part in parts])
            items += [labels for labels, _ in parts]
            advance(1)
    every, large = score_detections(items, found), score_detections(items, found, least=least)
    figures: dict[str, object] = {
        "images": len(items),
        "faces": every.faces,
        "precision": every.precision,
        "recall": every.recall,
        "accuracy": every.accuracy,
        "mean_iou": every.mean_iou,
        "ap50": every.ap50,
        "close_up": close_up,
        "least": least,
        "faces_large": large.faces,
        "ap50_large": large.ap50,
    }
    if out is not None:
        from facereg.evaluation.plots import plot_detection

        curves = {f"all faces, AP50 {every.ap50:.3f}": every.curve}
        curves[f"{least:g} px and over, AP50 {large.ap50:.3f}"] = large.curve
        plot_detection(out.with_suffix(".png"), curves, f"{stages.detector}, {len(items)} pictures")
    if worst is not None:
        from facereg.evaluation.worst import draw_worst

        complain(f"drew {counted(len(draw_worst(worst, items, found)), 'picture')} into {worst}")
    _report(figures, out, json, stages, ("detector",))


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
    from facereg.data.wider import predictions_of, read_wider_predictions, read_wider_truth, write_wider_predictions
    from facereg.evaluation.wider import figures, score_wider

    if (predictions is None) == (images is None):
        raise typer.BadParameter("give either --predictions or --images")
    if save is not None and images is None:
        raise typer.BadParameter("--save goes with --images")
    truth = read_wider_truth(ground_truth)
    if images is not None:
        faces = _detect_wider([images / f"{name}.jpg" for name in truth.names], stages)
        given = [predictions_of(own) for own in faces]
        if save is not None:
            write_wider_predictions(save, truth.names, faces)
    elif predictions is not None:
        given = read_wider_predictions(predictions, truth.names)
    scores = score_wider(truth, given)
    title = f"{stages.detector}, {len(truth.names)} pictures" if images is not None else f"{len(truth.names)} pictures"
    if out is not None:
        from facereg.evaluation.plots import plot_detection

        curves = {f"{subset}, AP {own.ap:.3f}": own.curve for subset, own in scores.items()}
        plot_detection(out.with_suffix(".png"), curves, title)
    _report({"images": len(truth.names)} | figures(scores), out, json, stages, ("detector",) if images else ())


class Points(StrEnum):
    """How points are labelled."""

    five = "5pt"


@app.command()
@with_stages
def landmarks(
    images: Images,
    annotations: Annotated[Path, typer.Option("--annotations", help="The list of points.")],
    format: Annotated[Points, typer.Option(help="5pt: file, perhaps a box, and five x y.")] = Points.five,
    enlarge: Annotated[float, typer.Option(min=0.1, help="Detect on the picture made larger by this.")] = 1.0,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Error of a detector's five points, divided by the distance between the labelled eyes (inter-ocular).

    nme is in percent, over the faces found; fr10 the share of all faces with more than 10 % or not found; auc10 the
    area under the curve of errors up to 10 %, from 0 to 1.

    Example: facereg evaluate landmarks --images faces --annotations dev_5pt.txt --format 5pt --enlarge 3
    """
    import numpy as np

    from facereg.data.points import read_five_points
    from facereg.evaluation.landmarks import inter_ocular, landmarks_of, score_landmarks
    from facereg.images import read_image

    items = read_five_points(annotations, images)
    labelled = np.stack([item.points for item in items])
    found = []
    with stages.detector_alone() as detector, progress("detecting", len(items)) as advance:
        for item in items:
            found.append(_detect_enlarged(detector, read_image(item.path, whole=True), enlarge))
            advance(1)
    scores = score_landmarks(landmarks_of(found, labelled), labelled, inter_ocular(labelled))
    figures: dict[str, object] = {
        "images": scores.faces,
        "missed": scores.missed,
        "nme": scores.nme if scores.missed < scores.faces else None,
        "fr10": scores.fr10,
        "auc10": scores.auc10,
        "normaliser": "inter-ocular",
        "enlarge": enlarge,
    }
    if out is not None:
        from facereg.evaluation.plots import plot_errors

        curves = {f"five points, AUC {scores.auc10:.3f}": scores.curve}
        plot_errors(out.with_suffix(".png"), curves, f"{stages.detector}, {scores.faces} pictures")
    _report(figures, out, json, stages, ("detector",))


@app.command()
@with_stages
def verification(
    images: Images,
    pairs: Pairs,
    threshold_pairs: Annotated[
        Path | None, typer.Option(help="List to choose the threshold on; needed where PAIRS has one fold.")
    ] = None,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Accuracy and TPR at FAR over pairs, by the LFW protocol; no pair is left out.

    Example: facereg evaluate verification --images lfw --pairs pairs.txt
    """
    import numpy as np

    from facereg.data.pairs import read_lfw_pairs
    from facereg.evaluation.verification import best_threshold, score_pairs

    tested = read_lfw_pairs(pairs, images)
    chosen = None if threshold_pairs is None else read_lfw_pairs(threshold_pairs, images)
    lists = [tested] if chosen is None else [tested, chosen]
    tally = Tally()
    faces, rows = _embed_pairs(lists, stages, tally)
    similarities, same, missing = _similarities(tested, faces, rows)
    threshold = None
    if chosen is not None:
        other, other_same, _ = _similarities(chosen, faces, rows)
        threshold = best_threshold(other, other_same)
    scores = score_pairs(similarities, same, tested.folds, threshold=threshold)
    figures: dict[str, object] = {
        "pairs": len(tested.pairs),
        "missing": missing,
        "accuracy": scores.accuracy,
        "accuracy_std": scores.accuracy_std,
        "tpr_at_far": {f"{far:g}": value for far, value in scores.tpr_at_far.items()},
        "threshold": scores.threshold,
        "folds": len(np.unique(tested.folds)),
    }
    if out is not None:
        from facereg.evaluation.plots import plot_verification

        plot_verification(out.with_suffix(".png"), scores.curve, f"{stages.embedder}, {len(tested.pairs)} pairs")
    _report(figures, out, json, stages, ("detector", "aligner", "embedder"))
    tally.finish()


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
    from facereg.evaluation.identification import score_identification
    from facereg.evaluation.main_faces import embed_main_faces
    from facereg.folders.people import find_people, require_pictures

    found, tally = find_people(images), Tally()
    require_pictures(found, images)
    tally.leave_out(found.skipped, found.failed)
    people, paths = found.people, [path for _, path in found.pictures]
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(name for name, own in people.items() for _ in own):
        rows.setdefault(name, []).append(row)
    with stages.pipeline() as pipeline, progress("embedding", len(paths)) as advance:
        faces = embed_main_faces(pipeline, paths, progress=advance, notice=complain)
    _count(faces, tally)
    scores = score_identification(
        faces.vectors,
        faces.found,
        rows,
        matcher=partial(stages.make_matcher, -1.0),
        seeds=range(seeds),
        images=enrolled_images,
    )
    figures: dict[str, object] = {
        "people": len(people),
        "images": len(paths),
        "without_face": int((~faces.found).sum()),
        "seeds": seeds,
        "rank1": scores.rank1,
        "tpir_at_fpir": {f"{fpir:g}": value for fpir, value in scores.tpir_at_fpir.items()},
    }
    if out is not None:
        from facereg.evaluation.plots import plot_identification

        plot_identification(out.with_suffix(".png"), scores.curve, f"{stages.embedder}, {len(people)} people, seed 0")
    _report(figures, out, json, stages, ("detector", "aligner", "embedder", "matcher"))
    tally.finish()


@with_stages
def calibrate(
    images: Images,
    pairs: Pairs,
    far: Annotated[float, typer.Option(help="The false accept rate wanted, as 0.001.")],
    every_pair: Annotated[
        bool, typer.Option("--every-pair", help="Compare all pictures of the list with each other: shows lower rates.")
    ] = False,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Measure the threshold of a false accept rate on your pairs; verify and identify use it from then on.

    Tenths of the rate are measured as well, as far down as the pairs can show: identify needs them.

    Example: facereg calibrate --images lfw --pairs pairsDevTrain.txt --far 0.01 --every-pair
    """
    from facereg.data.pairs import read_lfw_pairs
    from facereg.evaluation.verification import thresholds_from
    from facereg.gallery.thresholds import Calibration, store_calibration

    listed = read_lfw_pairs(pairs, images)
    tally = Tally()
    faces, rows = _embed_pairs([listed], stages, tally)
    similarities, same, missing = _every_similarity(faces, rows) if every_pair else _similarities(listed, faces, rows)
    thresholds = thresholds_from(similarities, same, far)
    value = thresholds[far]
    tpr = float((similarities[same] >= value).mean())
    origin = f"{len(same)} pairs of {pairs.name}, with {stages.detector} and {stages.aligner}"
    path = store_calibration(faces.space, Calibration(thresholds, origin))
    if json:
        print_json(
            {
                "threshold": value,
                "far": far,
                "tpr": tpr,
                "thresholds": {f"{rate:g}": held for rate, held in thresholds.items()},
                "pairs": len(same),
                "missing": missing,
                "space": faces.space,
                "file": str(path),
            }
        )
    else:
        typer.echo(f"threshold {value:.4f}: false accept rate {far:g}, true positive rate {tpr:.4f} ({origin})")
        for rate, held in list(thresholds.items())[1:]:
            typer.echo(f"threshold {held:.4f}: false accept rate {rate:g}")
        typer.echo(f"stored for {faces.space} in {path}")
    tally.finish()


def _detect_wider(paths: list[Path], stages: Stages) -> list[Faces]:
    from facereg.data.lines import require_files
    from facereg.images import read_image

    require_files(paths, listed_in=Path("wider_face_val.mat"))
    found = []
    with stages.detector_alone() as detector, progress("detecting", len(paths)) as advance:
        for path in paths:
            found += detector.detect([read_image(path, whole=True)])
            advance(1)
    return found


def _detect_enlarged(detector: Detector, image: Image, factor: float) -> Faces:
    """Return the faces of a picture, in its own pixels, found on it made larger by `factor`."""
    import cv2
    import numpy as np

    from facereg.types import Faces

    if factor == 1:
        return detector.detect([image])[0]
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    [faces] = detector.detect([cv2.resize(image, size, interpolation=method).astype(np.uint8, copy=False)])
    scale = np.array([width / size[0], height / size[1]], np.float32)
    # pixel centres are at integers: a picture's corner lies at -0.5, and stays put
    boxes = (faces.boxes + 0.5) * np.tile(scale, 2) - 0.5
    return Faces(boxes, faces.scores, (faces.landmarks + 0.5) * scale - 0.5)


def _embed_pairs(lists: list[PairList], stages: Stages, tally: Tally) -> tuple[MainFaces, dict[Path, int]]:
    """Embed every picture of the lists once; return the faces and the row of each picture."""
    from facereg.evaluation.main_faces import embed_main_faces

    paths = list(dict.fromkeys(path for held in lists for pair in held.pairs for path in (pair.first, pair.second)))
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DatasetError(f"{len(absent)} of {len(paths)} pictures are missing, such as {absent[0]}; check --images")
    with stages.pipeline() as pipeline, progress("embedding", len(paths)) as advance:
        faces = embed_main_faces(pipeline, paths, progress=advance, notice=complain)
    _count(faces, tally)
    return faces, {path: row for row, path in enumerate(paths)}


def _count(faces: MainFaces, tally: Tally) -> None:
    """Count the pictures embedded, those without a face among them: the figures count them as misses."""
    tally.done += len(faces.found) - len(faces.errors)
    for error in faces.errors:
        tally.fail(error)


def _similarities(listed: PairList, faces: MainFaces, rows: Mapping[Path, int]) -> tuple[FloatArray, BoolArray, int]:
    """Return similarities, whether each pair is one person, and how many pairs lack a face: they are refused."""
    import numpy as np

    first = np.array([rows[pair.first] for pair in listed.pairs])
    second = np.array([rows[pair.second] for pair in listed.pairs])
    cosine = (faces.vectors[first] * faces.vectors[second]).sum(1)
    similarities, missing = _refuse(cosine, faces.found[first] & faces.found[second])
    return similarities, np.array([pair.same for pair in listed.pairs], np.bool_), missing


def _every_similarity(faces: MainFaces, rows: Mapping[Path, int]) -> tuple[FloatArray, BoolArray, int]:
    """Return the same as `_similarities` for every two pictures; those in one folder show one person."""
    import numpy as np

    _, person = np.unique([str(path.parent) for path in rows], return_inverse=True)
    first, second = np.triu_indices(len(person), 1)
    cosine = (faces.vectors @ faces.vectors.T)[first, second]  # row by row, millions of pairs would take gigabytes
    similarities, missing = _refuse(cosine, faces.found[first] & faces.found[second])
    return similarities, person[first] == person[second], missing


def _refuse(cosine: FloatArray, seen: BoolArray) -> tuple[FloatArray, int]:
    """Return the similarities, those of pairs that lack a face as refused, and how many these are."""
    import numpy as np

    from facereg.evaluation.verification import REFUSED

    return np.where(seen, cosine, REFUSED).astype(np.float32), int((~seen).sum())


def _report(figures: dict[str, object], out: Path | None, json: bool, stages: Stages, roles: tuple[str, ...]) -> None:
    from facereg.evaluation.reports import write_report

    if out is not None:
        command = " ".join(["facereg", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])
        write_report(out, figures, command=command, models={role: getattr(stages, role) for role in roles})
    if json:
        print_json(figures)
    else:
        for name, value in figures.items():
            if isinstance(value, dict):
                for key, one in value.items():
                    typer.echo(f"{name} {key}: {'too few pairs' if one is None else f'{one:.4f}'}")
            else:
                typer.echo(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if out is not None:
        complain(f"wrote {out} and {out.with_suffix('.png')}")
