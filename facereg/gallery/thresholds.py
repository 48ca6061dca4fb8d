"""Thresholds measured by users, kept by the embedder's space."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from facereg.disk.homes import HOME, settings_folder
from facereg.disk.reading import MAX_SETTINGS, parse_json, read_text
from facereg.disk.replacing import locked, write_atomically, writing
from facereg.errors import ContractError, FaceregError, UnknownNameError, words_of
from facereg.networks.runner import joint_fingerprint
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import Registry
from facereg.roles import Matcher

FILE = "calibrations.json"
VERSION = 3  # of an entry, which has a checksum from 2 on, last, so that no damage takes both away and leaves the rest
CELLS = ("thresholds", "origin", "intervals", "tail")  # the last two since version 3


@dataclass(frozen=True, slots=True)
class Threshold:
    """A cosine similarity from which two faces are called one person.

    Args:
        value: the similarity.
        far: the false accept rate it was measured at; None where unknown.
        origin: who measured it, on what.
        interval: lowest and highest value that other people would have given, in 95 % of draws; None where unknown.
    """

    value: float
    far: float | None
    origin: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Tail:
    """How strangers' similarities fall off above the threshold of the lowest rate measured.

    A generalised Pareto distribution of what exceeds it (Pickands 1975, doi:10.1214/aos/1176343003).

    Args:
        scale: in units of similarity, above 0.
        shape: below 0 where similarities have an upper end.
    """

    scale: float
    shape: float

    def __post_init__(self) -> None:
        if not (0 < self.scale <= 1 and -10 <= self.shape < 1):
            raise ContractError(f"tail: expected a scale in 0..1 and a shape in -10..1, got {self.scale}, {self.shape}")

    def exceeded_by(self, share: float) -> float:
        """Return by how much the threshold is exceeded by a share, in 0..1, of the similarities above it."""
        fall = -np.log(share)
        return float(self.scale * (np.expm1(self.shape * fall) / self.shape if self.shape else fall))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an embedder's similarities mean.

    Args:
        thresholds: the cosine similarity of each false accept rate that was measured, one at least.
        origin: who measured it, on what.
        intervals: of rates that were measured, see `Threshold.interval`.
        tail: for rates below the lowest; None where none was fitted.
    """

    thresholds: Mapping[float, float]
    origin: str
    intervals: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    tail: Tail | None = None

    def __post_init__(self) -> None:
        if not self.thresholds or not all(0 < rate <= 1 for rate in self.thresholds):
            raise ContractError(f"thresholds: expected one by a rate above 0 at least, got {dict(self.thresholds)}")
        if not all(-1 <= value <= 1 for value in self.thresholds.values()):
            raise ContractError(f"thresholds: expected cosine similarities in -1..1, got {dict(self.thresholds)}")
        by_rate = [self.thresholds[rate] for rate in sorted(self.thresholds)]
        if by_rate != sorted(by_rate, reverse=True):
            raise ContractError(
                f"thresholds: expected none that rises with the false accept rate, got {dict(self.thresholds)}"
            )
        if not all(rate in self.thresholds and -1 <= low <= high <= 1 for rate, (low, high) in self.intervals.items()):
            raise ContractError(f"intervals: expected low, high of rates that have a threshold, got {self.intervals}")

    def at(self, far: float | None = None) -> Threshold:
        """Return the threshold of a false accept rate; by default that of the highest one measured.

        Between two measured rates it is interpolated over the logarithm of the rate; below them it follows the tail,
        which the result's origin says. Beyond them else it is that of the nearest, whose rate the result then states.
        """
        rates = sorted(self.thresholds)
        if far is not None and far < rates[0] and self.tail is not None:
            value = self.thresholds[rates[0]] + self.tail.exceeded_by(far / rates[0])
            return Threshold(min(value, 1.0), far, f"{self.origin}; extrapolated from the rate {rates[0]:.2g}")
        rate = rates[-1] if far is None else min(max(far, rates[0]), rates[-1])
        value = np.interp(np.log(rate), np.log(rates), [self.thresholds[held] for held in rates])
        return Threshold(float(value), rate, self.origin, self.intervals.get(rate))


def calibrations_file() -> Path:
    """Return where thresholds are kept: `calibrations.json` among the user's settings.

    Raises:
        FaceregError: if the user has no folder for settings.
    """
    return settings_folder() / FILE


def calibration_for(space: str, registry: Registry) -> Calibration:
    """Return what was measured here for that space, else what the model's card says.

    Args:
        space: of an embedder; the part before its colon is the model's name.
    Raises:
        FaceregError: if there is neither.
    """
    held = _read().get(space)
    if held is not None:
        return held
    name = space.partition(":")[0]
    try:
        thresholds = _thresholds_of(registry.model(name, role="embedder"), space)
    except UnknownNameError:
        thresholds = {}
    if not thresholds:
        raise FaceregError(
            f"no threshold is known for {space!r}; measure one with 'facereg calibrate', or pass --threshold"
        )
    return Calibration(thresholds, f"model card of {name}")


def _thresholds_of(model: ModelSpec, space: str) -> Mapping[float, float]:
    """Return what the card of the weights in a space says: that of their tag, else that of the model."""
    for weights in model.weights:
        sums = [network.sha256 for network in sorted(weights.networks, key=lambda network: network.name)]
        known = [sha256 for sha256 in sums if sha256 is not None]
        if len(known) == len(sums) and joint_fingerprint(known)[:12] == space.split(":")[1]:
            return weights.thresholds
    return model.thresholds


def far_for(comparisons: int, fpir: float) -> float:
    """Return the false accept rate of a comparison at which `fpir` of the strangers are given a name.

    A stranger has a chance with each vector compared (`Matcher.vectors_compared`), so a share of `fpir` leaves a part
    of it to each.
    """
    return fpir / max(comparisons, 1)


def keep_threshold(matcher: Matcher, choose: Callable[[int], float]) -> None:
    """Set a matcher's threshold to what `choose` gives for the vectors it compares with, now and as they change."""
    chosen = cache(choose)

    def set_threshold(held: Matcher) -> None:
        held.threshold = chosen(held.vectors_compared)

    set_threshold(matcher)
    matcher.follow(set_threshold)


def store_calibration(space: str, calibration: Calibration) -> Path:
    """Keep a calibration; return the file. Several may do so at once: each is kept.

    Raises:
        FaceregError: if the file cannot be written.
    """
    path = calibrations_file()
    with writing(path, remedy=f"set {HOME} to a folder that can"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{FILE}.lock")):
            held = _held(path) | {space: calibration}
            rows = {key: _row(key, one) for key, one in held.items()}
            write_atomically(path, (json.dumps(rows, indent=2) + "\n").encode())
    return path


def _row(space: str, calibration: Calibration) -> dict[str, object]:
    held = {
        "thresholds": {repr(float(far)): float(value) for far, value in calibration.thresholds.items()},
        "intervals": {repr(float(far)): list(map(float, ends)) for far, ends in calibration.intervals.items()},
        "tail": None if calibration.tail is None else [float(calibration.tail.scale), float(calibration.tail.shape)],
        "origin": calibration.origin,
    }
    return {"version": VERSION, **held, "sha256": _checksum(space, held)}


def _checksum(space: str, held: Mapping[str, Any]) -> str:
    """Return what tells that an entry was damaged: a digit less is a threshold as good as another."""
    cells = [sorted(held[key].items()) if isinstance(held[key], dict) else held[key] for key in CELLS if key in held]
    return hashlib.sha256(json.dumps([space, *cells]).encode()).hexdigest()


def _read() -> dict[str, Calibration]:
    """Return what was calibrated: nothing for a user who has no folder of settings, or one that is somebody else's."""
    try:
        path = calibrations_file()
    except FaceregError:
        return {}
    try:
        path.stat()
        if os.access(path, os.R_OK) or HOME in os.environ:
            return _held(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        if HOME in os.environ:  # asked for
            raise FaceregError(f"{path}: cannot be read ({error.strerror}); change its rights, or {HOME}") from error
    return {}


def _held(path: Path) -> dict[str, Calibration]:
    """Return the calibrations of a file; none where it is missing.

    Raises:
        FaceregError: if the file holds something else, or was damaged.
    """
    if not path.exists():
        return {}
    expected = "what 'facereg calibrate' wrote"
    text = read_text(path, expected=expected, limit=MAX_SETTINGS, error=FaceregError)
    rows = parse_json(text, place=str(path), expected=expected, error=FaceregError)
    try:
        if len({"sha256" in row for row in rows.values()}) > 1:  # a writer of checksums gives every entry one
            raise ValueError("only some entries have a checksum")
        return {space: _calibration(space, row) for space, row in rows.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, FaceregError) as error:
        raise FaceregError(f"{path}: expected {expected} ({words_of(error, 200)}); move the file away") from error


def _calibration(space: str, row: dict[str, Any]) -> Calibration:
    version = row.get("version")
    cells = set(CELLS if version == VERSION else CELLS[:2])
    checked = {"version", "sha256"} if version in (2, VERSION) else set()
    if cells | checked != row.keys():
        raise ValueError(f"{space!a} has other keys: {', '.join(map(ascii, row))}")
    thresholds, origin, tail = row["thresholds"], row["origin"], row.get("tail")
    intervals = {rate: tuple(ends) for rate, ends in row.get("intervals", {}).items()}
    numbers = [*thresholds.values(), *(tail or ()), *(end for ends in intervals.values() for end in ends)]
    if not isinstance(origin, str) or {type(value) for value in numbers} - {int, float}:
        raise ValueError(f"{space!a} holds values of another kind")
    # an entry of the first version has no checksum
    if row.get("sha256", held := _checksum(space, row)) != held:
        raise ValueError(f"{space!a} was altered")
    by_rate = {float(far): float(value) for far, value in thresholds.items()}
    if len(by_rate) != len(thresholds):
        raise ValueError(f"{space!a} states a rate twice")
    spans = {float(far): (float(low), float(high)) for far, (low, high) in intervals.items()}
    return Calibration(by_rate, origin, spans, None if tail is None else Tail(*tail))
