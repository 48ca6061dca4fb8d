"""Recipe `mobilenetv3-distill`: learn the embeddings of any teacher given as ONNX; no labels needed.

`facereg train mobilenetv3-distill --data FACES --set teacher=TEACHER.onnx`

Loss: 1 - cosine to the teacher's vector of the same view, plus the mean squared difference of the two
similarity matrices of a batch (similarity-preserving distillation, Tung and Mori 2019, on unit vectors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import Dataset

from facereg.errors import ContractError, DatasetError
from facereg.images import find_images
from facereg.training.batches import count_steps
from facereg.training.optimizing import adamw
from facereg.training.schedules import trapezoid
from facereg.training.settings import parse_settings
from facereg_mobilenetv3.networks import enlarged
from facereg_mobilenetv3.publish import begin_network, fit_and_publish
from facereg_mobilenetv3.views import Views, make_shard, open_teacher, read_crops


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """Settings of the recipe; the model card names those that made the shipped weights."""

    teacher: str = ""  # ONNX file
    engine: str = "onnx"  # what runs the teacher: onnx or openvino
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
    init: str = ""  # checkpoint or safetensors file to start from
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
    """Student, loss, optimiser and schedule."""

    def __init__(self, settings: DistillSettings, *, steps: int) -> None:
        super().__init__()
        self.settings, self.steps = settings, steps
        self.network = begin_network(settings)
        # Not a submodule: its parameters are those of self.network, which alone goes into checkpoints.
        self.__dict__["run"] = torch.compile(self.network) if settings.compile else self.network

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, targets = batch
        vectors = F.normalize(self.__dict__["run"](enlarged(images, self.settings.size)).float())
        loss, cosine = distillation_loss(vectors, targets, similarity=self.settings.similarity)
        self.log_dict({"loss": loss, "cosine": cosine}, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        return adamw(
            self.network,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            share=lambda step: trapezoid(step, self.steps, settings.warmup, settings.decay),
        )


def distillation_loss(vectors: Tensor, targets: Tensor, *, similarity: float) -> tuple[Tensor, Tensor]:
    """Return the loss and the mean cosine for unit vectors (B, D) and unit targets (B, D)."""
    cosine = (vectors * targets).sum(1).mean()
    difference = vectors @ vectors.T - targets @ targets.T  # (B, B)
    return 1 - cosine + similarity * (difference**2).mean(), cosine


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Make the views that are missing, train, and write the ONNX file, its checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown.
        DatasetError: if the folders hold no picture.
    """
    settings = parse_settings(DistillSettings, given)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    folder = Path(settings.folder) if settings.folder else out / "views"
    make_views(data, folder, settings)
    views = Views(folder)
    if len(views) == 0:
        raise DatasetError(f"{folder}: expected finished views, found none; check --data and --set views")
    steps = count_steps(len(views), batch=settings.batch, epochs=settings.epochs)
    module = Distillation(settings, steps=steps)
    fit_and_publish(
        module,
        module.network,
        ViewTable(views),
        out,
        recipe="mobilenetv3-distill",
        settings=settings,
        steps=steps,
        resume=resume,
        keep=("loss", "cosine"),
    )


def make_views(data: Sequence[Path], folder: Path, settings: DistillSettings) -> None:
    """Write the shards that are missing; nothing is read where all are there."""
    missing = [i for i in range(settings.views) if not (folder / f"targets-{i:03d}.npy").exists()]
    if not missing:
        return
    if not data:
        raise ContractError("data: expected at least one folder of aligned faces, got none; pass --data DIR")
    folder.mkdir(parents=True, exist_ok=True)
    teacher = open_teacher(Path(settings.teacher), engine=settings.engine)
    crops = read_crops(find_images(data))
    for index in missing:
        make_shard(crops, teacher, folder, index=index, seed=settings.seed)
