"""Groups of people, as a list names them: to see whether error rates differ between them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from facereg.data.lines import read_lines
from facereg.errors import DatasetError
from facereg.names import shown


def read_groups(path: Path, people: Collection[str]) -> dict[str, str]:
    """Return the group of each person: a line `NAME,GROUP` each; who has no line has none.

    Args:
        people: who may be named.
    Raises:
        DatasetError: if a line is not laid out so, or names somebody twice or somebody who is not among the people.
    """
    groups: dict[str, str] = {}
    for line, text in enumerate(read_lines(path), 1):
        if not text.strip():
            continue
        name, comma, group = (part.strip() for part in text.rpartition(","))
        if not (name and comma and group):
            raise DatasetError(f"{path}, line {line}: expected 'NAME,GROUP', got {text!r:.120}")
        if groups.setdefault(name, group) != group:
            raise DatasetError(f"{path}, line {line}: {shown(name)[:80]!r} is in {shown(groups[name])[:80]!r} already")
    unknown = [name for name in groups if name not in people]
    if unknown:
        raise DatasetError(
            f"{path}: {len(unknown)} of {len(groups)} people are not in the list of pairs, such as "
            f"{shown(unknown[0])[:80]!r}; write names as the list does"
        )
    if not groups:
        raise DatasetError(f"{path}: expected 'NAME,GROUP' a line, got none")
    return groups
