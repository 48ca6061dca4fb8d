"""What does not belong into a set of people: pictures without a face, pictures that come twice, faces of others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from facereg.data.subsets import DrawnPeople, write_drawn
from facereg.errors import ImageError
from facereg.evaluation.known_faces import embed_known_faces, find_main_faces
from facereg.images import load_images
from facereg.pipeline.composer import Pipeline
from facereg.types import FloatArray, Image

SIDE = 16  # px of the shrunk copy that pictures are compared by
# levels of 255 that copies of one picture differ by in the mean, saved again or in another size: of 600 such copies of
# aligned CelebA faces at most 2.8, and 950 pairs of other pictures of one person at least 10
NEAR = 4.0
Thumbnail = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Removed:
    """A picture that does not belong, of which kind, and why."""

    path: Path
    kind: Literal["no-face", "duplicate", "two-people", "stranger"]
    reason: str


@dataclass(frozen=True, slots=True)
class CleanedPeople:
    """What a set comes to.

    Args:
        people: the pictures that belong, by person; nobody without one.
        removed: the others.
        errors: what is wrong with each picture that cannot be read or worked on; they belong to nobody.
    """

    people: Mapping[str, tuple[Path, ...]]
    removed: tuple[Removed, ...]
    errors: tuple[ImageError, ...]


def clean_people(
    pipeline: Pipeline,
    people: Mapping[str, Sequence[Path]],
    *,
    least: float,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> CleanedPeople:
    """Return the pictures that belong to the people they are filed under; no file is touched.

    Removed are pictures without a face, or with one that the aligner refuses; of pictures that come twice in one
    person's folder all but the first, and of those that come in two people's folders all, for nobody knows whose they
    are; and, one after the other, the picture that is least like the mean of its person's others, as long as that is
    less than `least`. Where two are left that are not alike, both go.

    Args:
        people: as `read_people` gives them.
        least: cosine of a picture to the mean of its person's others.
        progress: called with the number of pictures done since the last call; each is worked on twice.
        notice: called with a line about a file that was read in part.
    Raises:
        FaceregError: if a network cannot be reached or opened.
    """
    paths = [path for own in people.values() for path in own]
    owners = [name for name, own in people.items() for _ in own]
    known = find_main_faces(pipeline.detector, paths, progress=progress, notice=notice)
    held = embed_known_faces(pipeline.aligner, pipeline.embedder, known, progress=progress)
    removed = [Removed(Path(error.path), "no-face", error.reason) for error in held.without_face]
    rows, twice = _without_duplicates(np.flatnonzero(held.found).tolist(), paths, owners)
    removed += twice
    kept: dict[str, tuple[Path, ...]] = {}
    by_person: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_person[owners[row]].append(row)
    for name, own in by_person.items():
        likeness = belonging(held.vectors[own], least=least)
        for row, cosine in zip(own, likeness, strict=True):
            if cosine is not None:
                reason = f"cosine {cosine:.2f} to the mean of its person's other pictures, expected {least:.2f} or more"
                removed.append(Removed(paths[row], "stranger", reason))
        belong = tuple(paths[row] for row, cosine in zip(own, likeness, strict=True) if cosine is None)
        if belong:
            kept[name] = belong
    order = {path: row for row, path in enumerate(paths)}
    removed.sort(key=lambda one: order[one.path])
    return CleanedPeople(kept, tuple(removed), held.errors)


def write_cleaned(cleaned: CleanedPeople, out: Path, *, least: int = 1) -> tuple[int, int]:
    """Write the pictures that belong as `OUT/PERSON/PICTURE`, links where the disk allows; return people and pictures.

    Args:
        out: a new folder.
        least: pictures that a person must have left.
    Raises:
        DatasetError: if the folder cannot be written.
        ImageError: if a picture cannot be copied.
    """
    people = {name: own for name, own in cleaned.people.items() if len(own) >= least}
    written = write_drawn(DrawnPeople(people, len(cleaned.people) - len(people)), out, lambda done: None)
    for error in written.errors:
        raise error
    return written.people, written.images


def belonging(vectors: FloatArray, *, least: float) -> list[float | None]:
    """Return None for each vector that belongs to the others, and its cosine to their mean for each that does not.

    Args:
        vectors: (N, D) of unit length, of one person; one alone belongs.
    """
    found: list[float | None] = [None] * len(vectors)
    left = list(range(len(vectors)))
    while len(left) > 1:
        own = vectors[left].astype(np.float64)
        others = own.sum(0) - own  # (N, D), of each the sum of the others
        norms = np.linalg.norm(others, axis=1)
        cosines = (own * others).sum(1) / np.maximum(norms, 1e-12)
        worst = int(cosines.argmin())
        if cosines[worst] >= least:
            break
        gone = left if len(left) == 2 else [left[worst]]  # of two, nobody knows which
        for row in gone:
            found[row] = float(cosines[left.index(row)])
        left = [row for row in left if row not in gone]
    return found


def thumbnail(image: Image) -> Thumbnail:
    """Return the (SIDE, SIDE, 3) copy of a picture that `alike` compares."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)


def alike(one: Thumbnail, other: Thumbnail) -> bool:
    """Tell whether two thumbnails are of one picture, saved twice."""
    return bool(np.abs(one - other).mean() <= NEAR)


def _without_duplicates(
    rows: Sequence[int], paths: Sequence[Path], owners: Sequence[str]
) -> tuple[list[int], list[Removed]]:
    """Return the rows without pictures that come twice, and these.

    Within a person every two are compared; across people those whose thumbnails have the same brighter and darker
    places, which the dHash (Krawetz 2013) tells.
    """
    thumbnails: dict[int, Thumbnail] = {}
    for row, (_, image) in zip(rows, load_images([paths[row] for row in rows]), strict=True):
        if not isinstance(image, ImageError):  # it was read before
            thumbnails[row] = thumbnail(image)
    buckets: dict[bytes, list[int]] = defaultdict(list)
    by_person: dict[str, list[int]] = defaultdict(list)
    for row, small in thumbnails.items():
        grey = small.sum(2)
        buckets[np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()].append(row)
        by_person[owners[row]].append(row)
    removed: dict[int, Removed] = {}
    for bucket in buckets.values():
        for row in bucket:
            also = [other for other in bucket if owners[other] != owners[row]]
            names = {owners[other] for other in also if alike(thumbnails[row], thumbnails[other])}
            if names:
                reason = f"the same picture is filed under {', '.join(sorted(names | {owners[row]}))}"
                removed[row] = Removed(paths[row], "two-people", reason)
    for own in by_person.values():
        held: list[int] = []
        for row in own:
            if row in removed:
                continue
            first = next((other for other in held if alike(thumbnails[row], thumbnails[other])), None)
            if first is None:
                held.append(row)
            else:
                removed[row] = Removed(paths[row], "duplicate", f"the same picture as {paths[first].name}")
    return [row for row in rows if row not in removed], list(removed.values())
