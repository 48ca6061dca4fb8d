"""Thresholds measured by users, kept by the embedder's space."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from facereg.disk.homes import HOME, settings_folder
from facereg.disk.reading import MAX_SETTINGS, parse_json, read_text
from facereg.disk.replacing import locked, write_atomically
from facereg.errors import ContractError, FaceregError, UnknownNameError, words_of
from facereg.networks.runner import joint_fingerprint
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import Registry
from facereg.roles import Matcher

FILE = "calibrations.json"
VERSION = 2  # of an entry: it has a checksum, which is last, so that no damage takes both away and leaves the rest


@dataclass(frozen=True, slots=True)
class Threshold:
    """A cosine similarity from which two faces are called one person.

    Args:
        value: the similarity.
        far: the false accept rate it was measured at; None where unknown.
        origin: who measured it, on what.
    """

    value: float
    far: float | None
    origin: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an embedder's similarities mean.

    Args:
        thresholds: the cosine similarity of each false accept rate that was measured, one at least.
        origin: who measured it, on what.
    """

    thresholds: Mapping[float, float]
    origin: str

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

    def at(self, far: float | None = None) -> Threshold:
        """Return the threshold of a false accept rate; by default that of the highest one measured.

        Between two measured rates it is interpolated over the logarithm of the rate. Beyond them it is that of
        the nearest, whose rate the result then states.
        """
        rates = sorted(self.thresholds)
        rate = rates[-1] if far is None else min(max(far, rates[0]), rates[-1])
        value = np.interp(np.log(rate), np.log(rates), [self.thresholds[held] for held in rates])
        return Threshold(float(value), rate, self.origin)


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{FILE}.lock")):
            held = _held(path) | {space: calibration}
            rows = {key: _row(key, one) for key, one in held.items()}
            write_atomically(path, (json.dumps(rows, indent=2) + "\n").encode())
    except OSError as error:
        raise FaceregError(f"{path}: cannot be written ({error}); set {HOME} to a folder that can") from error
    return path


def _row(space: str, calibration: Calibration) -> dict[str, object]:
    thresholds = {repr(float(far)): float(value) for far, value in calibration.thresholds.items()}
    return {
        "version": VERSION,
        "thresholds": thresholds,
        "origin": calibration.origin,
        "sha256": _checksum(space, thresholds, calibration.origin),
    }


def _checksum(space: str, thresholds: Mapping[str, float], origin: str) -> str:
    """Return what tells that an entry was damaged: a digit less is a threshold as good as another."""
    return hashlib.sha256(json.dumps([space, sorted(thresholds.items()), origin]).encode()).hexdigest()


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
    checked = {"version", "sha256"} if row.get("version") == VERSION else set()
    if not {"thresholds", "origin"} | checked == row.keys():
        raise ValueError(f"{space!a} has other keys: {', '.join(map(ascii, row))}")
    thresholds, origin = row["thresholds"], row["origin"]
    if not isinstance(origin, str) or {type(value) for value in thresholds.values()} - {int, float}:
        raise ValueError(f"{space!a} holds values of another kind")
    # an entry of an earlier version has no checksum
    if row.get("sha256", held := _checksum(space, thresholds, origin)) != held:
        raise ValueError(f"{space!a} was altered")
    by_rate = {float(far): float(value) for far, value in thresholds.items()}
    if len(by_rate) != len(thresholds):
        raise ValueError(f"{space!a} states a rate twice")
    return Calibration(by_rate, origin)
