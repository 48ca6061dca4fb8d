"""The groups of unknown faces in an index: made, drawn, mended by hand, and enrolled as people."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facereg.collection.store import DAMAGED, Index
from facereg.data.sheet import GREY, close_up, in_rows
from facereg.errors import GalleryError, ImageError
from facereg.gallery import Gallery, Source
from facereg.images import read_image
from facereg.names import clean_name
from facereg.types import Image

if TYPE_CHECKING:
    from facereg.collection.grouping import Grouping

SIDE = 120  # px of a face on a sheet


@dataclass(frozen=True, slots=True)
class Group:
    """A group of faces, taken for one person; `name` is empty until somebody gives it one."""

    number: int
    name: str
    faces: int

    @property
    def title(self) -> str:
        """Return the name, or `person 3` where it has none."""
        return self.name or f"person {self.number}"


def group_index(
    index: Index, grouping: Grouping, *, progress: Callable[[int], object] = lambda done: None
) -> list[Group]:
    """Put the faces of an index into groups anew, but for those whose group has a name; return all groups.

    Args:
        progress: called with the number of faces read since the last call.
    Raises:
        ContractError: if more faces hang together than memory holds.
        GalleryError: if the index cannot be written, or is damaged.
    """
    kept = [group.number for group in groups_of(index) if group.name]
    numbers, vectors = [np.empty(0, np.int64)], [np.empty((0, index.dim), np.float32)]
    for faces in index.faces():
        free = ~np.isin(faces.people, kept)
        numbers.append(faces.numbers[free])
        vectors.append(faces.embeddings.vectors[free])
        progress(len(faces))
    found = grouping.groups_of(np.concatenate(vectors))
    with index.changing() as change:
        change.execute("UPDATE faces SET person = NULL WHERE person IN (SELECT id FROM people WHERE name = '')")
        change.execute("DELETE FROM people WHERE name = ''")
        numbered = [_new(change) for _ in range(int(found.max(initial=-1)) + 1)]
        change.executemany(  # not of those whose group somebody named meanwhile
            "UPDATE faces SET person = ? WHERE id = ? AND person IS NULL",
            [
                (numbered[group], face)
                for group, face in zip(found.tolist(), np.concatenate(numbers).tolist(), strict=True)
                if group >= 0
            ],
        )
    return groups_of(index)


def groups_of(index: Index) -> list[Group]:
    """Return the groups, the largest first.

    Raises:
        GalleryError: if the index is damaged.
    """
    rows = index.ask(
        "SELECT people.id, name, count(*) FROM people JOIN faces ON person = people.id GROUP BY people.id "
        "ORDER BY count(*) DESC, people.id"
    )
    if not all(isinstance(name, str) for _, name, _ in rows):
        raise GalleryError(f"{index.path}: {DAMAGED}")
    return [Group(*row) for row in rows]


def name_group(index: Index, number: int, name: str) -> Group:
    """Give a group a name: it stays as it is when the faces are grouped anew.

    Raises:
        ContractError: if it is no person's name.
        GalleryError: if there is no such group, or another one has the name.
    """
    spelling = clean_name(name)
    for group in groups_of(index):
        if group.name == spelling and group.number != number:
            raise GalleryError(f"group {group.number} has the name {spelling!r} already; merge the two")
    _require(index, [number])
    with index.changing() as change:
        change.execute("UPDATE people SET name = ? WHERE id = ?", (spelling, number))
    return _require(index, [number])[0]


def merge_groups(index: Index, number: int, others: Sequence[int]) -> Group:
    """Make other groups part of one; return it, with the one name that any of them has.

    Raises:
        GalleryError: if there is no such group, or they have different names.
    """
    groups = _require(index, [number, *others])
    names = sorted({group.name for group in groups} - {""})
    if len(names) > 1:
        raise GalleryError(f"expected groups of one person, got those of {' and '.join(map(repr, names))}; rename one")
    with index.changing() as change:
        for other in set(others) - {number}:
            change.execute("UPDATE faces SET person = ? WHERE person = ?", (number, other))
            change.execute("DELETE FROM people WHERE id = ?", (other,))
        change.execute("UPDATE people SET name = ? WHERE id = ?", (names[0] if names else "", number))
    return _require(index, [number])[0]


def split_group(index: Index, number: int, parts: Sequence[Sequence[int]]) -> list[Group]:
    """Make parts of a group groups of their own, without a name; return it and them.

    Args:
        parts: the numbers of their faces, as sheets show them.
    Raises:
        GalleryError: if there is no such group, a face is not in it, or none would be left.
    """
    _require(index, [number])
    held = {int(face) for some in index.faces(person=number) for face in some.numbers}
    taken = {face for part in parts for face in part}
    if strange := sorted(taken - held):
        raise GalleryError(f"group {number} has no face {strange[0]}; see 'facereg group show --json'")
    if held == taken:
        raise GalleryError(f"group {number}: expected some of its {len(held)} faces, got all")
    with index.changing() as change:
        new = []
        for part in parts:
            new.append(_new(change))
            change.executemany("UPDATE faces SET person = ? WHERE id = ?", [(new[-1], face) for face in part])
    return _require(index, [number, *new])


def alike_parts(index: Index, number: int, parts: int) -> list[list[int]]:
    """Return the faces of a group in so many parts, each of faces that are alike (average linkage), the largest first.

    Raises:
        GalleryError: if there is no such group, or it has fewer faces.
    """
    from facereg.collection.grouping import divided

    [group] = _require(index, [number])
    if not 2 <= parts <= group.faces:
        raise GalleryError(f"group {number}: expected 2 to {group.faces} parts, got {parts}")
    faces = list(index.faces(person=number))
    labels = divided(np.concatenate([some.embeddings.vectors for some in faces]), parts)
    numbers = np.concatenate([some.numbers for some in faces])
    return sorted(([*map(int, numbers[labels == part])] for part in range(parts)), key=lambda own: (-len(own), own))


def enrol_groups(index: Index, gallery: Gallery, *, unnamed: bool = False) -> dict[str, int]:
    """Enrol the groups as people, each in one transaction; return how many faces each gained.

    A picture that the person has already is left as it is; of several faces of one picture the first is enrolled.

    Args:
        unnamed: also those without a name, as `person 3`.
    Raises:
        GalleryError: if the gallery cannot be written.
        SpaceMismatchError: if the gallery is of another embedder.
    """
    gained: dict[str, int] = {}
    for group in groups_of(index):
        if group.name or unnamed:
            for faces in index.faces(person=group.number):
                sources = [
                    Source(str(files[0]).encode("utf-8", "backslashreplace").decode(), sha256)
                    for files, sha256 in zip(faces.files, faces.sha256, strict=True)
                ]
                added = gallery.enroll(group.title, faces.embeddings, sources).added
                gained[group.title] = gained.get(group.title, 0) + added
    return gained


def draw_group(
    index: Index, number: int, *, most: int = 100, failed: Callable[[ImageError], object] = lambda error: None
) -> Image:
    """Return the faces of a group close up on one sheet, each with its number.

    Args:
        most: how many faces at most.
        failed: called with what is wrong with each picture that cannot be read any more: a grey square.
    """
    cells = []
    faces = next(index.faces(person=number, size=most))
    for row, face in enumerate(faces.numbers):
        try:
            cell = close_up(read_image(faces.files[row][0]), faces.boxes[row].reshape(2, 2), (), side=SIDE)
        except ImageError as error:
            failed(error)
            cell = np.full((SIDE, SIDE, 3), GREY, np.uint8)
        cell = np.ascontiguousarray(cell)
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(cell, str(face), (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA)
        cells.append(cell)
    return in_rows(cells, columns=10, side=SIDE)


def _new(change: sqlite3.Connection) -> int:
    return int(change.execute("INSERT INTO people (name) VALUES ('') RETURNING id").fetchone()[0])


def _require(index: Index, numbers: Sequence[int]) -> list[Group]:
    """Return the groups of those numbers, each once; raise GalleryError where there is none."""
    held = {group.number: group for group in groups_of(index)}
    for number in numbers:
        if number not in held:
            raise GalleryError(f"there is no group {number}; see 'facereg group show'")
    return [held[number] for number in dict.fromkeys(numbers)]
