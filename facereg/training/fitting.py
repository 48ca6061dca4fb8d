"""One way to fit every Lightning recipe: checkpoints, resume, a log, a curve."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import random
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from facereg.disk.replacing import write_file
from facereg.errors import WeightsError, words_of
from facereg.networks.checkpoints import read_checkpoint, require_finite
from facereg.training.batches import Batches, step_seed
from facereg.training.curves import draw_curves, join_logs, read_log

CHECKPOINT_EVERY = 250  # steps; a killed run loses at most these
IGNORED_WARNINGS = (  # of Lightning's: they say nothing here
    "Checkpoint directory .* exists and is not empty",  # its log is in there
    "Found .* in eval mode at the start of training",  # a teacher, which is not trained
    "You defined a `validation_step` but have no `val_dataloader`",  # nobody is kept out
    ".*LeafSpec.* is deprecated",  # in Lightning itself
)
ADVISER = logging.getLogger("lightning.pytorch.utilities.rank_zero")  # tells of devices, and advertises
BEFORE = "log-before.csv"  # the log of the parts before, while a resumed run goes on


@dataclass(frozen=True, slots=True)
class Judged:
    """How a run chooses among its networks: by people, pictures or the like that it does not learn from.

    Args:
        loader: of what the module's `validation_step` takes.
        by: what the module logs then; the higher, the better.
        looks: times in a run, at equal distances.
    """

    loader: DataLoader[Any]
    by: str
    looks: int = 20


class _WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all: Lightning's own, on a disk that is full, leaves a part of it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        _require_learned(checkpoint, Path(path))
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_file(path, content.getvalue())


@contextmanager
def _without_advice() -> Iterator[None]:
    """Show of Lightning's messages its warnings alone."""
    level = ADVISER.level
    ADVISER.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ADVISER.setLevel(level)


@_without_advice()
def fit(
    module: lightning.LightningModule,
    loader: DataLoader[object],
    out: Path,
    *,
    steps: int,
    seed: int | None = None,
    resume: bool = False,
    precision: str = "32-true",
    devices: int = 0,
    average: float = 0.0,
    keep: Sequence[str] = ("loss",),
    judged: Judged | None = None,
) -> dict[str, float]:
    """Train for `steps` steps and return the last logged values, in the first of several processes.

    Writes `last.ckpt`, `log/metrics.csv` and `curve.png` to `out`; with `resume` goes on from `last.ckpt`. What a
    step sees and draws at random is a function of seed, step and process, so that a run that was stopped and resumed
    ends with the weights of one that was not.

    Raises:
        WeightsError: if `last.ckpt` is damaged or of another run, holds code, which is not run, or weights that are
            NaN or infinite; and if the weights become so while training.

    Args:
        loader: of one device; its batches are `device_count(devices)` times smaller than the batch trained on. With
            workers, what its data set gives for a row is to be a function of the row: augment in `training_step`.
        seed: by default the one given to `lightning.seed_everything`.
        devices: as in `device_count`. Several are used through Lightning (distributed data parallel), which starts
            the command again for each of them: what follows `fit` belongs under `if module.global_rank == 0`.
        average: share of the averaged weights kept at each step; checkpoints hold the average, and `module` ends with
            it. 0: no average.
        judged: `best.ckpt` holds the weights that were judged best, and `module` ends with them; their score is the
            one returned.
    """
    _keep_freed_memory()
    out.mkdir(parents=True, exist_ok=True)
    last = out / "last.ckpt"
    resume = resume and last.is_file()
    if resume:
        _require_same(module, read_checkpoint(last, expected="the state of a run"), last)
    if seed is None:
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))  # where seed_everything leaves it, for all processes
    _set_log_aside(out, resume=resume)
    checkpoint = ModelCheckpoint(
        out, filename="last", every_n_train_steps=CHECKPOINT_EVERY, enable_version_counter=False
    )
    best = None
    if judged:
        best = ModelCheckpoint(
            out,
            filename="best",
            monitor=judged.by,
            mode="max",
            save_weights_only=not average,  # else the average would not be in it
            enable_version_counter=False,
        )
    trainer = lightning.Trainer(
        max_steps=steps,
        precision=precision,  # type: ignore[arg-type]
        devices=device_count(devices),
        strategy="ddp" if device_count(devices) > 1 else "auto",
        gradient_clip_val=5.0,
        plugins=[_WholeFiles()],
        logger=CSVLogger(out, name="", version="log"),
        callbacks=[
            checkpoint,
            _StepSeed(seed),
            RichProgressBar(refresh_rate=10),
            *([EMAWeightAveraging(decay=average)] if average else []),
            *([best] if best else []),
        ],
        val_check_interval=max(1, steps // judged.looks) if judged else None,
        num_sanity_val_steps=0,
        log_every_n_steps=min(20, steps),  # a short run has a log too
        enable_model_summary=False,
        sync_batchnorm=torch.cuda.device_count() > 1,
    )
    batches = Batches(loader, steps=steps, seed=seed)
    with warnings.catch_warnings():
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        loader_of_judged = judged.loader if judged else None
        try:
            trainer.fit(module, batches, loader_of_judged, ckpt_path=last if resume else None, weights_only=True)
        except SystemExit as error:  # Lightning's, of an interruption: whoever called is not to end as by a failure
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
    trainer.save_checkpoint(last, weights_only=False)
    if best and best.best_model_path:
        module.load_state_dict(read_checkpoint(out / "best.ckpt", expected="the best weights of a run")["state_dict"])
    if not trainer.is_global_zero:
        return {}
    log = out / "log" / "metrics.csv"
    log.parent.mkdir(exist_ok=True)  # a run resumed at its end logs nothing
    join_logs(out / BEFORE, log, log)
    (out / BEFORE).unlink(missing_ok=True)
    draw_curves(log, out / "curve.png", keep)
    values = read_log(log)
    scores = {key: values[key][-1][1] for key in keep if key in values}
    if judged and best and best.best_model_score is not None:
        scores[judged.by] = float(best.best_model_score)
    return scores


def _require_learned(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse to write weights that are NaN or infinite in the place of those before."""
    try:
        require_finite(checkpoint["state_dict"], path)
    except WeightsError as error:
        kept = f"; {path.name} is as it was before" if path.is_file() else ""
        raise WeightsError(
            f"{path.parent}: the training has diverged, by step {checkpoint['global_step']:,} its weights are NaN or "
            f"infinite; begin anew with a lower lr{kept}"
        ) from error


def _require_same(module: lightning.LightningModule, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse the state of a run of another network, or of other people."""
    try:
        module.load_state_dict(checkpoint["state_dict"], strict=module.strict_loading)
    except (RuntimeError, KeyError) as error:
        raise WeightsError(
            f"{path}: expected the state of this run, got that of another network, other people or other settings "
            f"({words_of(error, 200)}); name another --out, or leave out --resume to begin anew"
        ) from error


def device_count(devices: int) -> int:
    """Return how many devices train together; 0 takes every GPU or, without one, a single process on the CPU."""
    return devices or max(1, torch.cuda.device_count())


def _keep_freed_memory() -> None:
    """Have glibc keep for the next step what one frees: given back and faulted in anew it costs a fifth of the CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        mallopt(-4, 0)
        mallopt(-1, 2**31 - 1)


@rank_zero_only
def _set_log_aside(out: Path, *, resume: bool) -> None:
    """Make room for the log of a run, which Lightning begins anew; where a run goes on, keep what was logged."""
    if resume:
        join_logs(out / BEFORE, out / "log" / "metrics.csv", out / BEFORE)
    else:
        (out / BEFORE).unlink(missing_ok=True)
    shutil.rmtree(out / "log", ignore_errors=True)


class _StepSeed(Callback):
    """Sets every random generator at the start of a step: augmentation and dropout do not hang on what went before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: object, batch_idx: int
    ) -> None:
        drawn = step_seed(self.seed, trainer.global_step, trainer.global_rank)
        random.seed(drawn)
        np.random.seed(drawn)  # noqa: NPY002  (the generator that others may draw from)
        torch.manual_seed(drawn)
