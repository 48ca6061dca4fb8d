"""verify and calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, Stages, answer, complain, counted, misused, print_json, progress, with_stages
from facereg.cli.streams import say
from facereg.cli.tally import Tally
from facereg.names import Address

if TYPE_CHECKING:
    from facereg.evaluation.calibrating import CalibrationResult
    from facereg.gallery.thresholds import Threshold


@with_stages
def verify(
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    threshold: Annotated[float | None, typer.Option(min=-1.0, max=1.0, help="Default: the one calibrated.")] = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Say whether two pictures show the same person; exit status 0 either way.

    Example: facereg verify passport.jpg visitor.jpg
    """
    from facereg.evaluation.comparing import compare_pictures

    with stages.pipeline() as pipeline:
        used = stages.threshold_for(pipeline.embedder.space, threshold)
        found = compare_pictures(pipeline, first, second, used, notice=complain)
    far = "" if used.far is None else f", false accept rate {used.far:g}"
    verdict = "the same person" if found.same else "different people"
    line = f"{verdict}: similarity {found.similarity:.3f}, threshold {used.value:.3f} ({used.origin}{far})"
    answer(json, found.figures(), line)


@with_stages
def calibrate(
    far: Annotated[float, typer.Option(min=1e-6, max=1.0, help="The false accept rate wanted, as 0.001.")],
    images: Annotated[Path | None, typer.Option("--images", help="Folder of the pictures of --pairs.")] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="List of pairs, in LFW's layout.")] = None,
    every_pair: Annotated[
        bool, typer.Option("--every-pair", help="Compare all pictures of the list with each other: shows lower rates.")
    ] = False,
    gallery: Annotated[
        Address | None,
        typer.Option("--gallery", parser=Address.of, help="Compare a gallery's own embeddings, in place of pictures."),
    ] = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Measure the threshold of a false accept rate on your pairs, or on a gallery; it is used from then on.

    Tenths of the rate are measured as well, as far down as the pairs can show, and how they go on below: identify needs
    them. Thresholds are kept for the embedder with its weights, and serve no other.

    Example: facereg calibrate --images lfw --pairs pairsDevTrain.txt --far 0.01 --every-pair
    """
    if gallery is not None and not (images or pairs or every_pair):
        result, pictures = _on_gallery(gallery, far)
    elif gallery is None and images is not None and pairs is not None:
        result, pictures = _on_pairs(stages, images, pairs, far, every_pair)
    else:
        raise misused("--gallery", "expected either that alone, or --images and --pairs; give one of the two")
    path, tally = result.store(), Tally()
    tally.count(pictures, result.errors)
    if json:
        print_json({**result.figures(), "file": str(path), **tally.document})
    else:
        calibration = result.calibration
        for rate, value in calibration.thresholds.items():
            low, high = calibration.intervals.get(rate, (None, None))
            within = "" if low is None else f" ({low:.4f} to {high:.4f} in 95 % of draws of the people)"
            known = f", true positive rate {result.tpr:.4f}" if rate == far and result.tpr is not None else ""
            say(f"threshold {value:.4f}{within}: false accept rate {rate:g}{known}")
        say(f"measured on {calibration.origin}")
        say(f"stored for {result.space} in {path}")
    tally.finish()


def _on_pairs(stages: Stages, images: Path, pairs: Path, far: float, every_pair: bool) -> tuple[CalibrationResult, int]:
    from facereg.data.pairs import read_lfw_pairs
    from facereg.evaluation.calibrating import measure_thresholds

    listed = read_lfw_pairs(pairs, images)
    source = f"{pairs.name}, with {stages.detector} and {stages.aligner}"
    with stages.pipeline() as pipeline, progress("embedding", len(listed.paths)) as advance:
        result = measure_thresholds(
            pipeline, listed, far, source=source, every_pair=every_pair, progress=advance, notice=complain
        )
    return result, len(listed.paths)


def _on_gallery(gallery: Address, far: float) -> tuple[CalibrationResult, int]:
    from facereg.evaluation.calibrating import calibrate_gallery
    from facereg.gallery import Gallery

    with Gallery.open(gallery) as held:
        return calibrate_gallery(held, far), 0


def threshold_among(stages: Stages, space: str, comparisons: int, given: float | None, fpir: float) -> Threshold:
    """Return the threshold for so many comparisons; say so where that few errors were not measured."""
    from facereg.gallery.thresholds import far_for

    far = far_for(comparisons, fpir)
    used = stages.threshold_for(space, given, far=far)
    if used.far is not None and used.far > far:
        complain(
            f"{counted(comparisons, 'comparison')} a face: expected a threshold of false accept rate {far:.2g}, "
            f"the lowest measured is {used.far:g} ({used.origin}); strangers may be named, "
            "calibrate with --every-pair on more pictures"
        )
    return used


def say_named(line: dict[str, object], json: bool, used: Threshold | None) -> None:
    """Print what is known of one face, as JSON or for people, and why, where the threshold in force is given."""
    from facereg.gallery.explaining import explain

    frame = f" frame {line['frame']} track {line['track']}" if "frame" in line else ""
    why = line.get("reason") or f"similarity {line['similarity']:.3f}"
    told = f"{line['image']}{frame}: {line['label'] or 'unknown'} ({why})"
    if used is None or "reason" in line:
        answer(json, line, told)
    else:
        explained = explain(line, used)
        answer(json, {**line, "explain": explained}, told, f"  {explained['text']}")
