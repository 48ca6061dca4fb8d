"""Recipe `adnet-star`: ADNet from lists of points and pseudo-labels.

`facereg train adnet-star --data DIR --out OUT --set stacks=1 --set side=128`

As published: Adam at 1e-3, a tenth of the rate from each milestone on, averaged weights, and of each stack half of what
the next one counts. Boxes are drawn about the points as our detectors would give them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from facereg import DatasetError, Layout, layout
from facereg.training import (
    PointedImage,
    count_steps,
    fit,
    held_out,
    parse_settings,
    read_points,
    save_run,
)
from facereg_adnet.fitting import AdnetTraining, Steps
from facereg_adnet.networks import DeployedAdNet
from facereg_adnet.pictures import Pictures
from facereg_adnet.plugin import network
from facereg_adnet.settings import AdnetSettings


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Train, and write the ONNX file of the averaged weights, checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown or out of range.
        DatasetError: if no data folder was given, a file is missing, or points are of another layout.
    """
    settings = parse_settings(AdnetSettings, given)
    settings = replace(settings, precision=best_precision() if settings.precision == "auto" else settings.precision)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    known = layout(settings.layout)
    items = read_items(data, settings, known)
    kept, out_of = items, list[PointedImage]()
    if settings.keep_out:
        kept, out_of = held_out(items, key=lambda item: person_of(item, settings.people), one_in=settings.keep_out)
    pictures = Pictures(kept, known, side=settings.side)
    steps = count_steps(len(pictures), batch=settings.batch, epochs=settings.epochs)
    module = AdnetTraining(
        settings, known, Pictures(out_of, known, side=settings.side) if out_of else None, steps=steps
    )
    scores = fit(
        module,
        DataLoader(Steps(pictures, settings, steps=steps), 1, num_workers=settings.workers),
        out,
        steps=steps,
        seed=settings.seed,
        resume=resume,
        precision=settings.precision,
        devices=settings.devices,
        keep=("loss", "points", "edges", "maps", "nme", "kept_out_nme"),
    )
    if module.global_rank == 0:
        counts: dict[str, object] = {"pictures": len(pictures), "kept_out": len(out_of)}
        save_run(
            DeployedAdNet(module.averaged),
            network(known.points, side=settings.side),
            out,
            recipe="adnet-star",
            settings=asdict(settings),
            scores=counts | scores,
        )


def read_items(data: Sequence[Path], settings: AdnetSettings, known: Layout) -> list[PointedImage]:
    """Return the faces of all lists.

    Raises:
        DatasetError: if there is no list, or one is not as stated, or of another layout.
    """
    if len(data) != 1:
        raise DatasetError(
            f"data: expected the one folder that the settings' files lie in, got {len(data)}; pass --data DIR"
        )
    items = []
    for name in filter(None, settings.points.split(",")):
        path = data[0] / name
        found = read_points(settings.format, path, path.parent / settings.images)
        _require_layout(path, len(found[0].points), known)
        items += [replace(item, points=item.points - np.array(settings.lies_off(), np.float32)) for item in found]
    for name in filter(None, settings.pseudo.split(",")):
        labelled = read_points("pseudo", data[0] / name, data[0])
        _require_layout(data[0] / name, len(labelled[0].points), known)
        items += [item for item in labelled if np.ptp(item.points, axis=0).max() >= settings.least]
    if not items:
        raise DatasetError("points and pseudo: expected a list of either, got none; pass --set points=LIST")
    return items


def _require_layout(path: Path, points: int, known: Layout) -> None:
    if points != known.points:
        raise DatasetError(
            f"{path}: expected {known.points} points of the layout {known.name}, got {points}; pass --set layout=NAME"
        )


def person_of(item: PointedImage, people: str) -> str:
    """Return whose picture it is, by a setting `people`."""
    if people == "folder":
        return item.path.parent.name
    name, _, number = item.path.stem.rpartition("_")
    return name if people == "name" and number.isdigit() else item.path.stem


def best_precision() -> str:
    """Return bf16-mixed where the first GPU or, without one, the CPU computes in bfloat16; else 32-true."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
