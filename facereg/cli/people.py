"""enroll and identify."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.comparing import say_named, threshold_among
from facereg.cli.copies import Copies, require_folder
from facereg.cli.options import GalleryPlace, Json, Stages, answer, counted, print_json, progress, with_stages
from facereg.cli.pictures import DrawInto
from facereg.cli.streams import complain
from facereg.cli.tally import Tally
from facereg.errors import FaceregError, ImageError
from facereg.names import Address

if TYPE_CHECKING:
    from facereg.gallery.enrolling import EnrolmentReport
    from facereg.gallery.thresholds import Threshold
    from facereg.pipeline.composer import Pipeline

Say = Callable[[dict[str, object]], None]  # prints what is known of one face


@with_stages
def enroll(
    folder: Annotated[Path, typer.Argument(help="Holds a folder of pictures for each person, named after them.")],
    gallery: GalleryPlace,
    largest: Annotated[
        bool, typer.Option("--largest", help="Of several faces take the one that the picture is about; else skip.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Take faces that are small, blurred, upside down or turned away, too.")
    ] = False,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Add people to a gallery; what is there already stays, and running it twice adds nothing.

    Example: facereg enroll people/ --gallery team.gallery
    """
    from facereg.folders.people import find_people, require_pictures
    from facereg.gallery import Gallery
    from facereg.gallery.enrolling import EnrolmentReport, enrol_people
    from facereg.gallery.quality import Limits

    found = find_people(folder)
    if not found.people:  # nobody: no gallery is made
        if json and len(found):
            _say_enrolled(EnrolmentReport([], found.skipped, found.failed), gallery, json)
        require_pictures(found, folder)
    with (
        stages.pipeline() as pipeline,
        Gallery.open(gallery, space=pipeline.embedder.space, create=True) as held,
        progress("enrolling", len(found.pictures)) as advance,
    ):
        report = enrol_people(
            pipeline,
            held,
            found,
            main_faces=largest,
            limits=Limits(0.0, 0.0, math.inf, turns=False) if no_check else Limits(),
            same=_usual_threshold(stages, held.space),
            progress=advance,
        )
    _say_enrolled(report, gallery, json)


def _usual_threshold(stages: Stages, space: str) -> float | None:
    """Return the similarity from which two faces are one person's; None where none was measured."""
    try:
        return stages.threshold_for(space, None).value
    except FaceregError:
        return None


def _say_enrolled(report: EnrolmentReport, gallery: Address, json: bool) -> None:
    """Print what became of the pictures; end with status 1 where one failed, or none is in the gallery."""
    from facereg.gallery.enrolling import ENROLLED_ALREADY

    tally = Tally(done=len(report.enrolled))
    tally.leave_out(report.skipped, report.failed)
    for warning in report.warnings:
        complain(f"warning: {warning}")
    answer(
        json,
        {"enrolled": len(report.enrolled), **tally.document, "warnings": report.warnings},
        f"{gallery}: {counted(len(report.enrolled), 'picture')} enrolled, {len(report.skipped)} skipped",
    )
    tally.finish()
    if not report.enrolled and any(item.reason != ENROLLED_ALREADY and not item.minor for item in report.skipped):
        raise typer.Exit(1)


@with_stages
def identify(
    source: Annotated[str, typer.Argument(help="A picture, folder, index, video file, address or camera's number.")],
    gallery: GalleryPlace,
    draw: DrawInto = None,
    threshold: Annotated[float | None, typer.Option(min=-1.0, max=1.0, help="Default: the one calibrated.")] = None,
    fpir: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of strangers that may be named, without --threshold.")
    ] = 0.01,
    candidates: Annotated[int, typer.Option(min=1, help="How many people to list for a face.")] = 5,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why: the threshold, where it comes from, the second best.")
    ] = False,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop a video after so many frames.")] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Give the points of a video's faces, smoothed along each track.")
    ] = False,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Say who is in pictures or a video: a line a face; null for a stranger.

    Example: facereg identify party/ --gallery team.gallery --draw out
    """
    from facereg.cli.collecting import identify_index
    from facereg.collection.schema import is_index
    from facereg.gallery import Gallery
    from facereg.gallery.thresholds import keep_threshold
    from facereg.video import is_video

    with (
        stages.pipeline() as pipeline,
        Gallery.open(gallery, space=pipeline.embedder.space) as held,
        stages.make_matcher(1.0) as matcher,
    ):
        held.fill(matcher, notice=complain)
        chosen: dict[float, Threshold] = {}

        def choose(compared: int) -> float:
            used = threshold_among(stages, held.space, compared, threshold, fpir)
            return chosen.setdefault(used.value, used).value

        def say(line: dict[str, object]) -> None:
            say_named(line, json, chosen[matcher.threshold] if explain else None)

        keep_threshold(matcher, choose)
        pipeline.matcher, pipeline.candidates = matcher, max(candidates, 2) if explain else candidates
        if is_index(source):
            identify_index(pipeline, matcher, Path(source), draw, say)
        elif is_video(source):
            _identify_video(pipeline, source, draw, frames, smooth, say)
        else:
            _identify_pictures(pipeline, Path(source), draw, json, say)


def _identify_pictures(pipeline: Pipeline, source: Path, draw: Path | None, json: bool, say: Say) -> None:
    from facereg.folders.walking import find_pictures
    from facereg.images import read_picture
    from facereg.pipeline.files import run_files
    from facereg.pipeline.showing import draw_names, faces_as_json

    found, tally = find_pictures([source]), Tally()
    copies = Copies(draw, [source], found.pictures)
    tally.leave_out(found.skipped, found.failed)
    if json:
        for kind, items in (("skipped", found.skipped), ("error", found.failed)):
            for item in items:
                print_json({"image": str(item.path), kind: item.reason})
    with (
        progress("identifying", len(found.pictures)) as advance,
        closing(run_files(pipeline, found.pictures, notice=complain)) as outcomes,
    ):
        for path, outcome in outcomes:
            advance(1)
            if isinstance(outcome, ImageError):
                tally.fail(outcome)
                if json:
                    print_json({"image": str(path), "error": outcome.reason})
                continue
            for line in faces_as_json(outcome):
                say({"image": str(path), **line})
            if draw is not None:  # read again: pictures on their way through the stages are not kept
                try:
                    picture = read_picture(path)
                except ImageError as error:  # a pipe gives a picture once
                    tally.fail(ImageError(path, f"named, not drawn: {error.reason}"))
                    continue
                inside = replace(outcome, faces=picture.in_image(outcome.faces))
                try:
                    copies.draw(path, draw_names(picture.image, inside), done="named")
                except ImageError as error:
                    tally.fail(error)
                    continue
            tally.done += 1
    tally.finish()


def _identify_video(
    pipeline: Pipeline, source: str, draw: Path | None, frames: int | None, smooth: bool, say: Say
) -> None:
    from itertools import islice

    from facereg.drawing import require_drawing
    from facereg.images import write_image
    from facereg.pipeline.showing import draw_names, faces_as_json
    from facereg.pipeline.videos import identify_video
    from facereg.video import Video

    if draw is not None:
        require_drawing()
        require_folder(draw)
    video, tally = Video(source, notice=complain), Tally()
    try:
        with (
            progress("identifying", frames) as advance,
            closing(identify_video(pipeline, video, smooth=smooth)) as found,
        ):
            for shown in islice(found, frames):
                number, result = shown.frame.number, shown.outcome
                advance(1)
                if isinstance(result, FaceregError):
                    tally.fail(ImageError(video.name, f"frame {number}: {result}"))
                    continue
                points = shown.points if smooth else None
                for line, track, name in zip(faces_as_json(result, points), shown.tracks, shown.names, strict=True):
                    place = {"image": video.name, "frame": number, "time_s": round(shown.frame.time_s, 3)}
                    say({**place, "track": track, **line, "label": name})
                if draw is not None:
                    path = draw / f"frame-{number:06d}.jpg"
                    try:
                        write_image(path, draw_names(shown.frame.image, result, shown.names, points))
                    except ImageError as error:
                        tally.fail(ImageError(video.name, f"frame {number}: named, not drawn: {error}"))
                        continue
                tally.done += 1
    finally:
        failed = len(tally.failed) + video.missing
        if video.given:
            if video.missing:
                complain(f"{video.name}: {counted(video.missing, 'frame')} damaged or cut off; copy the video again")
            if video.dropped:
                complain(f"{video.name}: {counted(video.dropped, 'frame')} skipped, newer ones had come")
            total = counted(tally.done + video.dropped + failed, "frame")
            complain(f"{total}: {tally.done} done, {video.dropped} skipped, {failed} failed")
    if failed:
        raise typer.Exit(1)
