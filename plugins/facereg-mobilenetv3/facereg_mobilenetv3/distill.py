"""Recipe `mobilenetv3-distill`: learn the embeddings of one teacher or several, given as ONNX; no labels needed.

`facereg train mobilenetv3-distill --data FACES --set teacher=TEACHER.onnx[,SECOND.onnx]`

Loss for each teacher: 1 - cosine to its vector of the same view, plus the mean squared difference of the two
similarity matrices of a batch (similarity-preserving distillation, Tung and Mori 2019, on unit vectors), both in
units of the spread of its vectors: a teacher whose vectors all lie close together is to be met more closely.
Each teacher has a head of its own on the shared features; the first one's is the head that is published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import Dataset

from facereg import ContractError, DatasetError, find_images
from facereg.training import (
    adamw,
    count_steps,
    fit_and_save,
    held_out,
    network_input,
    parse_settings,
    read_crops,
    trapezoid,
)
from facereg_mobilenetv3.networks import begin_network, make_head
from facereg_mobilenetv3.plugin import NETWORK
from facereg_mobilenetv3.views import (
    MOST_SHARDS,
    Engine,
    Views,
    make_shard,
    note_teachers,
    open_teacher,
    require_teachers,
)

SAMPLE = 8192  # views that begin a head
RIDGE = 1e-3  # of the features' variance, which the batch norm makes 1
# 32 px leave one cell of features, whose norms need two crops
LOWEST = {"views": 1, "size": 32, "batch": 2, "similarity": 0, "init_head": -1}


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """Settings of the recipe; the model card names those that made the shipped weights."""

    teacher: str = ""  # ONNX file; several with commas between them, the one to publish first
    engine: Engine = "onnx"  # what runs the teacher
    views: int = 8  # views of each image, made once
    folder: str = ""  # where the views lie; default OUT/views
    size: int = 224  # side the crops are enlarged to
    batch: int = 128  # of all devices together
    epochs: float = 8.0  # passes over all views
    lr: float = 2e-3
    warmup: int = 500  # steps
    decay: float = 0.3  # share of the steps, at the end, over which the rate falls to zero
    weight_decay: float = 0.02
    similarity: float = 10.0  # weight of the similarity-matrix term
    dropout: float = 0.0
    freeze_norm: bool = False  # batch norms keep their running statistics: for the last phases, from `init`
    average: float = 0.0  # share of the averaged weights kept at each step; what is written is the average
    keep_out: int = 0  # one person's folder in so many is not learned from; 0: none is kept out
    init: str = ""  # ONNX, safetensors or checkpoint file to start from
    init_head: int = 0  # whose head (0: the first teacher's, -1: nobody's) it holds; least squares begin the others
    precision: str = "32-true"  # Lightning's: 16-mixed or bf16-mixed on a GPU
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    compile: bool = False  # torch.compile
    seed: int = 0


class ViewTable(Dataset[tuple[Tensor, Tensor]]):
    """Pixels (112, 112, 3) uint8 and unit targets (D,) float32 of every view."""

    def __init__(self, views: Views) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        pixels, target = self.views[row]
        return torch.from_numpy(pixels.copy()), torch.from_numpy(target.astype(np.float32))


class Distillation(lightning.LightningModule):
    """Student, loss, optimiser and schedule.

    Args:
        views: what it will learn from; their first rows begin the heads that `init` does not hold.
    Raises:
        ContractError: if `init_head` is of no teacher.
        WeightsError: if `init` is missing or of another network.
    """

    def __init__(self, settings: DistillSettings, views: Views, *, steps: int) -> None:
        super().__init__()
        self.settings, self.steps, self.dims = settings, steps, views.dims
        self.network = begin_network(dropout=settings.dropout, init=settings.init, freeze_norm=settings.freeze_norm)
        self.heads = nn.ModuleList([self.network.head])  # in the order of the teachers
        if settings.init_head >= len(self.dims):
            raise ContractError(
                f"--set init_head: expected a teacher's number below {len(self.dims)}, got {settings.init_head}"
            )
        for dim in self.dims[1:]:
            self.heads.append(make_head(dim, dropout=settings.dropout))
        sample = [views[row] for row in np.random.default_rng(0).permutation(len(views))[:SAMPLE]]
        targets = torch.from_numpy(np.stack([row[1] for row in sample]).astype(np.float32))
        self.spreads = [float(part.var(0, correction=0).sum()) for part in torch.split(targets, self.dims, dim=1)]
        if settings.init and (len(self.dims) > 1 or settings.init_head < 0):
            if settings.init_head > 0:
                self.heads[settings.init_head].load_state_dict(self.network.head.state_dict())
            self._fit_heads(torch.from_numpy(np.stack([row[0] for row in sample])), targets)
        self.pooled = torch.compile(self.network.pooled) if settings.compile else self.network.pooled

    @torch.no_grad()
    def _fit_heads(self, pixels: Tensor, targets: Tensor) -> None:
        """Begin the heads that `init` does not hold by the least-squares map from features to targets."""
        self.network.eval()
        features = torch.cat(
            [self.network.pooled(network_input(part, self.settings.size)) for part in torch.split(pixels, 256)]
        )
        self.network.train()
        for index, wanted in enumerate(torch.split(targets, self.dims, dim=1)):
            if index == self.settings.init_head:
                continue
            head = cast(nn.Sequential, self.heads[index])
            norm, linear = cast(nn.BatchNorm1d, head[0]), cast(nn.Linear, head[2])
            mean, variance = features.mean(0), features.var(0)
            norm.load_state_dict(norm.state_dict() | {"running_mean": mean, "running_var": variance})
            scaled = F.batch_norm(features, mean, variance, norm.weight, norm.bias)
            known = torch.cat([scaled, torch.ones(len(scaled), 1)], dim=1).double()
            ridge = RIDGE * len(known) * torch.eye(known.shape[1], dtype=torch.float64)
            solved = torch.linalg.solve(known.T @ known + ridge, known.T @ wanted.double()).float()
            linear.weight.copy_(solved[:-1].T)
            linear.bias.copy_(solved[-1])

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, targets = batch
        features = self.pooled(network_input(images, self.settings.size)).float()
        losses, cosines = [], []
        for head, wanted, spread in zip(self.heads, torch.split(targets, self.dims, dim=1), self.spreads, strict=True):
            vectors = F.normalize(head(features))
            loss, cosine = distillation_loss(vectors, wanted, similarity=self.settings.similarity, spread=spread)
            losses.append(loss)
            cosines.append(1 - (1 - cosine) / spread)
        total = torch.stack(losses).mean()
        names = ["cosine", *(f"cosine{index}" for index in range(2, len(cosines) + 1))]
        self.log_dict({"loss": total, **dict(zip(names, cosines, strict=True))}, prog_bar=True)
        return total

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        return adamw(
            self,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            share=lambda step: trapezoid(step, self.steps, settings.warmup, settings.decay),
        )


def distillation_loss(
    vectors: Tensor, targets: Tensor, *, similarity: float, spread: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the loss and the mean cosine for unit vectors (B, D) and unit targets (B, D).

    Args:
        spread: mean squared distance of the teacher's vectors from their mean, 1 for vectors in all directions.
    """
    cosine = (vectors * targets).sum(1).mean()
    difference = (vectors @ vectors.T - targets @ targets.T) / spread  # (B, B)
    return (1 - cosine) / spread + similarity * (difference**2).mean(), cosine


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Make the views that are missing, train, and write the ONNX file, its checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown or out of its range.
        DatasetError: if the folders hold no picture, or views that other teachers answered.
    """
    settings = parse_settings(DistillSettings, given, lowest=LOWEST)
    if settings.views > MOST_SHARDS:
        raise ContractError(f"--set views: expected {MOST_SHARDS} or fewer, got {settings.views}")
    if settings.keep_out == 1:
        raise ContractError("--set keep_out: expected 0 for nobody, or 2 or more, got 1, which keeps everybody out")
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    folder = Path(settings.folder) if settings.folder else out / "views"
    make_views(data, folder, settings)
    views = Views(folder)
    if len(views) == 0:
        raise DatasetError(f"{folder}: expected finished views, found none; check --data and --set views")
    steps = count_steps(len(views), batch=settings.batch, epochs=settings.epochs)
    module = Distillation(settings, views, steps=steps)
    fit_and_save(
        module,
        module.network,
        ViewTable(views),
        out,
        spec=NETWORK,
        average=settings.average,
        recipe="mobilenetv3-distill",
        settings=settings,
        steps=steps,
        resume=resume,
        keep=("loss", "cosine"),
    )


def make_views(data: Sequence[Path], folder: Path, settings: DistillSettings) -> None:
    """Write the shards that are missing; nothing is read where all are there.

    Raises:
        ContractError: if some are missing, and no folder of data or no teacher is given.
        DatasetError: if there is no picture to learn from, or the shards that are there have other teachers' answers.
        WeightsError: if a teacher is missing.
    """
    missing = [i for i in range(settings.views) if not (folder / f"targets-{i:03d}.npy").exists()]
    if missing and not data:
        raise ContractError("data: expected at least one folder of aligned faces, got none; pass --data DIR")
    if missing and not settings.teacher:
        raise ContractError("teacher: expected an ONNX file, got none; pass --set teacher=FILE")
    files = [Path(path) for path in settings.teacher.split(",")] if settings.teacher else []
    require_teachers(folder, files)
    if not missing:
        return
    teachers = [open_teacher(path, engine=settings.engine) for path in files]
    paths = find_images(data)
    if settings.keep_out:
        paths, _ = held_out(paths, key=lambda path: path.parent.name, one_in=settings.keep_out)
    if not paths:
        raise DatasetError(
            f"{data[0]}: expected pictures to learn from, found none; pass --set keep_out=0 or give more people"
        )
    crops = read_crops(paths)
    note_teachers(folder, files)
    for index in missing:
        make_shard(crops, teachers, folder, index=index, seed=settings.seed)
