"""The training loop of one stage: balanced batches, three losses, hard-example mining within the batch."""

from __future__ import annotations

import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facereg import MIRRORED, WeightsError
from facereg.training import draw_curves, read_checkpoint, require_finite
from facereg_mtcnn.samples import NEGATIVE, PART, POSITIVE, Samples

SHARES = {NEGATIVE: 0.5, POSITIVE: 0.25, PART: 0.25}  # of a batch; the paper's 3:1:1, landmarks being in the last two
HARD = 0.7  # share of a batch's classification losses that count, the largest (the paper, section 3.3)
BOX_WEIGHT = 0.5  # the paper, section 3.3; so are the landmark weights in recipe.py
EVERY = 50  # steps between two lines of the log
SAVE_EVERY = 500  # steps; a killed run loses at most these


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how to train one stage."""

    steps: int
    batch: int
    lr: float
    weight_decay: float
    landmark_weight: float
    seed: int
    precision: str  # "32" or "bf16"


def fit(network: nn.Module, samples: Samples, out: Path, schedule: Schedule, *, resume: bool) -> dict[str, float]:
    """Train `network` and return its last smoothed losses; writes `last.ckpt`, `metrics.csv` and `curve.png`.

    A batch is a function of seed and step, so that a resumed run sees what it would have seen.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).to(memory_format=torch.channels_last).train()  # 1.4 times the steps of the default on a CPU
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.lr, total_steps=schedule.steps + 1, pct_start=0.15)
    checkpoint, log = out / "last.ckpt", out / "metrics.csv"
    first = 0
    if resume and checkpoint.exists():
        state = read_checkpoint(checkpoint, expected="the state of a run")
        try:
            require_finite(state["network"], checkpoint)
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            rate.load_state_dict(state["rate"])
            first = int(state["step"])
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise WeightsError(f"{checkpoint}: expected the state of this run, got another's; start anew") from error
    rows = {kind: np.flatnonzero(samples.kinds == kind) for kind in SHARES}
    recent: list[dict[str, float]] = []
    means: dict[str, float] = {}
    began = time.monotonic()
    with log.open("a" if first else "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["step", "loss", "face", "box", "landmark", "recall", "background"])
        if first == 0:
            writer.writeheader()
        for step in range(first, schedule.steps):
            batch = draw_batch(samples, rows, schedule, step, device)
            with torch.autocast(device, torch.bfloat16, enabled=schedule.precision == "bf16"):
                outputs = network(batch.pixels.contiguous(memory_format=torch.channels_last))
            loss, parts = losses(outputs, batch, schedule.landmark_weight)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
            recent.append(parts)
            if (step + 1) % EVERY == 0 or step + 1 == schedule.steps:
                means = {key: float(np.nanmean([row[key] for row in recent])) for key in recent[0]}
                recent = []
                writer.writerow({"step": step + 1} | means)
                stream.flush()
                print(_line(out.name, step + 1, schedule.steps, means, time.monotonic() - began), file=sys.stderr)  # noqa: T201
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == schedule.steps:
                _save(checkpoint, network, optimizer, rate, step + 1)
    draw_curves(log, out / "curve.png", ("loss", "box", "landmark", "recall", "background"))
    network.cpu().to(memory_format=torch.contiguous_format).eval()
    return means


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One batch on the device."""

    pixels: Tensor  # (B, 3, s, s) in -1..1
    kinds: Tensor  # (B,)
    offsets: Tensor  # (B, 4)
    points: Tensor  # (B, 10): five x, then five y; NaN where unknown


def draw_batch(
    samples: Samples, rows: dict[int, npt.NDArray[np.int64]], schedule: Schedule, step: int, device: str
) -> Batch:
    """Return the batch of a step: a fixed share of each kind, half of it mirrored, light and colour changed."""
    rng = np.random.default_rng((schedule.seed, step))
    chosen = np.sort(
        np.concatenate(
            [rng.choice(rows[kind], round(schedule.batch * SHARES[kind])) for kind in SHARES if len(rows[kind])]
        )
    )
    mirrored = rng.random(len(chosen)) < 0.5
    offsets, points = samples.offsets[chosen], samples.points[chosen]
    offsets[mirrored] = offsets[mirrored][:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
    points[mirrored] = points[mirrored][:, MIRRORED] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
    pixels = torch.from_numpy(samples.pixels(chosen)).to(device).float()
    pixels = torch.where(torch.from_numpy(mirrored).to(device)[:, None, None, None], pixels.flip(3), pixels)
    pixels = _relit(pixels, rng)
    return Batch(
        (pixels - 127.5) / 128.0,
        torch.from_numpy(samples.kinds[chosen]).to(device),
        torch.from_numpy(offsets).to(device),
        torch.from_numpy(points.transpose(0, 2, 1).reshape(-1, 10)).to(device),
    )


def _relit(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Change contrast, light and colour of each crop; make one in ten grey."""

    def draw(low: float, high: float, channels: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(pixels), channels, 1, 1)).astype(np.float32)).to(
            pixels.device
        )

    mean = pixels.mean((1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * draw(0.6, 1.4, 1) + mean * draw(0.5, 1.5, 1) * draw(0.9, 1.1, 3)
    grey = draw(0, 1, 1) < 0.1
    return torch.where(grey, pixels.mean(1, keepdim=True), pixels).clamp(0, 255)


def losses(
    outputs: tuple[Tensor, Tensor, Tensor], batch: Batch, landmark_weight: float
) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum of the three losses and its parts."""
    logits, boxes, points = (output.float().flatten(1) for output in outputs)
    known = batch.kinds != PART
    labels = (batch.kinds[known] == POSITIVE).long()
    each = F.cross_entropy(logits[known], labels, reduction="none")
    face = each.topk(max(1, round(HARD * len(each)))).values.mean()
    is_face = batch.kinds != NEGATIVE
    box = _mean(((boxes[is_face] - batch.offsets[is_face]) ** 2).sum(1))
    pointed = ~batch.points.isnan().any(1)
    landmark = _mean(((points[pointed] - batch.points[pointed]) ** 2).sum(1))  # rows first: NaN * 0 is NaN going back
    loss = face + BOX_WEIGHT * box + landmark_weight * landmark
    said = logits[known].argmax(1)
    parts = {
        "loss": loss,
        "face": face,
        "box": box,
        "landmark": landmark,
        "recall": said[labels == 1].float().mean(),
        "background": 1 - said[labels == 0].float().mean(),
    }
    return loss, {key: float(value.detach()) for key, value in parts.items()}


def _mean(values: Tensor) -> Tensor:
    return values.mean() if len(values) else values.sum()


def _save(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    rate: torch.optim.lr_scheduler.LRScheduler,
    step: int,
) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rate": rate.state_dict(),
        "step": step,
    }
    torch.save(state, partial)
    partial.replace(path)


def _line(stage: str, step: int, steps: int, means: dict[str, float], seconds: float) -> str:
    values = " ".join(f"{key} {value:.4f}" for key, value in means.items())
    return f"{stage} {step}/{steps} {values} {seconds:.0f} s"
