"""One way to fit every Lightning recipe: checkpoints, resume, a log, a curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from facereg.training.curves import draw_curves

CHECKPOINT_EVERY = 250  # steps; a killed run loses at most these


def fit(
    module: lightning.LightningModule,
    loader: DataLoader[tuple[torch.Tensor, ...]] | DataLoader[tuple[torch.Tensor, torch.Tensor]],
    out: Path,
    *,
    steps: int,
    resume: bool = False,
    precision: str = "32-true",
    devices: int = 0,
    keep: Sequence[str] = ("loss",),
) -> dict[str, float]:
    """Train for `steps` steps and return the last logged values.

    Writes `last.ckpt`, `log/metrics.csv` and `curve.png` to `out`; with `resume` goes on from `last.ckpt`.

    Args:
        loader: of one device; its batches are `device_count(devices)` times smaller than the batch trained on.
        devices: as in `device_count`. Several are used through Lightning (distributed data parallel), which starts
            the command again for each of them: what follows `fit` belongs under `if module.global_rank == 0`.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = ModelCheckpoint(
        out, filename="last", every_n_train_steps=CHECKPOINT_EVERY, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        max_steps=steps,
        precision=precision,  # type: ignore[arg-type]
        devices=device_count(devices),
        strategy="ddp" if device_count(devices) > 1 else "auto",
        gradient_clip_val=5.0,
        logger=CSVLogger(out, name="", version="log"),
        callbacks=[checkpoint, RichProgressBar(refresh_rate=10)],
        log_every_n_steps=min(20, steps),  # a short run has a log too
        enable_model_summary=False,
        sync_batchnorm=torch.cuda.device_count() > 1,
    )
    last = out / "last.ckpt"
    trainer.fit(module, loader, ckpt_path=last if resume and last.is_file() else None, weights_only=False)
    trainer.save_checkpoint(last)
    log = out / "log" / "metrics.csv"
    if trainer.is_global_zero:
        draw_curves(log, out / "curve.png", keep)
    return {key: float(trainer.logged_metrics[key]) for key in keep if key in trainer.logged_metrics}


def device_count(devices: int) -> int:
    """Return how many devices train together; 0 takes every GPU or, without one, a single process on the CPU."""
    return devices or max(1, torch.cuda.device_count())
