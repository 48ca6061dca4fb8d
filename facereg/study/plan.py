"""What a study compares, from a TOML file: its data, its protocol, and a row for each model."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from facereg.data.pairs import PAIR_READERS
from facereg.disk.reading import MAX_SETTINGS, parse_toml, read_text
from facereg.errors import ContractError
from facereg.evaluation.verification import FARS
from facereg.options import REQUIRED, options_of, read_options
from facereg.pipeline.composition import Composition, StageChoice
from facereg.registry.installed import default_registry

Kind = TypeVar("Kind")
MAX_SLUG = 100  # bytes of the name of a row's folder
VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")  # as os.path.expandvars reads it


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What the recipes of a study learn from: table `train`.

    Args:
        data: folders with a folder a person, or MXNet records.
        people: how many of them to draw, by the study's seed; 0 takes all.
        least: pictures that a person drawn must have.
    """

    data: tuple[Path, ...] = ()
    people: int = 0
    least: int = 2


@dataclass(frozen=True, slots=True)
class VerificationProtocol:
    """What every model is judged by: table `test`.

    Args:
        images: folder of the pictures.
        pairs: the list.
        format: its layout, one of PAIR_READERS.
        threshold_pairs: another list, to choose the threshold on; needed where the first has one fold.
        detector: of the faces; `aligned` for pictures that are crops.
        aligner: of the faces.
        pipeline: a pipeline file, whose detector and aligner take the place of these two, with their options and
            weights; every row's embedder runs where its embedder does.
        flip: what mirrored crops add, see `FlippedEmbedder`.
        draws: of the people, for intervals; 0 gives none.
        mapped: people with most pictures in the list, to draw a map of; 0 draws none.
    """

    images: Path
    pairs: Path
    format: str = "lfw"
    threshold_pairs: Path | None = None
    detector: str = "mtcnn"
    aligner: str = "five-point"
    pipeline: Path | None = None
    flip: Literal["sum", "concat", "none"] = "sum"
    draws: int = 1000
    mapped: int = 8

    @property
    def stages(self) -> Composition:
        """Return the detector and the aligner, and where embedders run.

        Raises:
            ContractError: if there is a pipeline file, and it does not read.
            UnknownNameError: if its detector is not installed.
        """
        if self.pipeline is not None:
            return Composition.read(self.pipeline).settled(default_registry())
        return Composition(StageChoice("detector", self.detector), StageChoice("aligner", self.aligner))


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One model: an entry of `rows`.

    Args:
        name: in the table.
        embedder: as in `facereg models`.
        recipe: that trains it, as in `facereg train --list`; without one, the embedder is judged as it stands.
        settings: of the recipe, as `--set` takes them.
        options: of the embedder.
        weights: folder or file that stands in for the embedder's own; not with a recipe, which makes some.
    """

    name: str
    embedder: str
    recipe: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    weights: Path | None = None

    @property
    def slug(self) -> str:
        """Return the name of the row's folder."""
        words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", self.name.lower())).strip("-")
        return words.encode()[:MAX_SLUG].decode(errors="ignore") or "row"


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Figures of others, to stand beside ours: an entry of `published`.

    Args:
        name: in the table.
        embedding: numbers of a vector; 0 where it is not stated.
        accuracy: a share, as 0.9593.
        tpr_at_far: shares by false accept rate, one of FARS.
    Raises:
        ContractError: if a figure is none.
    """

    name: str
    embedding: int = 0
    accuracy: float | None = None
    tpr_at_far: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.embedding < 0:
            raise ContractError(f"published: {self.name}: embedding: expected 0 or more, got {self.embedding}")
        if self.accuracy is not None:
            self._require_share(self.accuracy, "accuracy", "")
        for rate, value in self.tpr_at_far.items():
            if _rate(rate) not in FARS:
                known = ", ".join(f"{far:g}" for far in FARS)
                raise ContractError(f"published: {self.name}: tpr_at_far: expected the rates {known}, got {rate!r:.40}")
            self._require_share(value, "tpr_at_far", f" for {rate}")

    @property
    def rates(self) -> dict[str, float]:
        """Return the shares by false accept rate as it is written elsewhere, like 0.01."""
        return {f"{_rate(rate):g}": float(str(value)) for rate, value in self.tpr_at_far.items()}

    def _require_share(self, value: object, key: str, what: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ContractError(f"published: {self.name}: {key}: expected a share in 0..1{what}, got {value!r:.40}")


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A whole study.

    Args:
        title: of the report.
        out: folder for all it makes.
        seed: of the people drawn, of intervals and maps, and of every recipe that has a `seed` and is given no other.
        train: what is learned from.
        test: what is judged by.
        rows: the models.
        published: figures of others.
    """

    title: str
    out: Path
    test: VerificationProtocol
    rows: tuple[StudyRow, ...]
    seed: int = 0
    train: TrainingData = TrainingData()
    published: tuple[PublishedRow, ...] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            raise ContractError("rows: expected at least one model, got none; write [[rows]]")
        self._require_folders()
        for row in self.rows:
            if row.recipe and row.weights is not None:
                raise ContractError(f"rows: {row.name}: expected a recipe or weights, got both; leave one out")
            if row.settings and not row.recipe:
                raise ContractError(f"rows: {row.name}: expected a recipe to be given settings; name one")
            if row.recipe and not self.train.data:
                raise ContractError(f"train: data: expected folders of people for {row.name}, got none")
        if self.test.format not in PAIR_READERS:
            raise ContractError(f"test: format: expected one of {', '.join(PAIR_READERS)}, got {self.test.format!r}")
        counts = {"draws": self.test.draws, "mapped": self.test.mapped, "people": self.train.people}
        for place, value in {**counts, "least": self.train.least, "seed": self.seed}.items():
            if value < 0:
                raise ContractError(f"{place}: expected 0 or more, got {value}")

    def _require_folders(self) -> None:
        """Refuse rows that would share a folder."""
        names: dict[str, str] = {}
        for row in self.rows:
            if row.slug in names:
                raise ContractError(
                    f"rows: expected names whose folders differ, got {names[row.slug]!r:.80} and {row.name!r:.80}, "
                    f"both of {row.slug!r}; rename one"
                )
            names[row.slug] = row.name


def read_study(path: Path) -> StudyPlan:
    """Return the study that a TOML file describes; its paths are relative to the file, and may name variables of the
    environment, as `$FACEREG_DATA/lfw`.

    ```toml
    title = "Three embedders"
    out = "study"

    [train]
    data = ["identities"]

    [test]
    images = "lfw"
    pairs = "pairs.txt"

    [[rows]]
    name = "MobileNetV3 + ArcFace"
    embedder = "mobilenetv3-arcface"
    recipe = "mobilenetv3-arcface"
    settings = { epochs = 30 }
    ```

    Raises:
        ContractError: if the file cannot be read, is no TOML, or has a table, key or value that is none.
    """
    text = read_text(path, expected="a study", limit=MAX_SETTINGS, error=ContractError)
    document = parse_toml(text, place=str(path), expected="a study", error=ContractError)
    given = {key: value for key, value in document.items() if key in ("title", "seed", "out")}
    tables: dict[str, Callable[..., object]] = {"train": TrainingData, "test": VerificationProtocol}
    lists: dict[str, Callable[..., object]] = {"rows": StudyRow, "published": PublishedRow}
    known = ["title", "seed", "out", *tables, *lists]
    if unknown := sorted(set(document) - set(known)):
        raise ContractError(f"{path}: unknown key {unknown[0]!r:.80}; allowed: {', '.join(known)}")
    parts: dict[str, Any] = {}
    for name, kind in tables.items():
        parts[name] = _made(kind, document.get(name, {}), f"{path}: {name}", path.parent)
    for name, kind in lists.items():
        entries = document.get(name, [])
        if not isinstance(entries, list):
            raise ContractError(f"{path}: {name}: expected tables, written [[{name}]]")
        parts[name] = tuple(_made(kind, entry, f"{path}: {name}", path.parent) for entry in entries)
    head = _made(_Head, given, str(path), path.parent)
    try:
        return StudyPlan(title=head.title, out=head.out, seed=head.seed, **parts)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Head:
    title: str
    out: Path
    seed: int = 0


def _made(kind: Callable[..., Kind], table: object, place: str, root: Path) -> Kind:
    """Return a table of the file as `kind`, its paths relative to `root`."""
    known = options_of(kind) or {}
    if not isinstance(table, dict):
        raise ContractError(f"{place}: expected a table, got {table!r:.80}")
    read = read_options(known, table, owner=place, what="key", place=f"{place}:")
    for name, option in known.items():
        if option.default is REQUIRED and name not in read:
            raise ContractError(f"{place}: expected the key {name}, got none; write {name} = ...")
        if "Mapping" in str(option.kind) and not isinstance(read.get(name, {}), dict):
            raise ContractError(f"{place}: {name}: expected a table, got {read[name]!r:.80}")
    return kind(**{name: _rooted(value, root, f"{place}: {name}") for name, value in read.items()})


def _rooted(value: object, root: Path, place: str) -> object:
    if isinstance(value, Path):
        path = root / os.path.expandvars(value)
        unset = [one or other for one, other in VARIABLE.findall(str(value)) if (one or other) not in os.environ]
        if unset and not os.path.lexists(path):  # a name may hold a dollar
            raise ContractError(
                f"{place}: expected a path, got {str(value)!r:.200}, whose variable {unset[0]} is not set; set it"
            )
        return path
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_rooted(one, root, place) for one in value)
    return value


def _rate(text: str) -> float | None:
    """Return a false accept rate; None where the text is no number."""
    try:
        return float(text)
    except ValueError:
        return None
