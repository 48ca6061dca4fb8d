"""What became of everything that a command was given: done, skipped or failed, each with its line, and the sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from facereg.cli.streams import complain
from facereg.errors import ImageError
from facereg.folders.left_out import LeftOut


@dataclass(slots=True)
class Tally:
    """Counts what is done and keeps what is not."""

    done: int = 0
    skipped: list[LeftOut] = field(default_factory=list)
    failed: list[LeftOut] = field(default_factory=list)

    def leave_out(self, skipped: Sequence[LeftOut], failed: Sequence[LeftOut] = ()) -> None:
        """Count entries that are not worked on; say which, but for a system's own files."""
        for item in skipped:
            if not item.minor:
                complain(f"skipped {item}")
        for item in failed:
            complain(str(item))
        self.skipped += skipped
        self.failed += failed

    def fail(self, error: ImageError) -> None:
        """Count a picture that could not be worked on, and say why."""
        complain(str(error))
        self.failed.append(LeftOut(Path(error.path), error.reason))

    def count(self, pictures: int, errors: Sequence[ImageError]) -> None:
        """Count pictures worked on, and those of them that failed, whose reasons were said before."""
        self.done += pictures - len(errors)
        self.failed += [LeftOut(Path(error.path), error.reason) for error in errors]

    @property
    def document(self) -> dict[str, object]:
        """Return what is left out as JSON: `skipped` and `failed`, each a list of `image` and `reason`."""
        return {
            name: [{"image": str(item.path), "reason": item.reason} for item in items]
            for name, items in (("skipped", self.skipped), ("failed", self.failed))
        }

    def say_sum(self) -> None:
        """Say the sum of several entries."""
        total = self.done + len(self.skipped) + len(self.failed)
        if total > 1:
            complain(f"{total} entries: {self.done} done, {len(self.skipped)} skipped, {len(self.failed)} failed")

    def finish(self) -> None:
        """Say the sum of several entries; end with status 1 where one failed."""
        self.say_sum()
        if self.failed:
            raise typer.Exit(1)
