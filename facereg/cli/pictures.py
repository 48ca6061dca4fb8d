"""detect, embed, verify."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, Stages, complain, counted, print_json, progress, with_stages
from facereg.errors import ImageError

if TYPE_CHECKING:
    from facereg.types import Face

Pictures = Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")]
DrawInto = Annotated[Path | None, typer.Option("--draw", help="Folder for drawn copies.")]


@with_stages
def detect(images: Pictures, draw: DrawInto = None, json: Json = False, *, stages: Stages) -> None:
    """Find the faces in pictures.

    Example: facereg detect holiday/ --draw out --json
    """
    from facereg.files import FIRST_OF_SEVERAL
    from facereg.images import find_images, load_pictures, write_image

    paths = find_images(images)
    failed = 0
    with stages.detector_alone() as detector, progress("detecting", len(paths)) as advance:
        for path, picture in load_pictures(paths):
            if isinstance(picture, ImageError):
                failed += 1
                complain(str(picture))
                if json:
                    print_json({"image": str(path), "faces": [], "error": picture.reason})
                continue
            if picture.several:
                complain(f"{path}: {FIRST_OF_SEVERAL}")
            [found] = detector.detect([picture.image])
            faces = picture.in_file(found)
            if json:
                print_json({"image": str(path), "faces": [_as_json(face) for face in faces]})
            else:
                typer.echo(f"{path}: {counted(len(faces), 'face')}")
                for face in faces:
                    typer.echo(f"  score {face.score:.3f}  box {' '.join(f'{v:.1f}' for v in face.box)}")
            if draw is not None:
                from facereg.drawing import draw_faces

                scores = [f"{face.score:.2f}" for face in found]
                write_image(drawn_path(draw, path), draw_faces(picture.image, found, scores))
            advance(1)
    _finish(failed, len(paths))


@with_stages
def embed(
    images: Pictures,
    out: Annotated[Path, typer.Option("--out", help="The .npz file to write.")],
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Write the embeddings of all faces to a .npz file: vectors, boxes, scores, images, space.

    Example: facereg embed holiday/ --out faces.npz
    """
    import io

    import numpy as np

    from facereg.disk import write_atomically
    from facereg.files import run_files
    from facereg.images import find_images

    paths = find_images(images)
    vectors, boxes, scores, names, failed = [], [], [], [], 0
    with (
        stages.pipeline() as pipeline,
        progress("embedding", len(paths)) as advance,
        closing(run_files(pipeline, paths, notice=complain)) as outcomes,
    ):
        for path, outcome in outcomes:
            if isinstance(outcome, ImageError):
                failed += 1
                complain(str(outcome))
            else:
                vectors.append(outcome.embeddings.vectors)
                boxes.append(outcome.faces.boxes)
                scores.append(outcome.faces.scores)
                names += [str(path)] * len(outcome.faces)
            advance(1)
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            vectors=np.concatenate([np.empty((0, pipeline.embedder.dim), np.float32), *vectors]),
            boxes=np.concatenate([np.empty((0, 4), np.float32), *boxes]),
            scores=np.concatenate([np.empty(0, np.float32), *scores]),
            images=np.array(names, np.str_),
            space=np.array(pipeline.embedder.space),
        )
    try:
        write_atomically(out, stream.getvalue(), private=True)  # vectors are biometric data
    except OSError as error:
        raise ImageError(out, f"cannot be written ({error}); check the folder's rights and space") from error
    if json:
        print_json({"out": str(out), "embeddings": len(names), "images": len(paths) - failed})
    else:
        typer.echo(f"{out}: {counted(len(names), 'embedding')} of {counted(len(paths) - failed, 'picture')}")
    _finish(failed, len(paths))


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
    from facereg.evaluation.main_faces import embed_main_faces

    with stages.pipeline() as pipeline:
        faces = embed_main_faces(pipeline, [first, second])
        for error in faces.errors:
            raise error
        for path, found in zip((first, second), faces.found, strict=True):
            if not found:
                raise ImageError(path, "expected a face, found none; use a larger or sharper picture")
        used = stages.threshold_for(faces.space, threshold)
    similarity = float(faces.vectors[0] @ faces.vectors[1])
    same = similarity >= used.value
    if json:
        print_json({"same": same, "similarity": similarity, "threshold": used.value, "far": used.far})
    else:
        far = "" if used.far is None else f", false accept rate {used.far:g}"
        verdict = "the same person" if same else "different people"
        typer.echo(f"{verdict}: similarity {similarity:.3f}, threshold {used.value:.3f} ({used.origin}{far})")


def drawn_path(folder: Path, path: Path) -> Path:
    """Return where the drawn copy of a picture goes: two of one name in different folders do not meet."""
    return folder / f"{path.parent.name}-{path.stem}.jpg" if path.parent.name else folder / f"{path.stem}.jpg"


def _as_json(face: Face) -> dict[str, object]:
    return {
        "box": [round(float(value), 3) for value in face.box],
        "score": round(face.score, 6),
        "landmarks": [[round(float(x), 3), round(float(y), 3)] for x, y in face.landmarks],
    }


def _finish(failed: int, total: int) -> None:
    """End with status 1 where a picture could not be read; the others are done."""
    if failed:
        complain(f"{failed} of {total} pictures could not be read; the others are done")
        raise typer.Exit(1)
