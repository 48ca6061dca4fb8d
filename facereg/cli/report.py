"""report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, print_json
from facereg.cli.streams import complain


def report(
    results: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Figures that evaluations wrote, .json.")],
    out: Annotated[Path, typer.Option("--out", help="The .html file to write.")],
    worst: Annotated[
        list[Path] | None, typer.Option(help="A folder that --worst of an evaluation filled; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Write one HTML page of what evaluations found: figures side by side, curves, and the worst pictures.

    The page needs no other file and no network.

    Example: facereg report mtcnn.json yolov5.json --worst worst/ --out report.html
    """
    from facereg.evaluation.page_of_results import write_page

    if out.suffix != ".html":
        raise typer.BadParameter(f"--out: expected a name that ends in .html, got {out}")
    write_page(results, out, worst=worst or [])
    if json:
        print_json({"out": str(out), "results": [str(path) for path in results]})
    complain(f"wrote {out}")
