"""A study from its plan to its report; what is done is kept, so that one that was stopped goes on where it stood."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facereg.data.lines import absent
from facereg.data.pairs import PairList, read_pairs
from facereg.data.records import is_record
from facereg.data.subsets import write_people
from facereg.disk.replacing import writing
from facereg.errors import ContractError, DatasetError, FaceregError, ImageError, MissingExtraError
from facereg.evaluation.comparing import tell_shared
from facereg.evaluation.known_faces import KnownFaces, find_main_faces
from facereg.evaluation.verification import require_kinds, require_roc
from facereg.pipeline.stages import require_landmarks
from facereg.registry.installed import Registry, default_registry
from facereg.study.pages import write_pages
from facereg.study.plan import StudyPlan
from facereg.study.rows import (
    LearnedFrom,
    RowResult,
    check_row,
    describe_data,
    describe_source,
    read_arrays,
    read_kept,
    run_row,
    write_arrays,
    write_kept,
)
from facereg.types import Faces


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """What a study came to.

    Args:
        rows: those that are finished, in the plan's order.
        failed: why the others are not, by name.
        errors: what is wrong with each picture that could not be read or worked on.
        pages: the reports written, Markdown and HTML.
    """

    rows: tuple[RowResult, ...]
    failed: Mapping[str, str]
    errors: tuple[ImageError, ...]
    pages: tuple[Path, ...]

    def figures(self) -> list[dict[str, Any]]:
        """Return the figures of each finished row by the names that the command writes."""
        return [dict(row.figures) for row in self.rows]


def run_study(
    plan: StudyPlan,
    *,
    registry: Registry | None = None,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> StudyResult:
    """Train, embed and score every row of a plan, and write the reports; what is done already is kept.

    All rows are checked first; one that fails later is said and named in the report, and the others go on.

    Args:
        registry: of the models and recipes; None: those installed.
        progress: called with the number of pictures done since the last call: once for their faces, once a row.
        notice: called with a line about what is done, kept, or missing.
    Raises:
        ContractError: naming each row whose model, options, weights, recipe or settings cannot be used; no work is
            done then.
        DatasetError: if the pairs, their pictures or what is learned from are not there.
        FaceregError: if the detector fails, or `out` cannot be written.
    """
    require_roc()
    registry = default_registry() if registry is None else registry
    _check(plan, registry)
    tested = read_pairs(plan.test.format, plan.test.pairs, plan.test.images)
    chosen = None
    if plan.test.threshold_pairs is not None:
        chosen = read_pairs(plan.test.format, plan.test.threshold_pairs, plan.test.images)
    for listed, named in ((tested, plan.test.pairs), (chosen, plan.test.threshold_pairs)):
        if listed is not None:
            require_kinds(listed.same, named=str(named))
    if chosen is None and len(set(tested.folds)) == 1:
        raise ContractError("test: one fold needs a threshold chosen on other pairs; name them as threshold_pairs")
    if chosen is not None:
        tell_shared(tested, chosen, notice)
    with writing(plan.out):
        plan.out.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(path for held in (tested, chosen) if held for path in held.paths))
    if missing := absent(paths):
        raise DatasetError(f"{len(missing)} of {len(paths)} pictures are missing, such as {missing[0]}; check images")
    learned = _learned_from(plan, notice) if any(row.recipe for row in plan.rows) else None
    known = _known_faces(plan, registry, paths, progress, notice)
    done: list[RowResult] = []
    failed: dict[str, str] = {}
    for row in plan.rows:
        try:
            result = run_row(
                plan, row, tested, chosen, known, learned, registry=registry, progress=progress, notice=notice
            )
        except FaceregError as error:
            failed[row.name] = str(error)
            notice(f"{row.name}: failed: {error}")
            continue
        done.append(result)
    maps: Path | None = None
    try:
        maps = _draw_maps(plan, tested, known, done)
    except MissingExtraError as error:
        notice(str(error))
    errors = list(dict.fromkeys((error.path, error.reason) for row in done for error in row.faces.errors))
    for line in dict.fromkeys(str(error) for row in done for error in row.faces.without_face):
        notice(line)
    pages = write_pages(plan, done, failed, pairs=len(tested.pairs), maps=maps)
    return StudyResult(tuple(done), failed, tuple(ImageError(*error) for error in errors), pages)


def _check(plan: StudyPlan, registry: Registry) -> None:
    """Refuse a plan whose stages or rows cannot be made, naming all of these rows."""
    stages, faults = plan.test.stages, []
    with stages.make_detector(registry) as detector, stages.make_aligner(registry) as aligner:
        require_landmarks(detector, aligner)
    for row in plan.rows:
        try:
            check_row(plan, row, registry)
        except FaceregError as error:
            faults.append(f"{row.name}: {error}")
    if faults:
        raise ContractError(f"rows: {'; '.join(faults)}")


def _draw_maps(plan: StudyPlan, tested: PairList, known: KnownFaces, rows: Sequence[RowResult]) -> Path | None:
    """Draw the pictures of a few people as every model sees them; None where no people are known or asked for."""
    from facereg.study.maps import draw_maps, most_pictured

    chosen = most_pictured(tested, list(known.faces), plan.test.mapped)
    if not chosen or not rows:
        return None
    path = plan.out / "people.png"
    draw_maps(path, {row.name: row.faces for row in rows}, chosen, seed=plan.seed)
    return path


def _learned_from(plan: StudyPlan, notice: Callable[[str], object]) -> LearnedFrom:
    """Return the folders to learn from; of records, and where people are drawn, they are written first."""
    drawn, folders = plan.train, []
    names = [source.parent.name if source.suffix == ".rec" else source.name for source in drawn.data]
    if len(set(names)) < len(names):
        raise ContractError(f"train: data: expected folders of different names, got {', '.join(names)}; rename one")
    for source, name in zip(drawn.data, names, strict=True):
        if not drawn.people and not is_record(source):
            folders.append(source)
            continue
        folder = plan.out / "data" / f"{name}-{drawn.people or 'all'}-{drawn.least}-{plan.seed}"
        note, held = folder.with_name(f"{folder.name}.json"), describe_source(source)
        if folder.is_dir():
            before = read_kept(note)
            if before is not None and before.get("sha256") != held:
                raise DatasetError(
                    f"{folder}: expected the people of {source}, got those drawn of another set, or before it changed; "
                    "remove that folder"
                )
        else:
            notice(f"{source}: writing people to {folder}")
            written = write_people(
                source, folder, people=drawn.people, least=drawn.least, seed=plan.seed, notice=notice
            )
            for error in written.errors:
                notice(str(error))
        write_kept(note, {"source": str(source), "sha256": held})
        folders.append(folder)
    return describe_data(folders)


def _known_faces(
    plan: StudyPlan,
    registry: Registry,
    paths: list[Path],
    progress: Callable[[int], object],
    notice: Callable[[str], object],
) -> KnownFaces:
    """Return the face of every picture: found once, and kept for all rows."""
    path, note = plan.out / "faces.npz", plan.out / "faces.json"
    choice = plan.test.stages
    with choice.make_detector(registry) as detector:
        hashed = hashlib.sha256(repr((choice.detector, detector.networks.fingerprint)).encode())
        for picture in paths:
            hashed.update(f"{picture} {_size(picture)}\n".encode(errors="surrogatepass"))
        key, before = hashed.hexdigest(), read_kept(note)
        if before is not None and before.get("key") == key and (kept := _kept_faces(path, paths, before)) is not None:
            progress(len(paths))
            return kept
        notice(f"finding faces in {len(paths):,} pictures with {choice.detector.name}")
        known = find_main_faces(detector, paths, progress=progress, notice=notice)
    found = np.array([bool(len(faces)) for faces in known.faces.values()], np.bool_)
    faces = [one for one in known.faces.values() if len(one)]
    points = np.stack([one.landmarks[0] for one in faces]) if faces else np.empty((0, 5, 2), np.float32)
    boxes = np.concatenate([one.boxes for one in faces]) if faces else np.empty((0, 4), np.float32)
    scores = np.concatenate([one.scores for one in faces]) if faces else np.empty(0, np.float32)
    write_arrays(path, found=found, boxes=boxes, scores=scores, points=points)
    write_kept(note, {"key": key, "errors": [(error.path, error.reason) for error in known.errors]})
    return known


def _size(path: Path) -> int:
    """Return the bytes of a file; -1 of what is none, as a dead link, which whoever reads it names."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _kept_faces(path: Path, paths: Sequence[Path], note: Mapping[str, Any]) -> KnownFaces | None:
    """Return the faces that were found before; None where the file is damaged."""
    arrays = read_arrays(path, ("found", "boxes", "scores", "points"))
    if arrays is None or len(arrays[0]) != len(paths):
        return None
    found, boxes, scores, points = arrays
    known, row = {}, 0
    for picture, there in zip(paths, found, strict=True):
        rows = slice(row, row + int(there))
        known[picture] = Faces(boxes[rows], scores[rows], points[rows]) if there else Faces.empty()
        row += int(there)
    return KnownFaces(known, tuple(ImageError(one, reason) for one, reason in note.get("errors", [])))
