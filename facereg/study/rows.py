"""One row of a study: its model trained, its vectors made, its figures; each kept, so that it is done once."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from facereg import __version__
from facereg.data.pairs import PairList
from facereg.data.records import is_record, record_file
from facereg.disk.reading import MAX_LIST, parse_json, read_text
from facereg.disk.replacing import file_sha256, whole_file, write_file, writing
from facereg.errors import ContractError, FaceregError, ImageError, PluginError, WeightsError, words_of
from facereg.evaluation.comparing import ListedFaces, listed_similarities, score_list
from facereg.evaluation.flipping import FlippedEmbedder
from facereg.evaluation.known_faces import KnownFaces, embed_known_faces
from facereg.evaluation.main_faces import MainFaces
from facereg.evaluation.reports import source_commit
from facereg.evaluation.verification import best_threshold
from facereg.folders.people import find_people
from facereg.networks.spec import import_object
from facereg.options import options_of, read_options
from facereg.registry.installed import Registry
from facereg.roles import Embedder
from facereg.study.plan import StudyPlan, StudyRow
from facereg.types import FloatArray

TIMED_S = 1.0  # a network is timed over at least this long
Notice = Callable[[str], object]
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """A finished row: its name, its figures as they are written, its curve, and its vectors with those found."""

    name: str
    figures: Mapping[str, Any]
    curve: FloatArray
    faces: MainFaces


@dataclass(frozen=True, slots=True)
class LearnedFrom:
    """The folders that recipes learn from, and what they hold, in words and as a checksum of names and sizes."""

    folders: tuple[Path, ...]
    described: str
    digest: str


def describe_data(folders: Sequence[Path]) -> LearnedFrom:
    """Return folders of people with what they hold."""
    hashed, parts = hashlib.sha256(), []
    for folder in folders:
        found = find_people(folder)
        for name, path in found.pictures:
            hashed.update(f"{name}/{path.name} {path.stat().st_size}\n".encode(errors="surrogatepass"))
        parts.append(f"{folder.name}: {len(found.people):,} people, {len(found.pictures):,} pictures")
    return LearnedFrom(tuple(folders), "; ".join(parts), hashed.hexdigest())


def describe_source(source: Path) -> str:
    """Return a checksum of what people are drawn from: names and sizes of a folder's pictures, a record's index."""
    if not is_record(source):
        return describe_data([source]).digest
    record = record_file(source)
    index = record.with_suffix(".idx")
    if not (record.is_file() and index.is_file()):
        return ""  # whoever reads it names what is missing
    return hashlib.sha256(f"{record.stat().st_size} {file_sha256(index)}".encode()).hexdigest()


def check_row(plan: StudyPlan, row: StudyRow, registry: Registry) -> None:
    """Refuse a row of which it can be known before any work that it will fail.

    Raises:
        FaceregError: if its model, an option, its recipe or a setting is unknown or does not read, or its network
            cannot be opened.
    """
    where = replace(plan.test.stages.embedder.where, weights=row.weights)
    with registry.make(row.embedder, row.options, role="embedder", where=where) as embedder:
        if not row.recipe:
            embedder.networks.fingerprint  # noqa: B018  (opens them)
            return
    _settings(plan, row, registry)
    import_object(registry.recipe(row.recipe).run)


def run_row(
    plan: StudyPlan,
    row: StudyRow,
    tested: PairList,
    chosen: PairList | None,
    known: KnownFaces,
    learned: LearnedFrom | None,
    *,
    registry: Registry,
    progress: Progress,
    notice: Notice,
) -> RowResult:
    """Train a row's model where it is not trained yet, embed the pictures, score the pairs, and keep all of it.

    Args:
        tested, chosen: the pairs, and those to choose the threshold on.
        known: the faces of their pictures.
        learned: what recipes learn from; needed where the row has one.
    Raises:
        ContractError: if the row's folder was trained from something else.
        FaceregError: what training or embedding raises.
    """
    folder = plan.out / "rows" / row.slug
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    trained: dict[str, Any] = {"seed": None}
    if row.recipe:
        if learned is None:
            raise ContractError(f"{row.name}: expected data to learn from, got none")
        trained = _train(plan, row, learned, folder / "train", registry, notice)
    faces, made = _embedded(plan, row, known, folder, registry, progress, notice)
    held = ListedFaces(faces, {path: number for number, path in enumerate(known.faces)})
    threshold = None
    if chosen is not None:
        others = listed_similarities(chosen, held)
        threshold = best_threshold(others.values, others.same)
    compared = listed_similarities(tested, held)
    result = score_list(tested, compared, threshold=threshold, draws=plan.test.draws, errors=faces.errors)
    figures = {"name": row.name, **result.figures(), **made, "recipe": row.recipe or None, **trained}
    write_kept(folder / "row.json", figures)
    return RowResult(row.name, figures, result.scores.curve, faces)


def _embedded(
    plan: StudyPlan,
    row: StudyRow,
    known: KnownFaces,
    folder: Path,
    registry: Registry,
    progress: Progress,
    notice: Notice,
) -> tuple[MainFaces, dict[str, Any]]:
    """Return the vectors of the pictures and how they were made: those kept, where they were made from the same."""
    weights = folder / "train" if row.recipe else row.weights
    stages = plan.test.stages
    where = replace(stages.embedder.where, weights=weights)
    with registry.make(row.embedder, row.options, role="embedder", where=where) as embedder:
        asked = [embedder.space, dict(row.options), str(stages.aligner), plan.test.flip, _listing(known)]
        key = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
        path, note = folder / "vectors.npz", folder / "vectors.json"
        before = read_kept(note)
        if before is not None and before.get("key") == key and (kept := _kept(path, embedder.space, known)) is not None:
            notice(f"{row.name}: embedded before, kept")
            return kept, before["made"]
        notice(f"{row.name}: embedding {len(known.faces):,} pictures")
        began = time.perf_counter()
        with stages.make_aligner(registry) as aligner:
            faces = embed_known_faces(aligner, FlippedEmbedder(embedder, plan.test.flip), known, progress=progress)
        made = {
            "embedder": row.embedder,
            "embedding": embedder.dim,
            "space": embedder.space,
            "flip": plan.test.flip,
            "embed_s": time.perf_counter() - began,
            "crops_per_s": crops_per_s(FlippedEmbedder(embedder, "none")),
            "megabytes": _megabytes(registry, row.embedder, weights),
            "processor": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "commit": source_commit(),
            "facereg": __version__,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    write_arrays(path, vectors=faces.vectors, found=faces.found)
    kinds = {"errors": faces.errors, "without_face": faces.without_face}
    said = {kind: [(error.path, error.reason) for error in errors] for kind, errors in kinds.items()}
    write_kept(note, {"key": key, "made": made, **said})
    return faces, made


def crops_per_s(embedder: Embedder) -> float:
    """Return how many crops an embedder takes in a second, in batches of its own size: the best of some."""
    rng = np.random.default_rng(0)
    size, batch = embedder.crop_size, embedder.batch_size
    crops = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
    embedder.embed(crops)  # opens the network
    best, began = 0.0, time.perf_counter()
    while not best or time.perf_counter() - began < TIMED_S:
        start = time.perf_counter()
        embedder.embed(crops)
        best = max(best, batch / (time.perf_counter() - start))
    return best


def _train(
    plan: StudyPlan, row: StudyRow, learned: LearnedFrom, out: Path, registry: Registry, notice: Notice
) -> dict[str, Any]:
    """Run a row's recipe, or go on with it; return what a report says of it."""
    settings = _settings(plan, row, registry)
    asked = {"recipe": row.recipe, "settings": settings, "data": learned.described, "data_sha256": learned.digest}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    path, done = out / "asked.json", out / "result.json"
    before = read_kept(path)
    if before is not None and before.get("asked") != asked:
        other = next(key for key in asked if before.get("asked", {}).get(key) != asked[key])
        raise ContractError(
            f"{row.name}: expected the {other} that {out} was begun with, got other ones; name the row otherwise, or "
            f"remove that folder"
        )
    seconds: float | None = None if before is None else before.get("train_s")
    if not done.is_file():
        begun = (out / "last.ckpt").is_file()
        notice(f"{row.name}: {'going on with' if begun else 'training by'} {row.recipe}")
        write_kept(path, {"asked": asked, "train_s": None})
        began = time.perf_counter()
        try:
            import_object(registry.recipe(row.recipe).run)(list(learned.folders), out, True, settings)
        except FaceregError:
            raise
        except Exception as error:  # out of memory, a fault of the recipe: the other rows go on
            raise PluginError(f"{row.recipe}: failed: {type(error).__name__}: {words_of(error)}") from error
        if not done.is_file():
            raise ContractError(f"{row.recipe}: expected a recipe that leaves result.json, as 'save_run' writes it")
        seconds = None if begun else time.perf_counter() - began  # of a run in parts nobody knows the whole
        write_kept(path, {"asked": asked, "train_s": seconds})
    return {
        "settings": dict(row.settings),
        "seed": int(settings["seed"]) if "seed" in settings else None,
        "data": learned.described,
        "data_sha256": learned.digest,
        "train_s": seconds,
        "trained": (read_kept(done) or {}).get("finished"),
    }


def _settings(plan: StudyPlan, row: StudyRow, registry: Registry) -> dict[str, str]:
    """Return a row's settings as `--set` takes them, the study's seed among them; refuse what its recipe has not."""
    spec = registry.recipe(row.recipe)
    settings = {key: _word(value) for key, value in row.settings.items()}
    known = (options_of(import_object(spec.settings_from)) or {}) if spec.settings_from else {}
    if "seed" in known:
        settings.setdefault("seed", str(plan.seed))
    if "devices" in known:
        settings.setdefault("devices", "1")  # for several, Lightning would start the whole study again
    if known:
        read_options(known, settings, owner=row.recipe, what="setting", place="settings:")
    return settings


def _word(value: object) -> str:
    """Return a TOML value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_word, value)) if isinstance(value, list | tuple) else str(value)


def _kept(path: Path, space: str, known: KnownFaces) -> MainFaces | None:
    """Return the vectors that a row came to before; None where the file is damaged."""
    arrays = read_arrays(path, ("vectors", "found"))
    if arrays is None:
        return None
    vectors, found = arrays
    if vectors.ndim != 2 or not len(vectors) == len(found) == len(known.faces):
        return None
    note = read_kept(path.with_suffix(".json")) or {}
    said = [tuple(ImageError(*one) for one in note.get(kind, [])) for kind in ("errors", "without_face")]
    return MainFaces(vectors, found, space, *said)


def _megabytes(registry: Registry, embedder: str, weights: str | Path | None) -> float | None:
    """Return the size of a model's networks; None where it has none, or a server alone has their files."""
    networks = registry.model(embedder).networks
    try:
        paths = [network.locate(weights, check=False) for network in networks]
    except WeightsError:
        return None
    return sum(os.path.getsize(path) for path in paths) / 1e6 if paths else None


def _listing(known: KnownFaces) -> list[object]:
    return [(str(path), faces.landmarks.tolist()) for path, faces in known.faces.items()]


def read_arrays(path: Path, names: Sequence[str]) -> list[npt.NDArray[Any]] | None:
    """Return arrays of a file of ours; None where there is none, or it is damaged, as a full disk leaves it."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def read_kept(path: Path) -> dict[str, Any] | None:
    """Return what a file of ours holds; None where there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        held = parse_json(read_text(path, expected="JSON", limit=MAX_LIST), place=str(path), expected="JSON")
    except FaceregError:
        return None
    return held if isinstance(held, dict) else None


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Keep arrays in a file of ours, for its owner alone.

    Raises:
        FaceregError: if it cannot be written.
    """
    with writing(path), whole_file(path, private=True) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def write_kept(path: Path, value: object) -> None:
    """Keep a value in a file of ours.

    Raises:
        FaceregError: if it cannot be written.
    """
    write_file(path, (json.dumps(value, indent=2, default=str) + "\n").encode())
