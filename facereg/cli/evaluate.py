"""evaluate detection, verification, identification; calibrate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, Stages, complain, print_json, progress, with_stages
from facereg.errors import ContractError, DatasetError

if TYPE_CHECKING:
    from facereg.data.pairs import PairList
    from facereg.evaluation.main_faces import MainFaces
    from facereg.types import BoolArray, FloatArray

app = typer.Typer(help="Measure models on labelled pictures.", no_args_is_help=True)
Images = Annotated[Path, typer.Option("--images", help="Folder of the pictures.")]
Pairs = Annotated[Path, typer.Option("--pairs", help="LFW list of pairs.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the figures to this .json, the curve to a .png beside.")]


class Format(StrEnum):
    """How boxes are labelled."""

    wider = "wider"
    voc = "voc"
    yolo = "yolo"


@app.command()
@with_stages
def detection(
    images: Images,
    annotations: Annotated[Path, typer.Option("--annotations", help="The list (wider) or folder (voc, yolo).")],
    format: Annotated[Format, typer.Option(help="Layout of the annotations.")] = Format.wider,
    fifth: Annotated[bool, typer.Option("--held-out-fifth", help="Only pictures that recipes keep out.")] = False,
    least: Annotated[float, typer.Option(help="px; smaller faces are ignored in the second line.")] = 24.0,
    out: Out = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Average precision at IoU 0.5, and precision, recall and mean IoU of all boxes given.

    Example: facereg evaluate detection --images crowds/images --annotations crowds/list.txt --format wider
    """
    from facereg.data.boxes import READERS
    from facereg.data.splits import held_out
    from facereg.evaluation.detection import score_detections
    from facereg.images import read_image

    items = READERS[format](annotations, images)
    if fifth:
        items = held_out(items, key=lambda item: item.path.name)[1]
    found = []
    with stages.detector_alone() as detector, progress("detecting", len(items)) as advance:
        for item in items:
            found += detector.detect([read_image(item.path)])
            advance(1)
    every, large = score_detections(items, found), score_detections(items, found, least=least)
    figures: dict[str, object] = {
        "images": len(items),
        "faces": every.faces,
        "precision": every.precision,
        "recall": every.recall,
        "mean_iou": every.mean_iou,
        "ap50": every.ap50,
        "least": least,
        "faces_large": large.faces,
        "ap50_large": large.ap50,
    }
    if out is not None:
        from facereg.evaluation.plots import plot_detection

        curves = {f"all faces, AP50 {every.ap50:.3f}": every.curve}
        curves[f"{least:g} px and over, AP50 {large.ap50:.3f}"] = large.curve
        plot_detection(out.with_suffix(".png"), curves, f"{stages.detector}, {len(items)} pictures")
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
    faces, rows = _embed_pairs(lists, stages)
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
    from facereg.data.people import read_people
    from facereg.evaluation.identification import score_identification
    from facereg.evaluation.main_faces import embed_main_faces

    people = read_people(images)
    paths = [path for own in people.values() for path in own]
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(name for name, own in people.items() for _ in own):
        rows.setdefault(name, []).append(row)
    with stages.pipeline() as pipeline, progress("embedding", len(paths)) as advance:
        faces = embed_main_faces(pipeline, paths, progress=advance)
    for error in faces.errors:
        complain(str(error))
    scores = score_identification(faces.vectors, faces.found, rows, seeds=range(seeds), images=enrolled_images)
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
    _report(figures, out, json, stages, ("detector", "aligner", "embedder"))


@with_stages
def calibrate(
    images: Images,
    pairs: Pairs,
    far: Annotated[float, typer.Option(help="The false accept rate wanted, as 0.001.")],
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Measure the threshold of a false accept rate on your pairs; verify and identify use it from then on.

    Example: facereg calibrate --images lfw --pairs pairsDevTrain.txt --far 0.01
    """
    from facereg.calibration import Threshold, store_threshold
    from facereg.data.pairs import read_lfw_pairs
    from facereg.evaluation.verification import threshold_at

    listed = read_lfw_pairs(pairs, images)
    faces, rows = _embed_pairs([listed], stages)
    similarities, same, missing = _similarities(listed, faces, rows)
    value = threshold_at(similarities, same, far)
    tpr = float((similarities[same] >= value).mean())
    origin = f"{len(listed.pairs)} pairs of {pairs.name}, with {stages.detector} and {stages.aligner}"
    path = store_threshold(faces.space, Threshold(value, far, origin))
    if json:
        print_json(
            {
                "threshold": value,
                "far": far,
                "tpr": tpr,
                "pairs": len(listed.pairs),
                "missing": missing,
                "space": faces.space,
                "file": str(path),
            }
        )
    else:
        typer.echo(f"threshold {value:.4f}: false accept rate {far:g}, true positive rate {tpr:.4f} ({origin})")
        typer.echo(f"stored for {faces.space} in {path}")


def _embed_pairs(lists: list[PairList], stages: Stages) -> tuple[MainFaces, dict[Path, int]]:
    """Embed every picture of the lists once; return the faces and the row of each picture."""
    from facereg.evaluation.main_faces import embed_main_faces

    paths = list(dict.fromkeys(path for held in lists for pair in held.pairs for path in (pair.first, pair.second)))
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DatasetError(f"{len(absent)} of {len(paths)} pictures are missing, such as {absent[0]}; check --images")
    with stages.pipeline() as pipeline, progress("embedding", len(paths)) as advance:
        faces = embed_main_faces(pipeline, paths, progress=advance)
    for error in faces.errors:
        complain(str(error))
    return faces, {path: row for row, path in enumerate(paths)}


def _similarities(listed: PairList, faces: MainFaces, rows: Mapping[Path, int]) -> tuple[FloatArray, BoolArray, int]:
    """Return similarities, whether each pair is one person, and how many pairs lack a face: they are refused."""
    import numpy as np

    from facereg.evaluation.verification import REFUSED

    first = np.array([rows[pair.first] for pair in listed.pairs])
    second = np.array([rows[pair.second] for pair in listed.pairs])
    seen = faces.found[first] & faces.found[second]
    cosine = (faces.vectors[first] * faces.vectors[second]).sum(1)
    similarities = np.where(seen, cosine, REFUSED).astype(np.float32)
    return similarities, np.array([pair.same for pair in listed.pairs], np.bool_), int((~seen).sum())


def _report(figures: dict[str, object], out: Path | None, json: bool, stages: Stages, roles: tuple[str, ...]) -> None:
    from facereg.evaluation.reports import write_report

    if out is not None:
        if out.suffix != ".json":
            raise ContractError(f"--out: expected a name that ends in .json, got {out}")
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
