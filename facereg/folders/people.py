"""Folders of people: one folder a person, their pictures in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facereg.disk.reading import require_folder
from facereg.errors import ContractError, DatasetError
from facereg.folders.left_out import LeftOut
from facereg.folders.walking import Entered, left_out_system, sort_entry
from facereg.names import clean_name


def require_outside(out: Path, source: Path) -> None:
    """Raise DatasetError where what is written would lie among what is read, and be taken for a person's pictures."""
    if out.resolve().is_relative_to(source.resolve()):
        raise DatasetError(f"{out}: expected a folder outside {source}, which is read, got one in it; name another")


@dataclass(slots=True)
class FoundPeople:
    """What a folder of people holds: every entry of it, and of the people's folders, is in one of the three.

    Args:
        people: the pictures of each person by name, both in order of name.
        skipped: entries that are no pictures of a person.
        failed: entries that ought to be readable, and are not.
    """

    people: dict[str, list[Path]] = field(default_factory=dict)
    skipped: list[LeftOut] = field(default_factory=list)
    failed: list[LeftOut] = field(default_factory=list)

    @property
    def pictures(self) -> list[tuple[str, Path]]:
        """Return each picture with its person's name, those of one person together."""
        return [(name, path) for name, paths in self.people.items() for path in paths]

    def __len__(self) -> int:
        """Return the number of entries."""
        return sum(map(len, self.people.values())) + len(self.skipped) + len(self.failed)


def find_people(folder: Path) -> FoundPeople:
    """Return the pictures of each person, by the name of their folder, and what is left out.

    A name has one spelling (`clean_name`): folders whose names are spellings of one name are one person's.

    Raises:
        DatasetError: if the folder is missing or cannot be read.
    """
    try:
        require_folder(folder, expected="a folder with one folder a person")
        paths = [folder / name for name in sorted(os.listdir(folder))]
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror}); change its rights") from error
    found, entered, folders = FoundPeople(), Entered(folder), []
    entered.enter(folder)  # a link in it that leads back to it is none of a person's
    for path in paths:
        kind, reason = sort_entry(path)
        if kind == "folder":
            folders.append(path)
        elif kind == "picture":
            found.skipped.append(LeftOut(path, "expected it in a folder named after the person"))
        else:
            _leave_out(found, path, kind, reason)
    for path in sorted(folders, key=lambda path: (path.is_symlink(), path)):  # real folders keep their pictures
        _add_person(found, path, entered)
    found.people = {name: sorted(own) for name, own in sorted(found.people.items())}
    for left_out in (found.skipped, found.failed):
        left_out.sort(key=lambda item: item.path)
    return found


def read_people(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of each person, by the name of their folder, both in order of name.

    Folders without a picture are left out; `find_people` says which, and why.

    Raises:
        DatasetError: if the folder is missing or cannot be read, or holds no person.
    """
    found = find_people(folder)
    require_pictures(found, folder)
    return found.people


def merge_by_case(people: Mapping[str, Sequence[Path]], folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the pictures of each person where names that differ by case only are one person's, and a line for each.

    As they are where file names have no case: one set is to hold the same people on every disk.

    Args:
        people: as `find_people` finds them in `folder`.
    """
    alike: dict[str, list[str]] = {}
    for name in people:
        alike.setdefault(name.casefold(), []).append(name)
    notes = [
        f"{', '.join(names)} in {folder}: names that differ by case only, taken as one person"
        for names in alike.values()
        if len(names) > 1
    ]
    return {names[0]: [path for name in names for path in people[name]] for names in alike.values()}, notes


def require_pictures(found: FoundPeople, folder: Path) -> None:
    """Raise DatasetError where no person has a picture."""
    if found.people:
        return
    if len(found.failed) == 1 and not found.skipped:
        raise DatasetError(str(found.failed[0]))
    left_out = [*found.failed, *found.skipped]
    first = f", such as {left_out[0]}" if left_out else ""
    raise DatasetError(f"{folder}: expected one folder a person with pictures in it, as NAME/1.jpg, found none{first}")


def _add_person(found: FoundPeople, folder: Path, entered: Entered) -> None:
    """Add the pictures of one person's folder."""
    try:
        name = clean_name(folder.name)
    except ContractError as error:
        found.skipped.append(LeftOut(folder, str(error).replace("rename the person", "rename the folder")))
        return
    entries, skipped, failed = entered.enter(folder)
    found.skipped += [skipped] if skipped else []
    found.failed += [failed] if failed else []
    for path in entries:
        kind, reason = sort_entry(path)
        if kind == "picture":
            found.people.setdefault(name, []).append(path)
        elif kind == "folder":
            reason = "a folder in a person's folder; move its pictures up, or make it a person of its own"
            found.skipped.append(LeftOut(path, reason))
        else:
            _leave_out(found, path, kind, reason)


def _leave_out(found: FoundPeople, path: Path, kind: str, reason: str) -> None:
    if kind == "system":
        found.skipped.append(left_out_system(path))
    else:
        (found.failed if kind == "failed" else found.skipped).append(LeftOut(path, reason))
