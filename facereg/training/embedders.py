"""What recipes for embedders share: the network that is served, its weights in and out, people kept out of learning."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from facereg.errors import DatasetError, WeightsError
from facereg.evaluation.verification import roc, tpr_at
from facereg.networks.checkpoints import read_checkpoint, read_tensors
from facereg.networks.spec import NetworkSpec
from facereg.training.fitting import Judged, device_count, fit
from facereg.training.identities import Identities
from facereg.training.optimizing import adamw
from facereg.training.saving import note_settings, save_run
from facereg.training.schedules import trapezoid
from facereg.types import FloatArray, IntArray

FAR = 0.01  # at which people kept out are judged
COLLAPSED = 0.01  # share of the margin, below which the mean squared distance of vectors is none
COLLAPSED_STEPS = 100  # of such in a row


class DeployedEmbedder(nn.Module):
    """What is served: uint8 crops in, vectors out; scaling and resizing happen inside.

    Args:
        network: (B, 3, size, size) float in -1..1 to (B, D) vectors.
        size: px; that crops are resized to.
    """

    def __init__(self, network: nn.Module, *, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, D) for (B, S, S, 3) uint8 RGB."""
        vectors: Tensor = self.network(network_input(images, self.size))
        return vectors

    def checkpoint_metadata(self) -> dict[str, str]:
        """Return what a checkpoint says beside its tensors."""
        return {"size": str(self.size)}

    def read_checkpoint_metadata(self, metadata: Mapping[str, str]) -> None:
        """Resize to the size that the checkpoint was trained at; one that says none was trained at the one given."""
        self.size = int(metadata.get("size", self.size))


def network_input(images: Tensor, size: int) -> Tensor:
    """Return (B, 3, size, size) float32 in -1..1, channels last, for (B, S, S, 3) uint8 RGB."""
    pixels = (images.permute(0, 3, 1, 2).float() - 127.5) / 127.5
    if pixels.shape[-1] == size:
        return pixels.contiguous(memory_format=torch.channels_last)
    smaller = size < pixels.shape[-1]
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=smaller)


def turned_and_mirrored(images: Tensor, *, degrees: float) -> Tensor:
    """Return random rotations of (B, S, S, 3) uint8 RGB, half of them mirrored, each image by an angle of its own.

    Args:
        degrees: the largest angle, either way; edges are repeated.
    """
    angles = (torch.rand(len(images), device=images.device) * 2 - 1) * torch.pi * degrees / 180
    mirror = torch.randint(0, 2, (len(images),), device=images.device) * 2.0 - 1
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    matrices = torch.stack([mirror * cosine, -sine, zero, mirror * sine, cosine, zero], 1).reshape(-1, 2, 3)
    pixels = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrices, list(pixels.shape), align_corners=False)
    turned = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return turned.round().to(torch.uint8).permute(0, 2, 3, 1)


def freeze_norms(network: nn.Module) -> None:
    """Have batch norms use their running statistics, as in inference, and keep them."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.eval()


def load_embedder(network: nn.Module, path: Path) -> None:
    """Fill a network from a run's `.onnx`, `.safetensors` or Lightning `.ckpt`: tensors that begin with `network.`.

    Raises:
        WeightsError: if the file is missing or of another network.
    """
    expected = "an .onnx, .safetensors or .ckpt file"
    if path.suffix in (".onnx", ".safetensors"):
        state = read_tensors(path, expected=expected)
    else:
        state = read_checkpoint(path, expected=expected).get("state_dict", {})
    state = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        kind = type(network).__name__
        raise WeightsError(f"{path}: expected the weights of {kind}, got other tensors; check --set init") from error


class RunSettings(Protocol):
    """What the settings of recipes for embedders, dataclasses, have."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def size(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def precision(self) -> str: ...
    @property
    def devices(self) -> int: ...
    @property
    def seed(self) -> int: ...


def fit_and_save(
    module: lightning.LightningModule,
    network: nn.Module,
    rows: Dataset[tuple[Tensor, ...]],
    out: Path,
    *,
    spec: NetworkSpec,
    recipe: str,
    settings: RunSettings,
    steps: int,
    resume: bool,
    keep: Sequence[str] = ("loss",),
    average: float = 0.0,
    sampler: Sampler[int] | None = None,
    strangers: Identities | None = None,
    looks: int = 20,
) -> None:
    """Train `module` on `rows`, then write its `network` to `out` in every form: see `fit` and `save_run`.

    Args:
        sampler: which rows, in which order; None: all, shuffled.
        strangers: people kept out, by whom `module`, an `EmbedderTraining`, is judged `looks` times; the network that
            told them apart best is the one published.
    """
    note_settings(out, asdict(settings), resume=resume)
    share = settings.batch // device_count(settings.devices)
    judged = None
    if strangers is not None and len(strangers.labels):
        tensors = TensorDataset(torch.from_numpy(strangers.images), torch.from_numpy(strangers.labels))
        judged = Judged(DataLoader(tensors, share), by="strangers", looks=looks)
    scores = fit(
        module,
        DataLoader(rows, share, shuffle=sampler is None, sampler=sampler, drop_last=True),
        out,
        steps=steps,
        seed=settings.seed,
        resume=resume,
        precision=settings.precision,
        devices=settings.devices,
        average=average,
        keep=(*keep, "strangers") if judged else keep,
        judged=judged,
    )
    if module.global_rank == 0:
        deployed = DeployedEmbedder(network, size=settings.size)
        save_run(deployed, spec, out, recipe=recipe, settings=asdict(settings), scores=scores)


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """Settings of recipes that learn vectors from triplets; a recipe's class adds its own, and says another default."""

    margin: float = 0.2  # of distances between unit vectors; FaceNet's (Schroff et al. 2015), as the paper gives none
    least: int = 2  # people with fewer images are left out
    keep_out: int = 0  # one person in so many is not learned from, and chooses the network; 0: none is kept out
    looks: int = 20  # times in a run that the people kept out are looked at
    size: int = 112  # side the crops are resized to
    epochs: float = 1.0  # passes over the images, or over triplets drawn before
    lr: float = 1e-4
    warmup: int = 200  # steps
    decay: float = 0.7  # share of the steps, at the end, over which the rate falls to zero
    weight_decay: float = 0.05
    dropout: float = 0.0
    degrees: float = 10.0  # of random rotation, either way
    init: str = ""  # ONNX, safetensors or checkpoint file to start from
    precision: str = "32-true"  # Lightning's: bf16-mixed on a GPU, and on CPUs that have bfloat16
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    compile: bool = False
    seed: int = 0


class EmbedderTraining(lightning.LightningModule):
    """A network that learns vectors: AdamW, a schedule, and how it tells people apart whom it never learned from.

    A subclass writes `training_step`. With a loader of people kept out, (images, labels), `fit` judges by `strangers`:
    their true accepts at 1 % false accepts, over all their pairs.

    Args:
        network: begins with the weights of `settings.init` where that names a file.
    Raises:
        WeightsError: if that file is missing or of another network.
    """

    def __init__(self, network: nn.Module, settings: EmbedderSettings, *, steps: int) -> None:
        super().__init__()
        if settings.init:
            load_embedder(network, Path(settings.init))
        self.network = network.to(memory_format=torch.channels_last)
        self.settings, self.steps = settings, steps
        self._seen: list[tuple[Tensor, Tensor]] = []  # vectors and labels of people kept out
        self._collapsed = 0  # steps in a row
        if settings.compile:
            self.network.compile()

    def vectors(self, images: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for (B, S, S, 3) uint8 RGB."""
        return F.normalize(self.network(network_input(images, self.settings.size)).float())

    def watch(self, loss: Tensor, vectors: Tensor) -> None:
        """Log the loss, and the mean squared distance of a batch's vectors; say where they have collapsed.

        Where all vectors are one, the two distances of every triplet are equal: its loss is the margin, for ever.
        """
        spread = 2 * vectors.detach().var(0, correction=0).sum()  # of every two: twice that from their mean
        self.log_dict({"loss": loss, "spread": spread}, prog_bar=True)
        margin = self.settings.margin
        self._collapsed = self._collapsed + 1 if float(spread) < COLLAPSED * margin else 0
        if self._collapsed == COLLAPSED_STEPS:
            sys.stderr.write(
                f"step {self.global_step}: collapsed: for {COLLAPSED_STEPS} steps all vectors have been one (mean "
                f"squared distance {float(spread):.2g}, loss {float(loss.detach()):.4g}, margin {margin:g}); "
                "begin anew with a lower lr, or with triplets that are less hard\n"
            )

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        images, labels = batch
        self._seen.append((self.vectors(images).cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        vectors, labels = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen.clear()
        self.log("strangers", tpr_of(vectors.numpy(), labels.numpy()), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        return adamw(
            self.network,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            share=lambda step: trapezoid(step, self.steps, settings.warmup, settings.decay),
        )


def tpr_of(vectors: FloatArray, labels: IntArray) -> float:
    """Return the true accepts at 1 % false accepts, or at one of few pairs, over all pairs of unit vectors (N, D).

    Raises:
        DatasetError: if no two are of one person, or all are.
    """
    rows, columns = np.triu_indices(len(vectors), 1)
    same = labels[rows] == labels[columns]
    if same.all() or not same.any():
        raise DatasetError(
            "keep_out: expected several people with two pictures or more kept out, got none to compare; "
            "pass --set keep_out=0 or give more people"
        )
    impostors = int((~same).sum())
    found = tpr_at(roc((vectors @ vectors.T)[rows, columns], same), max(FAR, 1 / impostors), impostors)
    return float("nan") if found is None else found
