"""Recipe `adnet-star`: ADNet from lists of points and pseudo-labels.

`facereg train adnet-star --data DIR --out OUT --set stacks=1 --set side=128`

As published: Adam at 1e-3, a tenth of the rate from each milestone on, averaged weights, and of each stack half of what
the next one counts. Boxes are drawn about the points as our detectors would give them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facereg import ContractError, DatasetError, Layout, WeightsError, layout
from facereg.training import (
    PointedImage,
    adamw,
    average_weights,
    count_steps,
    device_count,
    fit,
    held_out,
    parse_settings,
    publish,
    read_points,
    read_pseudo_labels,
    read_tensors,
    warm_steps,
)
from facereg_adnet.losses import DISTANCES, MAP_WEIGHT, adaptive_wing, direction, neighbours, star, tangents
from facereg_adnet.networks import MULTIPLE, STRIDE, AdNet, DeployedAdNet, StackMaps, cell_centres
from facereg_adnet.pictures import EdgeMaps, Look, Pictures
from facereg_adnet.plugin import network

PEOPLE = ("name", "folder", "picture")
LOSSES = ("star", "star-first", "direction", "direction-fixed")


@dataclass(frozen=True, slots=True)
class AdnetSettings(Look):
    """Settings of the recipe; names of lists are relative to the data folder, commas between several."""

    points: str = "landmarks-68pt/train_68pt.txt"  # lists, or folders of .pts files
    format: str = "68pt"  # of the lists: 68pt, wflw, pts or cofw
    images: str = "images"  # folder of their pictures, beside each list
    pseudo: str = ""  # labels that `facereg data pseudo-label --aligner` wrote, relative to the data folder
    least: float = 32.0  # px; pseudo-labelled faces whose points span less are left out
    layout: str = "300w-68"  # or wflw-98, cofw-29
    stacks: int = 4  # hourglasses
    side: int = 256  # px of the crops, a multiple of 64
    width: int = 256  # channels
    loss: str = "star"  # star-first, direction (ADNet's, as published) or direction-fixed (its paper's)
    distance: str = "smooth-l1"  # or wing, l2
    spread: float = 0.75  # cells; sigma of the points and edges drawn on the maps
    epochs: float = 500.0
    batch: int = 32  # of all devices together
    lr: float = 1e-3
    milestones: str = "0.4,0.7,0.9"  # shares of the run from which the rate is a tenth of what it was
    warmup: int = 100  # steps
    average: float = 0.999  # share of the averaged weights kept at each step; they are what is written
    keep_out: int = 10  # one person in so many is not learned from, to choose settings on; 0: none is kept out
    people: str = "name"  # whose a picture is: by name, as NAME_12.jpg, by folder, or each picture by itself: picture
    look: int = 1000  # steps between two measurements on them
    init: str = ""  # ONNX or safetensors file of a run to start from
    precision: str = "auto"  # Lightning's; auto is bf16-mixed where the device has bfloat16, else 32-true
    workers: int = 0  # processes that draw crops
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {"loss": LOSSES, "distance": tuple(DISTANCES), "people": PEOPLE}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ContractError(f"{name}: expected {', '.join(known)}, got {getattr(self, name)!r}")
        if self.side < MULTIPLE or self.side % MULTIPLE or self.stacks < 1 or self.width < 4 or self.width % 4:
            raise ContractError(
                f"expected a side that is a multiple of {MULTIPLE}, a width that is one of 4, and a stack or more, "
                f"got {self.side}, {self.width} and {self.stacks}"
            )
        if not (self.spread > 0 and self.epochs > 0 and self.batch > 0 and self.look > 0):
            raise ContractError("expected spread, epochs, batch and look above 0")
        self.falls()

    def falls(self) -> list[float]:
        """Return the milestones.

        Raises:
            ContractError: if one is no share.
        """
        try:
            shares = [float(word) for word in self.milestones.split(",") if word]
        except ValueError:
            shares = [-1.0]
        if not all(0 < share <= 1 for share in shares):
            raise ContractError(f"milestones: expected shares of the run, as 0.4,0.7,0.9, got {self.milestones!r}")
        return shares


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
    """Fill a network from the `.onnx` or `.safetensors` file of a run; stacks that the file lacks begin anew.

    Raises:
        WeightsError: if the file is missing, or of another width or layout.
    """
    held = read_tensors(path, expected="the .onnx or .safetensors file of a run")
    state = {key.removeprefix("network."): value for key, value in held.items()}
    own = network.state_dict()
    wrong = [key for key, value in state.items() if key in own and value.shape != own[key].shape]
    if wrong or "stacks.0.heat.weight" not in state:
        raise WeightsError(
            f"{path}: expected {network.layout.points} points and {network.width} channels, got other tensors; "
            "pass --set layout and --set width of that run"
        )
    network.load_state_dict(own | {key: value for key, value in state.items() if key in own})


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


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Train, and write the ONNX file of the averaged weights, checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown or out of range.
        DatasetError: if no data folder was given, a file is missing, or points are of another layout.
    """
    settings = parse_settings(AdnetSettings, given)
    settings = replace(settings, precision=best_precision() if settings.precision == "auto" else settings.precision)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    known = layout(settings.layout)
    items = read_items(data, settings, known)
    kept, out_of = items, list[PointedImage]()
    if settings.keep_out:
        kept, out_of = held_out(items, key=lambda item: person_of(item, settings.people), one_in=settings.keep_out)
    pictures = Pictures(kept, known, side=settings.side)
    steps = count_steps(len(pictures), batch=settings.batch, epochs=settings.epochs)
    module = AdnetTraining(
        settings, known, Pictures(out_of, known, side=settings.side) if out_of else None, steps=steps
    )
    scores = fit(
        module,
        DataLoader(Steps(pictures, settings, steps=steps), 1, num_workers=settings.workers),
        out,
        steps=steps,
        seed=settings.seed,
        resume=resume,
        precision=settings.precision,
        devices=settings.devices,
        keep=("loss", "points", "edges", "maps", "nme", "kept_out_nme"),
    )
    if module.global_rank == 0:
        counts: dict[str, object] = {"pictures": len(pictures), "kept_out": len(out_of)}
        publish(
            DeployedAdNet(module.averaged),
            network(known.points, side=settings.side),
            out,
            recipe="adnet-star",
            settings=asdict(settings),
            scores=counts | scores,
        )


def read_items(data: Sequence[Path], settings: AdnetSettings, known: Layout) -> list[PointedImage]:
    """Return the faces of all lists.

    Raises:
        DatasetError: if there is no list, or one is not as stated, or of another layout.
    """
    if len(data) != 1:
        raise DatasetError(
            f"data: expected the one folder that the settings' files lie in, got {len(data)}; pass --data DIR"
        )
    items = []
    for name in filter(None, settings.points.split(",")):
        path = data[0] / name
        found = read_points(settings.format, path, path.parent / settings.images)
        _require_layout(path, len(found[0].points), known)
        items += found
    for name in filter(None, settings.pseudo.split(",")):
        items += read_pseudo(data[0] / name, data[0], known, least=settings.least)
    if not items:
        raise DatasetError("points and pseudo: expected a list of either, got none; pass --set points=LIST")
    return items


def read_pseudo(path: Path, root: Path, known: Layout, *, least: float) -> list[PointedImage]:
    """Return the faces of a file of pseudo-labels, each by itself, but for those whose points span less than `least`.

    Raises:
        DatasetError: if the file is not such a one, or its points are of another layout.
    """
    found = []
    for item in read_pseudo_labels(path, root):
        for points in item.faces.landmarks:
            _require_layout(path, len(points), known)
            if np.ptp(points, axis=0).max() >= least:
                found.append(PointedImage(item.path, points))
    return found


def _require_layout(path: Path, points: int, known: Layout) -> None:
    if points != known.points:
        raise DatasetError(
            f"{path}: expected {known.points} points of the layout {known.name}, got {points}; pass --set layout=NAME"
        )


def person_of(item: PointedImage, people: str) -> str:
    """Return whose picture it is, by a setting `people`."""
    if people == "folder":
        return item.path.parent.name
    name, _, number = item.path.stem.rpartition("_")
    return name if people == "name" and number.isdigit() else item.path.stem


def best_precision() -> str:
    """Return bf16-mixed where the first GPU or, without one, the CPU computes in bfloat16; else 32-true."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
