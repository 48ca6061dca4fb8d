"""Recipe `yolov5s-face`: YOLOv5s with five landmarks from hand-drawn boxes, points and pseudo-labels.

`facereg train yolov5s-face --data DIR --out OUT --set pseudo=FILE.jsonl --set precision=bf16-mixed`

Unlike YOLOv5 and YOLO5Face, which use SGD on the loss times the batch, AdamW on the mean loss: its steps do not
depend on the scale of the loss.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from facereg import WeightsError
from facereg.training import (
    SourceSettings,
    adamw,
    average_weights,
    device_count,
    fit,
    load_checkpoint,
    parse_settings,
    read_recipe_sources,
    save_run,
    warm_cosine,
)
from facereg_yolov5.anchors import FACE_ANCHORS, parse_anchors
from facereg_yolov5.losses import LANDMARK, Labels, losses
from facereg_yolov5.networks import DeployedYolo, YoloV5s
from facereg_yolov5.pictures import Pack, Pictures, pack_pictures
from facereg_yolov5.plugin import NETWORK
from facereg_yolov5.scenes import Look, change_light, draw_pixels, place_faces, plan_scenes

TRACED = 96  # px; the side the graph is traced and checked at, not a power of two
PARTS = ("loss", "box", "objectness", "landmark")


@dataclass(frozen=True, slots=True)
class YoloSettings(SourceSettings, Look):
    """Settings of the recipe; names of lists are relative to the data folder, commas between several."""

    pack: str = ""  # file of packed pictures, read where it exists; empty is OUT/pictures.npz
    longest: int = 800  # px; longer pictures are made smaller when packed
    anchors: str = ""  # nine `w,h` pairs, as yolov5-anchors prints them; empty is those for faces
    landmark_gain: float = LANDMARK  # of the landmark loss; a larger one for points that faces are aligned by
    steps: int = 12000
    batch: int = 64  # of all devices together
    lr: float = 2e-3
    last_lr: float = 0.01  # share of lr at the end
    warmup: int = 500  # steps
    weight_decay: float = 0.02
    average: float = 0.999  # share of the averaged weights kept at each step
    init: str = ""  # ONNX or safetensors file to start from
    hold: str = "device"  # where the decoded pictures lie: device, or host where they do not fit it
    precision: str = "32-true"  # Lightning's: bf16-mixed on a GPU
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    compile: bool = False
    seed: int = 0


class YoloTraining(lightning.LightningModule):
    """Network, its moving average, scenes, losses, optimiser and schedule."""

    def __init__(self, settings: YoloSettings, pictures: Pictures) -> None:
        super().__init__()
        self.settings, self.pictures = settings, pictures
        self.network = YoloV5s(anchors=parse_anchors(settings.anchors) if settings.anchors else FACE_ANCHORS)
        if settings.init:
            load_network(self.network, Path(settings.init))
        self.network.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        if settings.compile:
            self.network.compile()

    def on_fit_start(self) -> None:
        if self.settings.hold == "device":
            self.pictures = self.pictures.to(self.device)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):  # colours and losses stay in float32
            pixels, labels = self.draw_batch(self.global_step, self.global_rank)
        maps = self.network((pixels / 255).contiguous(memory_format=torch.channels_last))
        with torch.autocast(self.device.type, enabled=False):
            parts = losses(maps, self.network.anchors, labels, landmark_gain=self.settings.landmark_gain)
        self.log_dict(parts, prog_bar=True)
        return parts["loss"]

    def draw_batch(self, step: int, rank: int) -> tuple[Tensor, Labels]:
        """Return the scenes of a step (B, 3, S, S) in 0..255 and their faces, a function of seed, step and rank."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, step, rank))
        plan = plan_scenes(self.pictures, settings.batch // device_count(settings.devices), settings, rng)
        pixels = change_light(draw_pixels(self.pictures, plan).to(self.device), settings, rng)
        faces = place_faces(self.pictures, plan, settings)
        on_device = (
            value.to(self.device)
            for value in (faces.boxes, faces.points, faces.image, faces.ignored, faces.ignored_image)
        )
        return pixels, Labels(*on_device)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Here and not at the end of the batch: checkpoints are written before that, and would hold an older average.
        # At the start the average follows, or the random first weights would stay in it for long.
        done = self.global_step + 1
        average_weights(self.averaged, self.network, keep=min(self.settings.average, done / (done + 10)))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        return adamw(
            self.network,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            share=lambda step: warm_cosine(step, settings.steps, settings.warmup, last=settings.last_lr),
        )


def load_network(network: YoloV5s, path: Path) -> None:
    """Fill a network from the ONNX or `.safetensors` file of a run; the anchors come with it.

    Raises:
        WeightsError: if the file is missing or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"init: expected the .onnx or .safetensors file of a run, found none at {path}")
    load_checkpoint(DeployedYolo(network), path)


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Pack the pictures, train, and write the ONNX file of the averaged weights, checkpoint, curve and scores.

    Raises:
        ContractError: if a setting is unknown.
        DatasetError: if no data folder was given or a file is missing.
    """
    settings = parse_settings(YoloSettings, given)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    pack = open_pack(data, out, settings)
    module = YoloTraining(settings, Pictures.decode(pack))
    # The loader only counts: a step draws its own scenes, so that a resumed run goes on with those it would have drawn.
    counter: DataLoader[tuple[Tensor, ...]] = DataLoader(TensorDataset(torch.arange(settings.steps)))
    scores = fit(
        module,
        counter,
        out,
        steps=settings.steps,
        resume=resume,
        precision=settings.precision,
        devices=settings.devices,
        keep=PARTS,
    )
    if module.global_rank == 0:
        counts: dict[str, object] = {"pictures": len(pack.ends), "faces": int((~pack.ignored).sum())}
        save_run(
            DeployedYolo(module.averaged),
            NETWORK,
            out,
            recipe=NETWORK.name,
            settings=asdict(settings),
            scores=counts | scores,
            free=TRACED,
        )


def open_pack(data: Sequence[Path], out: Path, settings: YoloSettings) -> Pack:
    """Return the packed pictures: from the file where it exists, else from the data folder, and written there."""
    path = Path(settings.pack) if settings.pack else out / "pictures.npz"
    if path.is_file():
        return Pack.open(path)
    pack = _pack(data, settings)
    pack.save(path)
    return pack


def _pack(data: Sequence[Path], settings: YoloSettings) -> Pack:
    return pack_pictures(*read_recipe_sources(data, settings), longest=settings.longest)


def write_pack(data: Path, out: Path, given: Mapping[str, str]) -> int:
    """Write the pack of the recipe's settings to `out`, in place of what is there; return how many pictures it has."""
    pack = _pack([data], parse_settings(YoloSettings, given))
    pack.save(out)
    return len(pack.ends)
