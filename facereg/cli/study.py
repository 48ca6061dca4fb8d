"""study run."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from facereg.cli.options import Json, counted, print_json, progress
from facereg.cli.streams import complain, say

app = typer.Typer(
    help="Compare models: train, measure, tabulate.", no_args_is_help=True, rich_markup_mode=None
)  # else it takes [train] for markup


@app.callback()
def _group() -> None:
    """Compare models: train, measure, tabulate."""


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(metavar="FILE", help="The study, as TOML.")],
    json: Json = False,
) -> None:
    """Train, embed and score every row of a study, and write its report; go on with one that was stopped.

    Rows with a recipe need the [train] extra, the map of people the [study] extra.

    Example: facereg study run study.toml
    """
    from facereg.data.readable import left_out
    from facereg.study import read_study, run_study

    study = read_study(plan)
    told: set[str] = set()

    def fail(error: Exception) -> None:  # every row of a study reads the same pictures
        if str(error) not in told:
            told.add(str(error))
            complain(str(error))

    with progress("pictures", None) as advance, redirect_stdout(sys.stderr), left_out(fail):
        result = run_study(study, progress=advance, notice=complain)
    for error in result.errors:
        fail(error)
    if json:
        print_json(
            {
                "out": str(study.out),
                "rows": result.figures(),
                "failed": [{"name": name, "reason": reason} for name, reason in result.failed.items()],
                "pages": [str(page) for page in result.pages],
                "unreadable": sorted(told),
            }
        )
    else:
        for row in result.figures():
            far = row["tpr_at_far"].get("0.01")
            rate = "too few pairs for FAR 1 %" if far is None else f"TPR {far:.4f} at FAR 1 %"
            say(f"{row['name']}: accuracy {row['accuracy']:.4f}, {rate}")
        say(f"{result.pages[-1]}: {counted(len(result.rows), 'model')}")
    if result.failed or told:
        raise typer.Exit(1)
