"""Thresholds measured by users, kept by the embedder's space."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from facereg.errors import FaceregError, UnknownNameError
from facereg.images import write_atomically
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


def calibrations_file() -> Path:
    """Return where thresholds are kept: `calibrations.json` in FACEREG_HOME, or in `~/.config/facereg`."""
    home = os.environ.get(HOME)
    return (Path(home) if home else Path.home() / ".config" / "facereg") / "calibrations.json"


def threshold_for(space: str, registry: Registry) -> Threshold:
    """Return the threshold measured here for that space, else the one on the model's card.

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
        spec = registry.model(name, role="embedder")
    except UnknownNameError:
        spec = None
    if spec is None or spec.threshold is None:
        raise FaceregError(
            f"no threshold is known for {space!r}; measure one with 'facereg calibrate', or pass --threshold"
        )
    return Threshold(spec.threshold, spec.threshold_far, f"model card of {name}")


def store_threshold(space: str, threshold: Threshold) -> Path:
    """Keep a threshold; return the file.

    Raises:
        FaceregError: if the file cannot be written.
    """
    path = calibrations_file()
    held = _read() | {space: threshold}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, (json.dumps({key: asdict(value) for key, value in held.items()}, indent=2) + "\n").encode()
        )
    except OSError as error:
        raise FaceregError(f"{path}: cannot be written ({error}); set {HOME} to a folder that can") from error
    return path


def _read() -> dict[str, Threshold]:
    path = calibrations_file()
    try:
        rows = json.loads(path.read_text("utf-8"))
        return {str(space): Threshold(float(r["value"]), r["far"], str(r["origin"])) for space, r in rows.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FaceregError(f"{path}: expected what 'facereg calibrate' wrote ({error}); move the file away") from error
