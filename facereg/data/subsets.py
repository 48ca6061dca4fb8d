"""A part of a set of people, drawn by a seed, as a folder a person that every recipe and every person can read."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.records import Record, RecordPicture, is_record
from facereg.data.writing import folder_in_one_piece, require_new_folder
from facereg.decoding.containers import START, kind_of
from facereg.errors import DatasetError, ImageError
from facereg.folders.people import find_people, merge_by_case, require_outside, require_pictures

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of the disk written to, whichever picture it was


@dataclass(frozen=True, slots=True)
class WrittenPeople:
    """What was written: how many people and pictures; how many people have too few; and why other pictures are not."""

    people: int
    images: int
    few: int
    errors: tuple[ImageError, ...]


def write_people(
    source: Path,
    out: Path,
    *,
    people: int = 0,
    least: int = 1,
    seed: int = 0,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> WrittenPeople:
    """Write the pictures of some people, or of all, as `OUT/PERSON/PICTURE`, byte for byte as they are.

    Args:
        source: a folder with a folder a person, whose files become links where the disk allows, or an MXNet record.
        out: a new folder.
        people: how many to draw of those with pictures enough; 0 takes all. The same seed draws the same people.
        least: pictures that a person must have.
        progress: called with the number of people done since the last call.
        notice: called with a line about what is missing or left out.
    Raises:
        DatasetError: if the source is none, fewer people have pictures enough, or the folder cannot be written.
    """
    require_outside(out, source)
    require_new_folder(out)
    if not is_record(source):
        found = find_people(source)
        require_pictures(found, source)
        for left_out in (*found.skipped, *found.failed):
            if not left_out.minor:
                notice(f"left out {left_out}")
        merged, notes = merge_by_case(found.people, source)
        for line in notes:
            notice(line)
        return write_drawn(draw_people(merged, people, least=least, seed=seed, source=source), out, progress)
    with Record(source, notice=notice) as record:
        chosen = draw_people(record.people(notice=notice), people, least=least, seed=seed, source=source)
        return write_drawn(chosen, out, progress)


@dataclass(frozen=True, slots=True)
class DrawnPeople:
    """Pictures by person, and how many people had too few."""

    pictures: Mapping[str, Sequence[Path | RecordPicture]]
    few: int


def draw_people(
    found: Mapping[str, Sequence[Path | RecordPicture]], people: int, *, least: int, seed: int, source: object
) -> DrawnPeople:
    """Return some of the people with `least` pictures or more, drawn by a seed, in order of name.

    Raises:
        DatasetError: if there are fewer.
    """
    names = sorted(name for name, pictures in found.items() if len(pictures) >= max(1, least))
    if len(names) < max(1, people):
        raise DatasetError(
            f"{source}: expected {max(1, people):,} people with {least} pictures or more, got {len(names):,}; "
            "ask for fewer"
        )
    if people:
        rows = np.random.default_rng(seed).permutation(len(names))[:people]
        names = [names[row] for row in sorted(rows.tolist())]
    few = sum(len(pictures) < max(1, least) for pictures in found.values())
    return DrawnPeople({name: found[name] for name in names}, few)


def write_drawn(drawn: DrawnPeople, out: Path, progress: Callable[[int], object]) -> WrittenPeople:
    """Write the pictures of people as `OUT/PERSON/PICTURE`; see `write_people`.

    Raises:
        DatasetError: if the folder cannot be written.
    """
    errors: list[ImageError] = []
    written = kept = 0
    with folder_in_one_piece(out) as made:
        for name, pictures in drawn.pictures.items():
            (made / name).mkdir()
            before = written
            for picture in pictures:
                try:
                    _put(picture, made / name)
                    written += 1
                except ImageError as error:
                    errors.append(error)
            kept += written > before
            progress(1)
    return WrittenPeople(kept, written, drawn.few, tuple(errors))


def _put(picture: Path | RecordPicture, folder: Path) -> None:
    if isinstance(picture, RecordPicture):
        content = picture.read()
        suffix = ".png" if kind_of(content[:START]) == "PNG" else ".jpg"
        (folder / f"{picture.key:08d}{suffix}").write_bytes(content)
        return
    target, number = folder / picture.name, 0
    while target.exists():  # of two folders that are one person's
        target = folder / f"{picture.parent.name}{f'-{number}' if number else ''}-{picture.name}"
        number += 1
    real = os.path.realpath(picture)  # a link to a link would hang on two files
    try:
        os.link(real, target)
    except OSError:
        try:
            shutil.copyfile(real, target)
        except OSError as error:
            if error.errno in FULL:
                raise
            raise ImageError(picture, f"cannot be copied ({error.strerror}); check it and the space") from error
