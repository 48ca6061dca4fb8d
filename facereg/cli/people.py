"""enroll and identify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import GalleryFile, Json, Stages, complain, counted, print_json, progress, with_stages
from facereg.cli.pictures import DrawInto, drawn_path
from facereg.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from facereg.gallery import Gallery
    from facereg.pipeline import Pipeline, Result
    from facereg.types import Image, Match


@with_stages
def enroll(
    folder: Annotated[Path, typer.Argument(help="Holds a folder of pictures for each person, named after them.")],
    gallery: GalleryFile,
    largest: Annotated[bool, typer.Option("--largest", help="Of several faces take the largest; else skip.")] = False,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Add people to a gallery; what is there already stays, and running it twice adds nothing.

    Example: facereg enroll people/ --gallery team.gallery
    """
    from facereg.data.people import read_people
    from facereg.files import run_files
    from facereg.gallery import Gallery

    pictures = [(name, path) for name, paths in read_people(folder).items() for path in paths]
    loose = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    skipped: list[dict[str, str]] = [
        {"image": str(path), "reason": "expected it in a folder named after the person"} for path in sorted(loose)
    ]
    enrolled = 0
    with (
        stages.pipeline() as pipeline,
        Gallery.open(gallery, space=pipeline.embedder.space, create=True) as held,
        progress("enrolling", len(pictures)) as advance,
        closing(run_files(pipeline, [path for _, path in pictures])) as outcomes,
    ):
        # a name, the pictures under it and what came of them
        for name, group in groupby(zip(pictures, outcomes, strict=True), key=lambda pair: pair[0][0]):
            added, left_out = _enroll_person(held, name, (outcome for _, outcome in group), advance, largest=largest)
            enrolled += added
            skipped += left_out
    for item in skipped:
        complain(f"skipped {item['image']}: {item['reason']}")
    if json:
        print_json({"enrolled": enrolled, "skipped": skipped})
    else:
        typer.echo(f"{gallery}: {counted(enrolled, 'picture')} enrolled, {len(skipped)} skipped")
    if enrolled == 0 and any("already" not in item["reason"] for item in skipped):
        raise typer.Exit(1)


def _enroll_person(
    held: Gallery,
    name: str,
    outcomes: Iterable[tuple[Path, Result | ImageError]],
    advance: Callable[[int], None],
    *,
    largest: bool,
) -> tuple[int, list[dict[str, str]]]:
    """Enrol a person's pictures in one transaction; return how many went in and what was skipped."""
    import numpy as np

    from facereg.gallery import Source
    from facereg.geometry import box_areas
    from facereg.types import Embeddings

    vectors, sources, skipped = [], [], []
    for path, outcome in outcomes:
        advance(1)
        reason = outcome.reason if isinstance(outcome, ImageError) else _refusal(len(outcome.faces), largest)
        if isinstance(outcome, ImageError) or reason:
            skipped.append({"image": str(path), "reason": reason})
            continue
        vectors.append(outcome.embeddings.vectors[int(box_areas(outcome.faces.boxes).argmax())])
        sources.append(Source.of(path))
    if not vectors:
        return 0, skipped
    done = held.enroll(name, Embeddings(np.stack(vectors), held.space), sources)
    return done.added, skipped + [{"image": source, "reason": "enrolled already"} for source in done.repeated]


def _refusal(faces: int, largest: bool) -> str:
    if faces == 0:
        return "expected a face, found none; use a larger or sharper picture"
    if faces > 1 and not largest:
        return f"expected one face, found {faces}; crop the picture, or pass --largest"
    return ""


@with_stages
def identify(
    source: Annotated[str, typer.Argument(help="A picture, a folder, a video file, or a camera's number.")],
    gallery: GalleryFile,
    draw: DrawInto = None,
    threshold: Annotated[float | None, typer.Option(min=-1.0, max=1.0, help="Default: the one calibrated.")] = None,
    fpir: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of strangers that may be named, without --threshold.")
    ] = 0.01,
    candidates: Annotated[int, typer.Option(min=1, help="How many people to list for a face.")] = 5,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop a video after so many frames.")] = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Say who is in pictures or a video: a line a face; null for a stranger.

    Example: facereg identify party/ --gallery team.gallery --draw out
    """
    from facereg.gallery import Gallery
    from facereg.video import is_video

    with (
        stages.pipeline() as pipeline,
        Gallery.open(gallery, space=pipeline.embedder.space) as held,
        stages.make_matcher(1.0) as matcher,
    ):
        held.fill(matcher)
        matcher.threshold = _threshold(stages, held.space, matcher.comparisons, threshold, fpir)
        pipeline.matcher = matcher
        if is_video(source):
            _identify_video(pipeline, source, draw, candidates, frames, json)
        else:
            _identify_pictures(pipeline, Path(source), draw, candidates, json)


def _threshold(stages: Stages, space: str, comparisons: int, given: float | None, fpir: float) -> float:
    """Return the threshold for so many comparisons; say so where that few errors were not measured."""
    from facereg.calibration import far_for

    far = far_for(comparisons, fpir)
    used = stages.threshold_for(space, given, far=far)
    if used.far is not None and used.far > far:
        complain(
            f"{counted(comparisons, 'comparison')} a face: expected a threshold of false accept rate {far:.2g}, "
            f"the lowest measured is {used.far:g} ({used.origin}); strangers may be named, "
            "calibrate with --every-pair on more pictures"
        )
    return used.value


def _identify_pictures(pipeline: Pipeline, source: Path, draw: Path | None, candidates: int, json: bool) -> None:
    from dataclasses import replace

    from facereg.files import run_files
    from facereg.images import find_images, read_picture, write_image

    paths = find_images([source])
    failed = 0
    files = run_files(pipeline, paths, notice=complain)
    with progress("identifying", len(paths)) as advance, closing(files) as outcomes:
        for path, outcome in outcomes:
            if isinstance(outcome, ImageError):
                failed += 1
                complain(str(outcome))
            else:
                for line in _lines(outcome, candidates):
                    _say({"image": str(path), **line}, json)
                if draw is not None:  # read again: pictures on their way through the stages are not kept
                    try:
                        picture = read_picture(path)
                    except ImageError as error:  # a pipe gives a picture once
                        failed += 1
                        complain(f"not drawn: {error}")
                    else:
                        shown = replace(outcome, faces=picture.in_image(outcome.faces))
                        write_image(drawn_path(draw, path), drawn(picture.image, shown))
            advance(1)
    if failed:
        complain(f"{failed} of {len(paths)} pictures could not be read; the others are done")
        raise typer.Exit(1)


def _identify_video(
    pipeline: Pipeline, source: str, draw: Path | None, candidates: int, frames: int | None, json: bool
) -> None:
    from itertools import islice

    from facereg.images import write_image
    from facereg.video import Tracker, read_frames

    tracker = Tracker()
    with progress("identifying", frames) as advance:
        for frame in islice(read_frames(source), frames):
            [result] = pipeline.run([frame.image])
            if result.matches is None:
                raise DatasetError(f"{source}: expected a pipeline with a matcher")
            tracks = tracker.follow(result.faces)
            names = tracker.name(tracks, result.matches)
            for line, track, name in zip(_lines(result, candidates), tracks, names, strict=True):
                place = {"image": source, "frame": frame.number, "time_s": round(frame.time_s, 3), "track": track}
                _say({**place, **line, "label": name}, json)
            if draw is not None:
                write_image(draw / f"frame-{frame.number:06d}.jpg", drawn(frame.image, result, names))
            advance(1)


def _lines(result: Result, candidates: int) -> Iterator[dict[str, object]]:
    for face, match in zip(result.faces, result.matches or (), strict=True):
        yield {
            "box": [round(float(value), 3) for value in face.box],
            "label": match.label,
            "similarity": round(match.similarity, 6),
            "accepted": match.accepted,
            "candidates": [
                {"label": name, "similarity": round(similarity, 6)}
                for name, similarity in match.candidates[:candidates]
            ],
        }


def _say(line: dict[str, object], json: bool) -> None:
    if json:
        print_json(line)
    else:
        frame = f" frame {line['frame']} track {line['track']}" if "frame" in line else ""
        typer.echo(f"{line['image']}{frame}: {line['label'] or 'unknown'} (similarity {line['similarity']:.3f})")


def drawn(image: Image, result: Result, names: Sequence[str | None] | None = None) -> Image:
    """Return the picture with a name, or `unknown`, on each face."""
    from facereg.drawing import draw_faces

    matches: Sequence[Match] = list(result.matches or ())
    labels = names if names is not None else [match.label for match in matches]
    texts = [f"{label or 'unknown'} {match.similarity:.2f}" for label, match in zip(labels, matches, strict=True)]
    return draw_faces(image, result.faces, texts, [label is not None for label in labels])
