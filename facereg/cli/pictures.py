"""detect, landmarks and embed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.copies import Copies, require_others, require_writable
from facereg.cli.options import Json, Stages, answer, counted, print_json, progress, with_stages
from facereg.cli.streams import complain
from facereg.cli.tally import Tally
from facereg.errors import ImageError

if TYPE_CHECKING:
    from facereg.folders.walking import Found
    from facereg.types import Face, Image

CELL = 240  # px of a face on a sheet
Pictures = Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")]
DrawInto = Annotated[Path | None, typer.Option("--draw", help="Folder for drawn copies.")]


@with_stages
def detect(images: Pictures, draw: DrawInto = None, json: Json = False, *, stages: Stages) -> None:
    """Find the faces in pictures.

    Example: facereg detect holiday/ --draw out --json
    """
    from facereg.drawing import draw_faces
    from facereg.folders.walking import find_pictures
    from facereg.pipeline.files import detect_files

    found, tally = find_pictures(images), Tally()
    _leave_out(found, tally, json)
    copies = Copies(draw, images, found.pictures)
    with stages.detector_alone() as detector, progress("detecting", len(found.pictures)) as advance:
        for path, outcome in detect_files(detector, found.pictures, notice=complain):
            advance(1)
            if isinstance(outcome, ImageError):
                tally.fail(outcome)
                if json:
                    print_json({"image": str(path), "faces": [], "error": outcome.reason})
                continue
            picture, faces = outcome
            answer(
                json,
                {"image": str(path), "faces": [_as_json(face) for face in picture.in_file(faces)]},
                f"{path}: {counted(len(faces), 'face')}",
                *(
                    f"  score {face.score:.3f}  box {' '.join(f'{v:.1f}' for v in face.box)}"
                    for face in picture.in_file(faces)
                ),
            )
            if draw is not None:
                scores = [f"{face.score:.2f}" for face in faces]
                try:
                    copies.draw(path, draw_faces(picture.image, faces, scores), done="found")
                except ImageError as error:
                    tally.fail(error)
                    continue
            tally.done += 1
    tally.finish()


@with_stages
def landmarks(
    images: Pictures,
    draw: DrawInto = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw every face, close up, on this one picture.")] = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Find the points of the faces in pictures: those of the aligner, as many as its layout has.

    The aligner five-point takes the detector's own five.

    Example: facereg landmarks holiday/ --aligner onnx-landmarks --weights aligner=landmarks.onnx --sheet faces.png
    """
    from facereg.data.sheet import faces_close_up, in_rows
    from facereg.drawing import require_drawing
    from facereg.folders.walking import find_pictures
    from facereg.images import require_picture_name, write_image
    from facereg.pipeline.points import find_points
    from facereg.pipeline.showing import draw_found_points, points_as_json

    if sheet is not None:
        require_drawing()
        require_picture_name(sheet)
        require_writable(sheet)
    found, tally = find_pictures(images), Tally()
    _leave_out(found, tally, json)
    require_others("--sheet", [sheet] if sheet else [], found.pictures)
    copies = Copies(draw, images, found.pictures)
    cells: list[Image] = []
    with (
        stages.detector_alone() as detector,
        stages.aligner_alone() as aligner,
        progress("finding points", len(found.pictures)) as advance,
    ):
        for path, outcome in find_points(detector, aligner, found.pictures, notice=complain):
            advance(1)
            if isinstance(outcome, ImageError):
                tally.fail(outcome)
                if json:
                    print_json({"image": str(path), "faces": [], "error": outcome.reason})
                continue
            picture, faces, own = outcome
            lines = list(points_as_json(picture, faces, own))
            points = counted(own.points.shape[1], "point")
            answer(
                json,
                {"image": str(path), "faces": lines},
                f"{path}: {counted(len(faces), 'face')}",
                *(f"  score {line['score']:.3f}  {line.get('reason', points)}" for line in lines),
            )
            if sheet is not None:
                cells += faces_close_up(picture.image, faces, own, side=CELL)
            if draw is not None:
                try:
                    copies.draw(path, draw_found_points(picture.image, faces, own), done="found")
                except ImageError as error:
                    tally.fail(error)
                    continue
            tally.done += 1
    if sheet is not None and cells:
        write_image(sheet, in_rows(cells, side=CELL))
        complain(f"drew {counted(len(cells), 'face')} on {sheet}")
    tally.finish()


def _leave_out(found: Found, tally: Tally, json: bool) -> None:
    """Say what is no picture to work on, in JSON a line each."""
    tally.leave_out(found.skipped, found.failed)
    if json:
        for item in found.skipped:
            print_json({"image": str(item.path), "faces": [], "skipped": item.reason})
        for item in found.failed:
            print_json({"image": str(item.path), "faces": [], "error": item.reason})


@with_stages
def embed(
    images: Pictures,
    out: Annotated[Path, typer.Option("--out", help="The .npz file to write.")],
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Write the embeddings of all faces to a .npz file: vectors, boxes, scores, images, main, space.

    A face is the main one where verify and enroll would take it of the faces in its picture.

    Example: facereg embed holiday/ --out faces.npz
    """
    from facereg.folders.walking import find_pictures
    from facereg.pipeline.tables import embed_files

    require_writable(out)
    found, tally = find_pictures(images), Tally()
    require_others("--out", [out], found.pictures)
    tally.leave_out(found.skipped, found.failed)
    with stages.pipeline() as pipeline, progress("embedding", len(found.pictures)) as advance:
        table = embed_files(pipeline, found.pictures, progress=advance, notice=complain)
    table.save(out)
    tally.count(len(found.pictures), table.errors)
    answer(
        json,
        {
            "out": str(out),
            "embeddings": len(table.images),
            "images": tally.done,
            "refused": [{"image": error.path, "reason": error.reason} for error in table.refused],
            **tally.document,
        },
        f"{out}: {counted(len(table.images), 'embedding')} of {counted(tally.done, 'picture')}",
    )
    tally.finish()


def _as_json(face: Face) -> dict[str, object]:
    return {
        "box": [round(float(value), 3) for value in face.box],
        "score": round(face.score, 6),
        "landmarks": [[round(float(x), 3), round(float(y), 3)] for x, y in face.landmarks],
    }
