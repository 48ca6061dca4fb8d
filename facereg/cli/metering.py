"""Long work on a folder: how much is done, how many files a second, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from facereg.cli.streams import complain

EVERY_S = 60.0  # between two lines where stderr is no terminal


@contextmanager
def metered(what: str, folder: Path) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr; yield what to call with the number of files done.

    How many files there are is counted meanwhile, so that the work need not wait for it. Where stderr is no terminal a
    line comes each minute.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console, ended = Console(stderr=True), Event()
    bar = Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.fields[rate]} a second"), TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    lines = _Lines(what)

    def count(task: TaskID) -> None:
        from facereg.folders.walking import stream_pictures

        total = 0
        for part in stream_pictures([folder]):
            total += len(part.pictures)
            if ended.is_set():
                return
        lines.total = total
        bar.update(task, total=total)

    with bar:
        task = bar.add_task(what, total=None, rate="-")
        counting = Thread(target=count, args=(task,), name="facereg-count", daemon=True)
        counting.start()

        def advance(done: int) -> None:
            bar.update(task, advance=done, rate=f"{bar.tasks[0].speed or 0:.1f}")
            if not console.is_terminal:
                lines.advance(done)

        try:
            yield advance
        finally:
            ended.set()
            counting.join()


class _Lines:
    """Progress as lines, for logs; the rate is that since the line before."""

    def __init__(self, what: str) -> None:
        self.what, self.total, self.done = what, 0, 0
        self._said, self._since = 0, time.monotonic()

    def advance(self, done: int) -> None:
        self.done += done
        passed = time.monotonic() - self._since
        if passed < EVERY_S:
            return
        rate = (self.done - self._said) / passed
        of = f" of {self.total:,}" if self.total else ""
        left = f", {timedelta(seconds=round((self.total - self.done) / rate))} left" if self.total and rate else ""
        complain(f"{self.what}: {self.done:,}{of} files, {rate:.1f} a second{left}")
        self._said, self._since = self.done, time.monotonic()
