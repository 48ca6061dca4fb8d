"""Figures printed, and written with their curve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from facereg.cli.options import Stages, print_json
from facereg.cli.streams import complain, say
from facereg.cli.tally import Tally
from facereg.errors import FaceregError, require_package

if TYPE_CHECKING:
    from facereg.errors import ImageError


def _json_file(path: Path | None) -> Path | None:
    if path is not None and path.suffix != ".json":
        raise typer.BadParameter(f"expected a name that ends in .json, got {path}")
    if path is not None:
        from facereg.cli.copies import require_folder, require_writable

        require_package("matplotlib", "pictures of curves need matplotlib")
        require_folder(path.parent)
        for file in (path, path.with_suffix(".png")):
            require_writable(file)
    return path


def drawn(folder: Path | None) -> Path | None:
    """Return the folder for drawings; told before the work where nothing can be drawn or written into it."""
    if folder is not None:
        from facereg.cli.copies import require_folder
        from facereg.drawing import require_drawing

        require_drawing()
        require_folder(folder)
    return folder


Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write the figures to this .json, the curve to a .png beside.", callback=_json_file),
]


class Measured(Protocol):
    """What a protocol of `facereg.evaluation` gives."""

    @property
    def errors(self) -> tuple[ImageError, ...]: ...

    def figures(self) -> dict[str, object]: ...

    def plot(self, path: Path, title: str) -> None: ...


def report(
    result: Measured,
    pictures: int,
    stages: Stages,
    roles: tuple[str, ...],
    out: Path | None,
    json: bool,
    tally: Tally | None = None,
) -> None:
    """Print a result's figures, write them and the curve where asked, and end with the sum of the pictures.

    Args:
        roles: of the models measured.
        tally: of what was left out before.
    """
    from facereg.evaluation.reports import write_report

    figures, tally = result.figures(), tally or Tally()
    tally.count(pictures, result.errors)
    models = {role: getattr(stages, role) for role in roles}
    if json:
        print_json({**figures, **tally.document})
    else:
        for name, value in figures.items():
            if isinstance(value, dict):
                for key, one in value.items():
                    say(f"{name} {key}: {'too few' if one is None else f'{one:.4f}'}")
            else:
                say(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if out is not None:  # after they are printed: a full disk loses nothing
        title = models.get("embedder") or " + ".join(models.values())
        command = " ".join(["facereg", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])
        try:
            result.plot(out.with_suffix(".png"), title)
            write_report(out, figures, command=command, models=models)
        except FaceregError:
            tally.say_sum()
            raise
        complain(f"wrote {out} and {out.with_suffix('.png')}")
    tally.finish()
