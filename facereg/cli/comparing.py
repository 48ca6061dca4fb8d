"""verify and calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, Stages, answer, complain, counted, print_json, progress, with_stages
from facereg.cli.streams import say
from facereg.cli.tally import Tally
from facereg.cli.verifying import Images, Pairs


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
    images: Images,
    pairs: Pairs,
    far: Annotated[float, typer.Option(min=1e-6, max=1.0, help="The false accept rate wanted, as 0.001.")],
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
    from facereg.evaluation.comparing import measure_thresholds

    listed = read_lfw_pairs(pairs, images)
    source = f"{pairs.name}, with {stages.detector} and {stages.aligner}"
    with stages.pipeline() as pipeline, progress("embedding", len(listed.paths)) as advance:
        result = measure_thresholds(
            pipeline, listed, far, source=source, every_pair=every_pair, progress=advance, notice=complain
        )
    path, tally = result.store(), Tally()
    tally.count(len(listed.paths), result.errors)
    if json:
        print_json({**result.figures(), "file": str(path), **tally.document})
    else:
        thresholds, tpr = result.calibration.thresholds, result.tpr
        known = "not measured" if tpr is None else f"{tpr:.4f}"
        origin = result.calibration.origin
        say(f"threshold {thresholds[far]:.4f}: false accept rate {far:g}, true positive rate {known} ({origin})")
        for rate, value in list(thresholds.items())[1:]:
            say(f"threshold {value:.4f}: false accept rate {rate:g}")
        say(f"stored for {result.space} in {path}")
    tally.finish()


def threshold_among(stages: Stages, space: str, comparisons: int, given: float | None, fpir: float) -> float:
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
    return used.value
