"""Recipe `ssd300-vgg16`: torchvision's network, loss and augmentation on faces.

`facereg train ssd300-vgg16 --data DIR --out OUT --set pseudo=FILE.jsonl --set init=vgg16_features.pth --set frozen=2`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from facereg import ContractError
from facereg.training import (
    SourceSettings,
    device_count,
    fit,
    parse_settings,
    read_recipe_sources,
    save_run,
    warm_cosine,
    warm_steps,
)
from facereg_ssd.networks import DeployedSsd, build_network, vgg_convolutions
from facereg_ssd.pictures import FacePictures, Sample, collate
from facereg_ssd.plugin import NETWORK
from facereg_ssd.starting import load_network

SCHEDULES: Mapping[str, Callable[[int, int, int], float]] = {
    "cosine": warm_cosine,
    "steps": partial(warm_steps, falls=(80 / 120, 110 / 120)),  # torchvision: epochs 80 and 110 of 120
}


@dataclass(frozen=True, slots=True)
class SsdSettings(SourceSettings):
    """Settings of the recipe; names of lists are relative to the data folder, commas between several."""

    points: str = "landmarks-68pt/train_68pt.txt"  # lists beside `images`; only their boxes are learned
    longest: int = 600  # px; longer pictures are made smaller when read
    augment: bool = True  # no shows pictures as they are, for trying the recipe on a few
    steps: int = 12000
    batch: int = 32  # of all devices together (torchvision: 4 on each of 8)
    lr: float = 2e-3  # torchvision's, as are momentum and weight decay
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: int = 500  # steps
    schedule: str = "cosine"  # or steps: a tenth of the rate from 2/3 of the steps on, a hundredth from 11/12
    init: str = ""  # file to start from: .onnx or .safetensors of a run, or torchvision's VGG16 features
    frozen: int = 0  # convolutions of VGG16, the first, that stay as they are (torchvision: 2, of ImageNet)
    workers: int = 0  # processes that make samples
    precision: str = "32-true"  # Lightning's: bf16-mixed on a GPU
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    seed: int = 0


class SsdTraining(lightning.LightningModule):
    """Network, optimiser and schedule; the loss is torchvision's, three hard negatives a positive.

    Raises:
        ContractError: if there is no such schedule.
        WeightsError: if the file to start from is missing or of another network.
    """

    def __init__(self, settings: SsdSettings) -> None:
        super().__init__()
        if settings.schedule not in SCHEDULES:
            raise ContractError(f"--set schedule: expected {' or '.join(SCHEDULES)}, got {settings.schedule!r}")
        self.settings = settings
        self.network = build_network()
        if settings.init:
            load_network(self.network, Path(settings.init))
        for convolution in vgg_convolutions(self.network)[: settings.frozen]:
            convolution.requires_grad_(False)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        pixels, boxes, counts = batch
        targets = [
            {"boxes": part, "labels": torch.ones(len(part), dtype=torch.int64, device=part.device)}
            for part in torch.split(boxes, counts.tolist())
        ]
        parts = self.network(list(pixels.float() / 255), targets)
        loss: Tensor = parts["bbox_regression"] + parts["classification"]
        self.log_dict({"loss": loss, "box": parts["bbox_regression"], "face": parts["classification"]}, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        optimizer = torch.optim.SGD(
            [parameter for parameter in self.network.parameters() if parameter.requires_grad],
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        share = SCHEDULES[settings.schedule]
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: share(step, settings.steps, settings.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Train, and write the ONNX file, its checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown.
        DatasetError: if no data folder was given or a file is missing.
    """
    settings = parse_settings(SsdSettings, given)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    hand, rest = read_recipe_sources(data, settings)
    module = SsdTraining(settings)
    pictures = FacePictures(
        [*hand, *rest],
        longest=settings.longest,
        rows=settings.steps * settings.batch,
        seed=settings.seed,
        augment=settings.augment,
    )
    share = max(1, settings.batch // device_count(settings.devices))
    loader: DataLoader[Sample] = DataLoader(pictures, share, collate_fn=collate, num_workers=settings.workers)
    scores = fit(
        module,
        loader,
        out,
        steps=settings.steps,
        resume=resume,
        precision=settings.precision,
        devices=settings.devices,
        keep=("loss", "box", "face"),
    )
    if module.global_rank == 0:
        faces = sum(len(boxes) for _, boxes in pictures.pictures)
        counts: dict[str, object] = {"pictures": len(pictures.pictures), "faces": faces}
        save_run(
            DeployedSsd(module.network),
            NETWORK,
            out,
            recipe=NETWORK.name,
            settings=asdict(settings),
            scores=counts | scores,
        )
