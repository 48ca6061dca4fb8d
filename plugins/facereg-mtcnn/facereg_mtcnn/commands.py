"""The command of this plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg import Json, import_object, print_json
from facereg_mtcnn.plugin import networks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="Holds pnet.pt, rnet.pt and onet.pt, as facenet-pytorch ships them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the ONNX files.")],
    json: Json = False,
) -> None:
    """Turn published MTCNN state dicts into ONNX files; needs the [train] extra.

    Example: facereg mtcnn-convert published/ --out mtcnn; facereg detect a.jpg --weights detector=mtcnn
    """
    import_object("facereg_mtcnn.publish:convert_published")(folder, out)
    for network in networks():
        path = out / network.file
        if json:
            print_json({"name": network.name, "file": str(path)})
        else:
            typer.echo(path)
