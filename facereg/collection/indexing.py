"""A collection walked as a stream into an index: each picture once, from where a run before was ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from facereg.collection.store import File, Index, Seen
from facereg.disk.replacing import file_sha256
from facereg.errors import ImageError
from facereg.folders.left_out import LeftOut
from facereg.folders.walking import stream_pictures
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.files import run_files
from facereg.pipeline.stages import Result

BLOCK = 256  # files of one transaction: what a kill loses, and what a worker is given at once
Looked: TypeAlias = list[Seen | LeftOut]
Look: TypeAlias = Callable[[Iterable[list[Path]]], Iterable[Looked]]  # blocks of files in, what is in them out


@dataclass(slots=True)
class IndexReport:
    """What an index gained.

    Args:
        indexed: files looked at and held now, those that are copies of a picture that it held among them.
        held: files that it held before, as they are.
        faces: how many are new.
        failed: files that could not be read or worked on.
    """

    indexed: int = 0
    held: int = 0
    faces: int = 0
    failed: int = 0


def index_folder(
    index: Index,
    folder: str | Path,
    look: Look,
    *,
    progress: Callable[[int], object] = lambda done: None,
    leave_out: Callable[[Sequence[LeftOut], Sequence[LeftOut]], object] = lambda skipped, failed: None,
    block: int = BLOCK,
) -> IndexReport:
    """Put the faces of all pictures in a folder, and below it, into an index.

    Files are held with their faces, a block in a transaction: a run that was killed is gone on with by another, at the
    block where it was. What the index holds as it is, by path, size and time, is not opened. Of the collection no more
    is in memory than the names in one folder.

    Args:
        look: as `looking` of a pipeline makes it.
        progress: called with the number of files done since the last call.
        leave_out: called with the entries that are skipped and that failed, as they are met.
        block: files of one transaction.
    Raises:
        GalleryError: if the index cannot be written.
        FaceregError: if a network cannot be reached or opened.
    """
    report = IndexReport()

    def blocks() -> Iterator[list[Path]]:
        waiting: list[Path] = []
        for part in stream_pictures([folder]):
            leave_out(part.skipped, part.failed)
            current = index.current(part.pictures)
            report.held += len(current)
            progress(len(current))
            waiting += [path for path in part.pictures if path not in current]
            while len(waiting) >= block:
                yield waiting[:block]
                del waiting[:block]
        if waiting:
            yield waiting

    for looked in look(blocks()):
        failed = [each for each in looked if isinstance(each, LeftOut)]
        report.faces += index.add(each for each in looked if isinstance(each, Seen))
        report.indexed += len(looked) - len(failed)
        report.failed += len(failed)
        leave_out([], failed)
        progress(len(looked))
    return report


def forget_missing(index: Index, folder: str | Path) -> int:
    """Forget the files in a folder, and below it, that are gone, with faces that no other file has; return how many.

    Raises:
        GalleryError: if the index cannot be written.
    """
    inside = Path(os.path.abspath(folder))
    gone = [path for path in index.files() if path.is_relative_to(inside) and not os.path.lexists(path)]
    index.forget(gone)
    return len(gone)


def looking(pipeline: Pipeline, index: Index, *, notice: Callable[[str], object] = lambda text: None) -> Look:
    """Return what looks at files one block after another in this process, each picture that the index lacks once."""
    return lambda blocks: (look_at(pipeline, block, known=index.known, notice=notice) for block in blocks)


def look_at(
    pipeline: Pipeline,
    paths: Sequence[Path],
    *,
    known: Callable[[Sequence[str]], set[str]] = lambda sha256: set(),
    notice: Callable[[str], object] = lambda text: None,
) -> Looked:
    """Return what is in each file, or why it is left out, in order; of copies of one picture the first is looked at.

    Args:
        known: returns those pictures, by the sha256 of their file, that need not be looked at.
        notice: called with a line about a file that was read in part.
    Raises:
        FaceregError: if a network cannot be reached or opened.
    """
    files: dict[Path, tuple[File, str] | LeftOut] = {}
    for path in paths:
        try:
            files[path] = File.of(path), file_sha256(path)
        except OSError as error:
            files[path] = LeftOut(path, f"cannot be read ({error.strerror}); check that it is still there")
    found = {path: own for path, own in files.items() if not isinstance(own, LeftOut)}
    held = known([sha256 for _, sha256 in found.values()])
    first = {sha256: path for path, (_, sha256) in reversed(found.items()) if sha256 not in held}
    outcomes: dict[str, Result | ImageError] = {}
    with closing(run_files(pipeline, sorted(first.values(), key=list(files).index), notice=notice)) as run:
        for path, outcome in run:
            outcomes[found[path][1]] = outcome
    for sha256, path in first.items():  # of which picture the faces are is known only where the file is still as it was
        try:
            as_it_was = File.of(path) == found[path][0]
        except OSError:
            as_it_was = False
        if not as_it_was:
            outcomes[sha256] = ImageError(path, "changed while it was looked at; call the same again")
    return [own if isinstance(own, LeftOut) else _seen(path, *own, outcomes.get(own[1])) for path, own in files.items()]


def _seen(path: Path, file: File, sha256: str, outcome: Result | ImageError | None) -> Seen | LeftOut:
    if isinstance(outcome, ImageError):
        return LeftOut(path, outcome.reason)
    if outcome is None:
        return Seen(file, sha256)
    kept = outcome.kept
    return Seen(file, sha256, outcome.faces.boxes[kept], outcome.faces.scores[kept], outcome.embeddings.vectors)
