"""What is not worked on, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry that is not worked on.

    Args:
        path: of the file or folder.
        reason: what was expected, what was got, what to do.
        minor: a system's own file without a picture in it: counted, not worth a line.
    """

    path: Path
    reason: str
    minor: bool = False

    def __str__(self) -> str:
        """Return the line for people."""
        return f"{self.path}: {self.reason}"
