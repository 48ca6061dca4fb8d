"""What a step of the recipe `adnet-star` sees, and what it learns from that."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import Dataset

from facereg import Layout, WeightsError
from facereg.training import adamw, average_weights, device_count, read_tensors, warm_steps
from facereg_adnet.losses import DISTANCES, MAP_WEIGHT, adaptive_wing, direction, neighbours, star, tangents
from facereg_adnet.networks import STRIDE, AdNet, DeployedAdNet, StackMaps, cell_centres
from facereg_adnet.pictures import EdgeMaps, Pictures
from facereg_adnet.settings import AdnetSettings


class Steps(Dataset[tuple[Tensor, ...]]):
    """One batch a row, all of a run: a function of seed and row, whoever draws it."""

    def __init__(self, pictures: Pictures, settings: AdnetSettings, *, steps: int) -> None:
        self.pictures, self.settings = pictures, settings
        self.share = settings.batch // device_count(settings.devices)
        self.rows = steps * device_count(settings.devices)
        self.edges = EdgeMaps(pictures.layout)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        """Return pixels (B, S, S, 3) uint8, points (B, P, 2) px, faces (B,) bool, edge maps (B, E, S/4, S/4)."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, row))
        crops, maps = [], []
        for number in range(row * self.share, (row + 1) * self.share):
            crop = self.pictures.draw(self._picture(number), settings, rng)
            crops.append(crop)
            cells = settings.side // STRIDE
            drawn = self.edges(crop.points, cells=cells, stride=STRIDE, sigma=settings.spread)
            maps.append(drawn if crop.face else np.zeros_like(drawn))
        return (
            torch.from_numpy(np.stack([crop.pixels for crop in crops])),
            torch.from_numpy(np.stack([crop.points for crop in crops])),
            torch.tensor([crop.face for crop in crops]),
            torch.from_numpy(np.stack(maps)),
        )

    def _picture(self, number: int) -> int:
        """Return the picture drawn as this one of the run: all of them come once a pass."""
        past, place = divmod(number, len(self.pictures))
        order = np.random.default_rng((self.settings.seed, past, 1)).permutation(len(self.pictures))
        return int(order[place])


class AdnetTraining(lightning.LightningModule):
    """Network, its moving average, losses, optimiser, schedule, and the error on the people kept out."""

    beside: Tensor

    def __init__(self, settings: AdnetSettings, known: Layout, kept_out: Pictures | None, *, steps: int) -> None:
        super().__init__()
        self.settings, self.steps = settings, steps
        self.kept_out = kept_out
        self.network = AdNet(known, stacks=settings.stacks, width=settings.width)
        if settings.init:
            begin(self.network, Path(settings.init))
        self.network.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.register_buffer("beside", neighbours(known), persistent=False)
        self.distance = DISTANCES[settings.distance]

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        pixels, points, faces, edges = (part[0] for part in batch)
        scaled = (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        found = self.network(scaled)
        with torch.autocast(self.device.type, enabled=False):
            parts = self.losses(found, points, faces, edges)
        self.log_dict(parts, prog_bar=True)
        return parts["loss"]

    def losses(self, found: Sequence[StackMaps], points: Tensor, faces: Tensor, edges: Tensor) -> dict[str, Tensor]:
        """Return the loss, its parts of the last stack, and that stack's error in percent.

        Args:
            points: (B, P, 2) px.
            faces: (B,) bool; where False, nothing is to be on the maps, and points do not count.
            edges: (B, E, h, w) in 0..1.
        """
        side = self.settings.side
        targets = ((2 * points + 1) / side - 1).clamp(-1, 1)
        wanted = point_maps(points, edges.shape[-1], spread=self.settings.spread) * faces[:, None, None, None]
        total = points.new_zeros(())
        for number, maps in enumerate(found):
            own = self._points_loss(maps, targets, found[-1].mask)[faces].sum() / faces.sum().clamp(min=1)
            own = own / targets.shape[1]
            on_edges = adaptive_wing(maps.edge_logits.sigmoid(), edges)
            on_points = adaptive_wing(maps.point_logits.sigmoid(), wanted)
            total = total + 2.0 ** (number + 1 - len(found)) * (own + MAP_WEIGHT * (on_edges + on_points))
        error = errors_of(found[-1].points[faces], targets[faces], self.network.layout)
        return {"loss": total, "points": own, "edges": on_edges, "maps": on_points, "nme": error.mean() * 100}

    def _points_loss(self, maps: StackMaps, targets: Tensor, attended: Tensor) -> Tensor:
        kind = self.settings.loss
        if kind.startswith("star"):
            return star(maps, targets, self.distance, first=kind == "star-first")
        along = tangents(targets, self.beside)
        return direction(maps, targets, along, self.distance, attended if kind == "direction" else None)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # here and not at the end of the batch: checkpoints are written before that, and would hold an older average
        done = self.global_step + 1
        average_weights(self.averaged, self.network, keep=min(self.settings.average, done / (done + 10)))
        if self.kept_out is not None and (done % self.settings.look == 0 or done == self.steps):
            self.log("kept_out_nme", self.measure(self.kept_out), rank_zero_only=True)

    @torch.inference_mode()
    def measure(self, pictures: Pictures) -> float:
        """Return the mean error of the averaged weights in percent, crops cut around the labelled points."""
        errors = []
        deployed = DeployedAdNet(self.averaged)
        for start in range(0, len(pictures), 32):
            crops = [pictures.plain(row) for row in range(start, min(start + 32, len(pictures)))]
            found, _ = deployed(torch.from_numpy(np.stack([crop.pixels for crop in crops])).to(self.device))
            wanted = torch.from_numpy(np.stack([crop.points for crop in crops])).to(self.device)
            errors.append(errors_of(found.float(), wanted, pictures.layout))
        return float(torch.cat(errors).mean() * 100)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        return adamw(
            self.network,
            lr=settings.lr,
            weight_decay=0.0,
            share=lambda step: warm_steps(step, self.steps, settings.warmup, falls=settings.falls()),
        )


def begin(network: AdNet, path: Path) -> None:
    """Fill a network from the file of a run; maps of another layout begin anew.

    A stack that the file lacks begins as a copy of its last one and is told nothing by it yet, so that it says the
    same: what the file has learned is where the longer network begins.

    Raises:
        WeightsError: if the file is missing, or of another width.
    """
    held = read_tensors(path, expected="the .onnx or .safetensors file of a run")
    state = {key.removeprefix("network."): value for key, value in held.items()}
    own = network.state_dict()
    same = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    if not any(key.startswith("stacks.0.") for key in same) or any(
        key.startswith("stem.") and key not in same for key in own
    ):
        raise WeightsError(
            f"{path}: expected a network of {network.width} channels, got other tensors; pass --set width of that run"
        )
    network.load_state_dict(own | same)
    for index in range(1, len(network.stacks)):
        if not any(key.startswith(f"stacks.{index}.") for key in same):
            _repeat(network, index)


@torch.no_grad()
def _repeat(network: AdNet, index: int) -> None:
    """Make the stack at `index` say what the one before it says."""
    own, before = network.stacks[index].state_dict(), network.stacks[index - 1].state_dict()
    for name, tensor in before.items():
        own[name].zero_()  # what is left of it after the copy: two channels that only later stacks are shown
        own[name][tuple(slice(size) for size in tensor.shape)] = tensor
    for parameter in network.merges[index - 1].parameters():
        parameter.zero_()


def point_maps(points: Tensor, cells: int, *, spread: float) -> Tensor:
    """Return Gaussians (B, P, cells, cells) about points (B, P, 2) px; `spread`, their sigma, is in cells."""
    at = (cell_centres(cells, points) + 1) * cells / 2  # cells
    near = torch.exp(-(((points[..., None] + 0.5) / STRIDE - at) ** 2) / (2 * spread**2))  # (B, P, 2, cells)
    return near[:, :, 1, :, None] * near[:, :, 0, None, :]


def errors_of(found: Tensor, wanted: Tensor, known: Layout) -> Tensor:
    """Return the mean distance (B,) of points (B, P, 2), over that of the layout's eyes."""
    left, right = known.eyes
    between = torch.linalg.vector_norm(wanted[:, left] - wanted[:, right], dim=-1).clamp(min=1e-6)
    errors: Tensor = torch.linalg.vector_norm(found - wanted, dim=-1).mean(1) / between
    return errors
