"""Rates of learning over a run, as shares of the full rate: a line up, and then a way down."""

from __future__ import annotations

import math
from collections.abc import Sequence


def warm_cosine(step: int, steps: int, warmup: int, *, last: float = 0.0) -> float:
    """Return the share at `step`: up in a line over `warmup` steps, then half a cosine down to `last`."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2


def warm_steps(step: int, steps: int, warmup: int, *, falls: Sequence[float]) -> float:
    """Return the share at `step`: up in a line over `warmup` steps, then a tenth less from each share of `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return float(0.1 ** sum(step >= fall * steps for fall in falls))


def trapezoid(step: int, steps: int, warmup: int, decay: float) -> float:
    """Return the share of the full rate: up over `warmup`, level, down to zero over the last `decay`."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    fall = (steps - step) / max(1.0, decay * steps)
    return max(0.0, min(rise, fall, 1.0))
