"""index and find; an index in the place of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.comparing import threshold_among
from facereg.cli.metering import metered
from facereg.cli.options import Json, Stages, answer, counted, misused, progress, with_stages
from facereg.cli.streams import complain
from facereg.cli.tally import Tally
from facereg.errors import ImageError

if TYPE_CHECKING:
    from facereg.cli.people import Say
    from facereg.collection.indexing import IndexReport, Look
    from facereg.collection.store import Index
    from facereg.pipeline.composer import Pipeline
    from facereg.roles import Matcher

IndexFile = Annotated[Path, typer.Option("--index", help="The index file, as 'facereg index' makes it.")]


@with_stages
def index(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="All pictures in it and below it.")],
    out: Annotated[Path, typer.Option("--out", help="The index file: made where there is none, else added to.")],
    prune: Annotated[bool, typer.Option("--prune", help="Forget the files of the folder that are gone.")] = False,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster that looks: HOST:PORT of its head, or local.")
    ] = None,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Keep the faces of a collection in one file, to be searched by identify, find and group.

    Stopped or killed, it goes on where it was when it is called again; what the index holds is not looked at twice.

    Example: facereg index photos/ --out photos.index
    """
    from facereg.collection.indexing import forget_missing

    tally = Tally()
    with indexed(out, folder, stages, tally, ray=ray) as (held, report):
        gone = forget_missing(held, folder) if prune and tally.done else 0
        files, pictures, faces = held.counts()
    answer(
        json,
        {
            **{"out": str(out), "indexed": report.indexed, "held": report.held, "new_faces": report.faces},
            **{"forgotten": gone, "files": files, "pictures": pictures, "faces": faces, **tally.document},
        },
        f"{out}: {counted(report.indexed, 'file')} indexed, {report.held} held before, {gone} forgotten; "
        f"{counted(faces, 'face')} in {counted(pictures, 'picture')} now",
    )
    tally.finish()


@contextmanager
def indexed(
    out: Path, folder: Path, stages: Stages, tally: Tally, *, ray: str | None = None
) -> Iterator[tuple[Index, IndexReport]]:
    """Index a folder, on a Ray cluster where one is named; yield the open index, and what it gained."""
    from facereg.collection.indexing import index_folder, looking
    from facereg.collection.store import Index

    @contextmanager
    def looked_at_by(pipeline: Pipeline, held: Index) -> Iterator[Look]:
        if ray is None:
            yield looking(pipeline, held, notice=complain)
            return
        from facereg.collection import looking_on_ray

        with (
            redirect_stdout(StringIO()),  # Ray writes there of workers that are lost
            looking_on_ray(ray, stages.composition, held, notice=complain) as look,
        ):
            yield look

    with stages.pipeline() as pipeline, Index.open(out, space=pipeline.embedder.space, create=True) as held:
        with looked_at_by(pipeline, held) as look, metered("indexing", folder) as advance:
            report = index_folder(held, folder, look, progress=advance, leave_out=tally.leave_out)
        tally.done += report.indexed + report.held
        yield held, report


@with_stages
def find(
    picture: Annotated[Path, typer.Argument(help="A picture; the face that it is about is looked for.")],
    index: IndexFile,
    threshold: Annotated[float | None, typer.Option(min=-1.0, max=1.0, help="Default: the one calibrated.")] = None,
    fpir: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of searches that may find a stranger, without --threshold.")
    ] = 0.01,
    most: Annotated[int, typer.Option(min=1, help="How many faces to list at most.")] = 100,
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Find the pictures of a collection that show the face of a picture: a line a face, the most alike first.

    Example: facereg find ada.jpg --index photos.index
    """
    from facereg.collection.searching import find_face
    from facereg.collection.store import Index
    from facereg.evaluation.main_faces import embed_main_faces
    from facereg.pipeline.showing import rounded
    from facereg.types import Embeddings

    with stages.pipeline() as pipeline, Index.open(index, space=pipeline.embedder.space) as held:
        main = embed_main_faces(pipeline, [picture], notice=complain)
        for error in main.errors:
            raise error
        if not main.found[0]:
            raise ImageError(picture, "expected a face, found none; use a larger or sharper picture")
        faces = held.counts()[2]
        used = threshold_among(stages, held.space, faces, threshold, fpir).value
        with progress("searching", faces) as advance:
            vector = Embeddings(main.vectors, main.space)
            found = find_face(held, vector, threshold=used, most=most, progress=advance)
    for face in found:
        line = {"image": str(face.file), "box": rounded([face.box])[0], "similarity": round(face.similarity, 6)}
        answer(json, line, f"{face.file}: {face.similarity:.3f}")
    if not found:
        complain(f"{picture}: nobody like that in {counted(faces, 'face')} at a similarity of {used:.2f}")


def identify_index(pipeline: Pipeline, matcher: Matcher, source: Path, draw: Path | None, say: Say) -> None:
    """Say who is in the files of an index; no picture is opened."""
    from facereg.collection.searching import name_faces
    from facereg.collection.store import Index
    from facereg.pipeline.showing import match_as_json, rounded

    if draw is not None:
        raise misused("--draw", f"expected pictures to draw on, got the index {source}; leave it out")
    with Index.open(source, space=pipeline.embedder.space) as held:
        files, _, faces = held.counts()
        with progress("identifying", faces) as advance:
            for face in name_faces(held, matcher, candidates=pipeline.candidates, progress=advance):
                say({"image": str(face.file), "box": rounded([face.box])[0], **match_as_json(face.match)})
    complain(f"{counted(files, 'file')}: {faces} faces")
