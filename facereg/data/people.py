"""Folders of people: one folder a person, their pictures in it."""

from __future__ import annotations

from pathlib import Path

from facereg.errors import DatasetError
from facereg.images import SUFFIXES


def read_people(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of each person, by the name of their folder, both in order of name.

    Folders without a picture are left out.

    Raises:
        DatasetError: if the folder is missing or holds no person.
    """
    try:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: expected a folder with one folder a person, found none; check the path")
        people = {
            person.name: sorted(path for path in person.iterdir() if path.suffix.lower() in SUFFIXES)
            for person in sorted(path for path in folder.iterdir() if path.is_dir())
        }
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot be read ({error.strerror}); change its rights") from error
    people = {name: paths for name, paths in people.items() if paths}
    if not people:
        raise DatasetError(f"{folder}: expected one folder a person with pictures in it, as NAME/1.jpg, found none")
    return people
