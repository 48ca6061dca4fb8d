"""A network of the same tensors that runs hundreds of times faster, and what the recipe makes of it."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch
from facereg_ssd.plugin import SIDE
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

from facereg.cli.training import train
from facereg.images import write_image
from facereg.testing.pictures import FACE_OF_PHOTOGRAPH, photograph

RATIOS = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
SCALES = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]


class ThinMaps(nn.Module):
    """Six maps with the sides of VGG16's, eight channels deep."""

    out_channels = (8,) * 6

    def __init__(self) -> None:
        super().__init__()
        # sides: 300, 38, 19, 10, 5, 3, 1
        shapes = ((3, 8, 8, 2), (8, 2, 2, 0), (8, 3, 2, 1), (8, 2, 2, 0), (8, 3, 1, 0), (8, 3, 1, 0))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, 8, kernel, stride, padding) for width, kernel, stride, padding in shapes
        )

    def forward(self, pixels: Tensor) -> OrderedDict[str, Tensor]:
        maps: OrderedDict[str, Tensor] = OrderedDict()
        hidden = pixels / 64
        for convolution in self.convolutions:
            hidden = torch.relu(convolution(hidden))
            maps[str(len(maps))] = hidden
        return maps


def thin_network() -> SSD:
    """Return torchvision's SSD300 over `ThinMaps`."""
    boxes = DefaultBoxGenerator(RATIOS, scales=SCALES, steps=[8, 16, 32, 64, 100, 300])
    return SSD(ThinMaps(), boxes, (SIDE, SIDE), 2, image_mean=[0.48235, 0.45882, 0.40784], image_std=[1 / 255] * 3)


@pytest.fixture(scope="session")
def thin() -> Callable[[], SSD]:
    """What builds a network of the same tensors that runs hundreds of times faster."""
    return thin_network


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data: one photograph and its face in a WIDER FACE list."""
    root = tmp_path_factory.mktemp("pictures")
    image = photograph()
    assert image is not None
    write_image(root / "images" / "0.png", image)
    x1, y1, x2, y2 = FACE_OF_PHOTOGRAPH
    (root / "list.txt").write_text(f"0.png\n1\n{x1} {y1} {x2 - x1} {y2 - y1}\n", "utf-8")
    return root


@pytest.fixture(scope="session")
def run_recipe(pictures: Path) -> Callable[..., Path]:
    """Run the recipe, with the thin network unless another builder is given, and return the folder it wrote."""

    def run(out: Path, *given: str, build: Callable[[], SSD] = thin_network, resume: bool = False) -> Path:
        settings = ["crowds=list.txt", "points=", "keep_out=no", "batch=1", "devices=1", *given]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # threads cost more than so thin a network does
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr("facereg_ssd.recipe.build_network", build)
            warnings.simplefilter("ignore")  # Lightning's hints about loaders
            train("ssd300-vgg16", [pictures], out, settings, resume=resume)
        torch.set_num_threads(threads)
        return out

    return run


@pytest.fixture(scope="session")
def weights(run_recipe: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe leaves behind after it has shown the thin network one photograph for a while."""
    return run_recipe(tmp_path_factory.mktemp("weights") / "out", "augment=no", "steps=60", "warmup=5", "lr=0.02")
