"""Recipe `mobilenetv3-arcface`: the paper's section 4.2.1, ArcFace on labelled identities.

`facereg train mobilenetv3-arcface --data PEOPLE [--set init=DISTILLED.onnx]`

PEOPLE holds a folder of aligned crops for each person, or is the folder of an MXNet record. The class weights belong to
the loss, are trained by the same optimiser and are dropped at inference.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor
from torch.utils.data import TensorDataset
from torchvision.transforms import v2

from facereg.training import (
    count_steps,
    fit_and_save,
    network_input,
    parse_settings,
    read_identities,
    trapezoid,
)
from facereg_mobilenetv3.networks import EMBEDDING, begin_network
from facereg_mobilenetv3.plugin import NETWORK

# 32 px leave one cell of features, whose norms need two crops; one person alone is told from nobody
LOWEST = {"scale": 0, "margin_rad": 0, "least": 1, "size": 32, "batch": 2, "class_lr": 0, "anchor": 0}


@dataclass(frozen=True, slots=True)
class ArcFaceSettings:
    """Settings of the recipe; scale and margin are those of ArcFace (Deng et al. 2019), section 3.1."""

    scale: float = 64.0
    margin_rad: float = 0.5
    least: int = 2  # people with fewer images are left out
    size: int = 224  # side the crops are enlarged to
    batch: int = 128  # of all devices together
    epochs: float = 30.0
    lr: float = 1e-3
    class_lr: float = 1e-2  # of the class weights
    warmup: int = 200  # steps
    decay: float = 0.7  # share of the steps, at the end, over which the rate falls to zero
    weight_decay: float = 5e-4
    dropout: float = 0.2
    light: bool = False  # augment light and sharpness too
    freeze_norm: bool = False  # batch norms keep their running statistics
    average: float = 0.0  # share of the averaged weights kept at each step; what is written is the average
    init: str = ""  # ONNX, safetensors or checkpoint file to start from
    anchor: float = 0.0  # weight of 1 - cosine to the vectors of the network started from
    precision: str = "32-true"
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    compile: bool = False
    seed: int = 0


def augmentation(*, light: bool = False) -> v2.Transform:
    """Return the paper's Random Crop, Random Horizontal Flip and Random Erasing for (B, 3, 112, 112) uint8.

    Args:
        light: first change colours, sometimes to grey, and sharpness, as other cameras would.
    """
    changes = [
        v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.02),
        v2.RandomGrayscale(p=0.1),
        v2.RandomApply([v2.GaussianBlur(5, sigma=(0.5, 2.0))], p=0.2),
    ]
    return v2.Compose(
        [
            *(changes if light else []),
            v2.RandomResizedCrop(112, scale=(0.8, 1.0), ratio=(0.95, 1.05), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomErasing(p=0.3, scale=(0.02, 0.15), value=127),
        ]
    )


class ArcFaceTraining(lightning.LightningModule):
    """Network, ArcFace head, one optimiser for both, and schedule."""

    def __init__(self, settings: ArcFaceSettings, *, classes: int, steps: int) -> None:
        super().__init__()
        self.settings, self.steps = settings, steps
        self.network = begin_network(dropout=settings.dropout, init=settings.init, freeze_norm=settings.freeze_norm)
        self.anchor = copy.deepcopy(self.network).eval().requires_grad_(False) if settings.anchor else None
        self.loss = ArcFaceLoss(classes, EMBEDDING, margin=math.degrees(settings.margin_rad), scale=settings.scale)
        self.augment = augmentation(light=settings.light)
        if settings.compile:
            self.network.compile()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, labels = batch
        # One crop, flip and erasure a sixteenth of the batch: per-image calls would cost more than the network.
        parts = [self.augment(part) for part in images.permute(0, 3, 1, 2).chunk(16)]
        pixels = network_input(torch.cat(parts).permute(0, 2, 3, 1), self.settings.size)
        vectors = self.network(pixels)
        # float16 overflows in exp(64 * cos): the margin and the softmax stay in float32
        with torch.autocast(self.device.type, enabled=False):
            loss: Tensor = self.loss(vectors.float(), labels)
            if self.anchor is not None:
                kept = F.cosine_similarity(vectors.float(), self.anchor(pixels).float()).mean()
                self.log("kept", kept, prog_bar=True)
                loss = loss + self.settings.anchor * (1 - kept)
        self.log("loss", loss, prog_bar=True)
        return loss

    @rank_zero_only
    @torch.no_grad()
    def centre_classes(self, images: Tensor, labels: Tensor) -> None:
        """Start each class weight at the mean vector of its images, so that fine-tuning does not start from noise.

        Of several processes only the first computes them: the others begin with its weights.
        """
        network = copy.deepcopy(self.network).eval()
        parts = torch.split(images, self.settings.batch)
        vectors = torch.cat([F.normalize(network(network_input(part, self.settings.size))) for part in parts])
        sums = torch.zeros(EMBEDDING, int(labels.max()) + 1).index_add_(1, labels, vectors.T)  # (D, C)
        self.loss.W.copy_(F.normalize(sums, dim=0))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        optimizer = torch.optim.AdamW(
            [
                {"params": self.network.parameters(), "lr": settings.lr},
                {"params": self.loss.parameters(), "lr": settings.class_lr},
            ],
            weight_decay=settings.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: trapezoid(step, self.steps, settings.warmup, settings.decay)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Train, and write the ONNX file, its checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown or out of its range.
        DatasetError: if fewer than two people have enough images.
    """
    settings = parse_settings(ArcFaceSettings, given, lowest=LOWEST)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    people = read_identities(data, least=settings.least)
    images, labels = torch.from_numpy(people.images), torch.from_numpy(people.labels)
    steps = count_steps(len(images), batch=settings.batch, epochs=settings.epochs)
    module = ArcFaceTraining(settings, classes=len(people.people), steps=steps)
    if settings.init:
        module.centre_classes(images, labels)
    fit_and_save(
        module,
        module.network,
        TensorDataset(images, labels),
        out,
        spec=NETWORK,
        average=settings.average,
        recipe="mobilenetv3-arcface",
        settings=settings,
        steps=steps,
        resume=resume,
    )
