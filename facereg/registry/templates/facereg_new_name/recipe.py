"""How the model is trained: `run` is what `facereg train new-name` calls. Put your own training here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from facereg import ContractError, FloatArray, find_images, read_image
from facereg.training import parse_settings, read_each, whole_file


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the recipe: what `--set` may change.

    Args:
        every: look at one picture of so many.
    """

    every: int = 1


def run(data: Sequence[Path], out: Path, resume: bool, settings: Mapping[str, str]) -> None:
    """Measure the colours of all pictures below the folders and write colours.json into `out`.

    `resume` changes nothing: a run takes seconds and begins anew.

    Raises:
        ContractError: if no folder is given, or a setting is unknown or too low.
    """
    if not data:
        raise ContractError("data: expected at least one folder of pictures, got none; pass --data DIR")
    given = parse_settings(Settings, settings, lowest={"every": 1})
    colours = np.stack(read_each(find_images(data)[:: given.every], mean_colour))  # (N, 3)
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "colours.json") as stream:
        stream.write(json.dumps({"mean": colours.mean(0).tolist(), "deviation": colours.std(0).tolist()}).encode())


def mean_colour(path: Path) -> FloatArray:
    """Return the mean of a picture's R, G and B, (3,) in 0..255."""
    mean: FloatArray = read_image(path).mean((0, 1), dtype=np.float32)
    return mean
