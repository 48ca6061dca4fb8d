"""Thresholds measured by users, kept by the embedder's space."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.disk import write_atomically
from facereg.errors import ContractError, FaceregError, UnknownNameError
from facereg.registry import Registry

HOME = "FACEREG_HOME"  # environment: folder of what facereg remembers


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
        if not self.thresholds or min(self.thresholds) <= 0:
            raise ContractError(f"thresholds: expected one by a rate above 0 at least, got {dict(self.thresholds)}")

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
    """Return where thresholds are kept: `calibrations.json` in FACEREG_HOME, or in `~/.config/facereg`."""
    home = os.environ.get(HOME)
    return (Path(home) if home else Path.home() / ".config" / "facereg") / "calibrations.json"


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
        thresholds = registry.model(name, role="embedder").thresholds
    except UnknownNameError:
        thresholds = {}
    if not thresholds:
        raise FaceregError(
            f"no threshold is known for {space!r}; measure one with 'facereg calibrate', or pass --threshold"
        )
    return Calibration(thresholds, f"model card of {name}")


def far_for(comparisons: int, fpir: float) -> float:
    """Return the false accept rate of a comparison at which `fpir` of the strangers are given a name.

    A stranger has a chance with each vector compared (`Matcher.comparisons`), so a share of `fpir` leaves a part of it
    to each.
    """
    return fpir / max(comparisons, 1)


def store_calibration(space: str, calibration: Calibration) -> Path:
    """Keep a calibration; return the file.

    Raises:
        FaceregError: if the file cannot be written.
    """
    path = calibrations_file()
    held = _read() | {space: calibration}
    rows = {
        key: {"thresholds": {f"{far:g}": value for far, value in one.thresholds.items()}, "origin": one.origin}
        for key, one in held.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(rows, indent=2) + "\n").encode())
    except OSError as error:
        raise FaceregError(f"{path}: cannot be written ({error}); set {HOME} to a folder that can") from error
    return path


def _read() -> dict[str, Calibration]:
    path = calibrations_file()
    try:
        rows = json.loads(path.read_text("utf-8"))
        return {
            str(space): Calibration(
                {float(far): float(value) for far, value in row["thresholds"].items()}, str(row["origin"])
            )
            for space, row in rows.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FaceregError(f"{path}: expected what 'facereg calibrate' wrote ({error}); move the file away") from error
