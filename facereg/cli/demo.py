"""demo: the main job on photographs that come with two dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, Stages, answer, progress, with_stages
from facereg.errors import FaceregError, MissingExtraError

if TYPE_CHECKING:
    from facereg.types import Image

NASA, NAVY = "Eileen Collins", "Grace Hopper"  # scikit-image's astronaut and matplotlib's sample, both US government


@with_stages
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the gallery and the drawn pictures.")] = Path("demo"),
    json: Json = False,
    *,
    stages: Stages,
) -> None:
    """Enrol one person, then find and name the faces of altered pictures, with a stranger among them.

    Example: facereg demo --out demo
    """
    from facereg.gallery import Gallery, Source
    from facereg.images import write_image
    from facereg.pipeline.showing import draw_names

    known, stranger = _photographs()
    portrait = out / "enrolled.png"
    write_image(portrait, known)
    probes = _probes(known, stranger)
    wrong = 0
    with stages.pipeline() as pipeline, progress("identifying", len(probes)) as advance:
        threshold = stages.threshold_for(pipeline.embedder.space, None).value
        file = out / "demo.gallery"
        file.unlink(missing_ok=True)
        with (
            Gallery.open(file, space=pipeline.embedder.space, create=True) as gallery,
            stages.make_matcher(threshold) as matcher,
        ):
            [result] = pipeline.run([known])
            if len(result.faces) != 1:
                raise FaceregError(f"demo: expected one face in the picture to enrol, found {len(result.faces)}")
            gallery.enroll(NASA, result.embeddings, [Source.of(portrait)])
            if not json:
                typer.echo(f"enrolled {NASA}; the threshold is {threshold:.3f}")
            gallery.fill(matcher)
            pipeline.matcher = matcher
            for (name, image, expected), result in zip(
                probes, pipeline.run([image for _, image, _ in probes]), strict=True
            ):
                got = [match.label for match in result.matches]
                right = sorted(map(str, got)) == sorted(map(str, expected))
                wrong += not right
                said = ", ".join(f"{match.label or 'unknown'} ({match.similarity:.2f})" for match in result.matches)
                picture = out / f"{name.replace(' ', '-')}.jpg"
                write_image(picture, draw_names(image, result))
                answer(
                    json,
                    {"image": str(picture), "labels": got, "expected": expected, "right": right},
                    f"{'right' if right else 'WRONG'}  {name:22} {said or 'no face'}",
                )
                advance(1)
    if not json:
        typer.echo(f"{len(probes) - wrong} of {len(probes)} right; the drawn pictures are in {out}")
    if wrong:
        raise typer.Exit(1)


def _photographs() -> tuple[Image, Image]:
    """Return the one to enrol and the stranger."""
    from facereg.images import read_image

    try:
        import matplotlib
        from skimage import data
    except ImportError as error:
        raise MissingExtraError(f"the demo needs {error.name}; pip install 'facereg-core[app]'") from error
    astronaut: Image = data.astronaut()  # type: ignore[no-untyped-call]
    return astronaut, read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")


def _probes(known: Image, stranger: Image) -> list[tuple[str, Image, list[str | None]]]:
    """Return altered pictures: name, pixels, and who should be found in each."""
    import cv2
    import numpy as np

    height, width = known.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1.0)
    rng = np.random.default_rng(0)
    dark = np.clip(known * 0.4, 0, 255).astype(np.uint8)
    noisy = np.clip(known + rng.normal(0, 12, known.shape), 0, 255).astype(np.uint8)
    tall = max(height, stranger.shape[0])

    def padded(image: Image) -> Image:
        return np.pad(image, ((0, tall - image.shape[0]), (0, 0), (0, 0)))

    return [
        ("mirrored", np.ascontiguousarray(known[:, ::-1]), [NASA]),
        ("turned by 15 degrees", cv2.warpAffine(known, turn, (width, height)).astype(np.uint8), [NASA]),
        (
            "half the size",
            cv2.resize(known, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8),
            [NASA],
        ),
        ("dark", dark, [NASA]),
        ("noisy", noisy, [NASA]),
        ("grey", np.repeat(cv2.cvtColor(known, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.uint8), [NASA]),
        ("a stranger", stranger, [None]),
        ("both", np.concatenate([padded(known), padded(stranger)], 1), [NASA, None]),
    ]
