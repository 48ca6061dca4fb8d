"""The optimiser that recipes share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn


def adamw(
    network: nn.Module, *, lr: float, weight_decay: float, share: Callable[[int], float]
) -> OptimizerLRSchedulerConfig:
    """Return AdamW for Lightning, its rate `share(step)` of `lr`; norms and biases do not decay."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]  # norms and biases
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}], lr=lr
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@torch.no_grad()
def average_weights(averaged: nn.Module, current: nn.Module, *, keep: float) -> None:
    """Move `averaged` towards `current`: keep * averaged + (1 - keep) * current; counters are copied."""
    for mean, value in zip(averaged.state_dict().values(), current.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)
