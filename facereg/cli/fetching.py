"""data fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facereg.cli.options import Json, counted, print_json
from facereg.cli.streams import say
from facereg.errors import ContractError, DatasetError

if TYPE_CHECKING:
    from facereg.data.fetch import Source


def fetch(
    source: Annotated[str, typer.Argument(help="An http(s) address, or a name in the table.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write, or a folder for it.")] = Path(),
    sha256: Annotated[str | None, typer.Option(help="Of the file; the table may hold it.")] = None,
    unpack: Annotated[Path | None, typer.Option(help="Unpack zip or tar into this new folder.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="TOML file: [NAME] address, sha256, unpack; default: sources.toml of facereg.")
    ] = None,
    json: Json = False,
) -> None:
    """Download a data set, checked and resumed, whole or not at all; the set's terms are yours to keep.

    Example: facereg data fetch https://example.org/faces.zip --sha256 0123...cdef --out downloads --unpack faces
    """
    from urllib.parse import unquote, urlsplit

    from facereg.data.fetch import fetch as bring
    from facereg.disk.paths import inside

    chosen = _source(source, sha256, table)
    path = out
    if out.is_dir():
        name = unquote(urlsplit(chosen.addresses[0]).path).rpartition("/")[2]
        if not name:
            raise ContractError(f"--out: expected a file's name, which the address {chosen.addresses[0]} does not give")
        path = inside(out, name)
    with bytes_shown(path.name) as show:
        fetched = bring(chosen, path, progress=show)
    folder = unpack if unpack is not None else (path.with_suffix("") if chosen.unpack else None)
    files = None
    if folder is not None:
        from facereg.data.unpack import unpack as open_archive

        files = open_archive(path, folder)
    if json:
        document = {"file": str(path), "bytes": fetched.size, "sha256": fetched.sha256, "resumed": fetched.resumed}
        print_json({**document, "folder": None if folder is None else str(folder), "files": files})
        return
    say(f"{path}: {counted(fetched.size, 'byte')}, sha256 {fetched.sha256}")
    if folder is not None and files is not None:
        say(f"{folder}: {counted(files, 'file')}")


def _source(given: str, sha256: str | None, table: Path | None) -> Source:
    from facereg.data.fetch import Source, check_source, read_sources
    from facereg.disk.homes import settings_folder

    if "://" in given:
        return check_source(Source((given,), sha256), given=given)
    table = table or settings_folder() / "sources.toml"
    sources = read_sources(table)
    if given not in sources:
        raise DatasetError(f"{table}: no source named {given!r}; it holds {', '.join(sorted(sources)) or 'none'}")
    held = sources[given]
    return check_source(Source(held.addresses, sha256 or held.sha256, held.unpack), given=given)


@contextmanager
def bytes_shown(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show on stderr, where that is a terminal, bytes there and to come; yield what to call with both."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(
        "{task.description}", *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
