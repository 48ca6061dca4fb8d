"""People's pictures into a gallery: each is enrolled, skipped or failed, and what looks wrong is said."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from facereg.builtin.main_face import NO_FACE, main_face
from facereg.errors import FaceregError, ImageError
from facereg.folders.left_out import LeftOut
from facereg.folders.people import FoundPeople, find_people, require_pictures
from facereg.gallery import Gallery, Source
from facereg.gallery.quality import Limits, refusal
from facereg.gallery.suspicions import Enrolment, suspicions
from facereg.images import Picture, read_picture
from facereg.names import names_alike
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.failures import NO_NETWORK
from facereg.pipeline.files import run_files
from facereg.pipeline.stages import Result
from facereg.types import Embeddings, FloatArray

ENROLLED_ALREADY = "enrolled already"


@dataclass(slots=True)
class EnrolmentReport:
    """What became of everything in a folder of people: each entry is in one of the first three.

    Args:
        enrolled: pictures that the gallery did not hold before.
        skipped: entries that were not enrolled, with the reason, those that the gallery held already among them.
        failed: entries that could not be read or worked on.
        warnings: what looks wrong though it was enrolled, a line each.
    """

    enrolled: list[Path] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)
    failed: list[LeftOut] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def enrol_folder(
    pipeline: Pipeline,
    gallery: Gallery,
    folder: str | Path,
    *,
    main_faces: bool = False,
    limits: Limits | None = None,
    same: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> EnrolmentReport:
    """Enrol the people of a folder, `NAME/*.jpg` each; what the gallery holds already stays.

    Args:
        main_faces: of several faces in a picture take the one that it is about; else such a picture is skipped.
        limits: what a face must have; None for `Limits()`.
        same: similarity from which two vectors are taken for one person's; None says nothing of pictures that differ
            from the person's others.
        progress: called with the number of pictures done since the last call.
    Raises:
        DatasetError: if the folder is missing, cannot be read, or holds no person.
        GalleryError: if the gallery cannot be written.
        FaceregError: if a network cannot be reached or opened.
    """
    found = find_people(Path(folder))
    require_pictures(found, Path(folder))
    return enrol_people(pipeline, gallery, found, main_faces=main_faces, limits=limits, same=same, progress=progress)


def enrol_people(
    pipeline: Pipeline,
    gallery: Gallery,
    found: FoundPeople,
    *,
    main_faces: bool = False,
    limits: Limits | None = None,
    same: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> EnrolmentReport:
    """Enrol people who were found with `find_people`, a transaction each; arguments and errors as `enrol_folder`."""
    report = EnrolmentReport(skipped=list(found.skipped), failed=list(found.failed))
    known, known_vectors = gallery.embeddings()
    before = set(known)
    added: list[Enrolment] = []
    judge = _Judge(pipeline, main_faces, limits or Limits())
    with closing(judge.judged(found, report, progress)) as judged:
        for name, group in groupby(judged, key=lambda each: each.name):
            added += _enrol(gallery, name, list(group), report)
    report.warnings += [
        f"{name!r} and {other!r} differ only by case, invisible or look-alike letters; is it one person"
        for name, other in names_alike(dict.fromkeys(each.name for each in added if each.name not in before), known)
    ]
    report.warnings += suspicions(added, known, known_vectors.vectors, same=same)
    return report


def _enrol(gallery: Gallery, name: str, new: list[Enrolment], report: EnrolmentReport) -> list[Enrolment]:
    """Enrol a person's pictures in one transaction; return those that the gallery did not hold."""
    vectors = Embeddings(np.stack([each.vector for each in new]), gallery.space)
    done = gallery.enroll(name, vectors, [each.source for each in new])
    added = []
    for each in new:
        if each.source.name in done.repeated:
            report.skipped.append(LeftOut(each.path, ENROLLED_ALREADY))
        else:
            report.enrolled.append(each.path)
            added.append(each)
    return added


@dataclass(frozen=True, slots=True)
class _Judge:
    """Takes one fit face of each picture."""

    pipeline: Pipeline
    main_faces: bool
    limits: Limits

    def judged(
        self, found: FoundPeople, report: EnrolmentReport, progress: Callable[[int], None]
    ) -> Generator[Enrolment, None, None]:
        """Yield the faces to enrol, in order of the people; put the other pictures into the report."""
        pictures = found.pictures
        with closing(
            run_files(self.pipeline, [path for _, path in pictures], notice=report.warnings.append)
        ) as outcomes:
            for (name, _), (path, outcome) in zip(pictures, outcomes, strict=True):
                progress(1)
                if isinstance(outcome, ImageError):
                    report.failed.append(LeftOut(path, outcome.reason))
                    continue
                try:
                    vector, reason = self._vector(read_picture(path), outcome)
                    source = Source.of(path)
                except FaceregError as error:
                    if isinstance(error, NO_NETWORK):
                        raise
                    report.failed.append(LeftOut(path, getattr(error, "reason", str(error))))
                    continue
                if vector is None:
                    report.skipped.append(LeftOut(path, reason))
                else:
                    yield Enrolment(name, path, source, vector)

    def _vector(self, picture: Picture, result: Result) -> tuple[FloatArray | None, str]:
        """Return the vector to enrol; None with the reason where there is none."""
        faces = picture.in_image(result.faces)
        row = main_face(faces, *picture.image.shape[:2])
        if row is None:
            return None, NO_FACE
        if len(result.faces) > 1 and not self.main_faces:
            return None, f"expected one face, found {len(result.faces)}; crop the picture, or pass --largest"
        reason = refusal(picture.image, faces, row, self.pipeline.detector, self.limits)
        reason = reason or result.refusal(row)
        return (None, reason) if reason else (list(result)[row].vector, "")
