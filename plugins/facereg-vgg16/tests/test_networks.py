"""The network row by row, as table 2 of the paper states it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from facereg_vgg16.networks import build_network
from torch import Tensor, nn

pytestmark = pytest.mark.train
# Table 2 of the paper: layer, output (side and channels, or numbers), parameters; of Conv2d-4 the channels that its
# parameters are those of, 128 for the 64 printed.
TABLE_2 = [
    ("Conv2d", (256, 64), 1_792),
    ("Conv2d", (256, 64), 36_928),
    ("MaxPool2d", (128, 64), 0),
    ("Conv2d", (128, 128), 73_856),
    ("Conv2d", (128, 128), 147_584),
    ("MaxPool2d", (64, 128), 0),
    ("Conv2d", (64, 256), 295_168),
    ("Conv2d", (64, 256), 590_080),
    ("Conv2d", (64, 256), 590_080),
    ("MaxPool2d", (32, 256), 0),
    ("Conv2d", (32, 512), 1_180_160),
    ("Conv2d", (32, 512), 2_359_808),
    ("Conv2d", (32, 512), 2_359_808),
    ("MaxPool2d", (16, 512), 0),
    ("Conv2d", (16, 512), 2_359_808),
    ("Conv2d", (16, 512), 2_359_808),
    ("Conv2d", (16, 512), 2_359_808),
    ("MaxPool2d", (8, 512), 0),
    ("AdaptiveAvgPool2d", (7, 512), 0),
    ("Linear", (4096,), 102_764_544),
    ("Linear", (4096,), 16_781_312),
    ("Linear", (256,), 1_048_832),
]
Row = tuple[str, tuple[int, ...], int]


def rows_of(network: nn.Module, side: int) -> list[Row]:
    """Return the layers of the table as they run, with the shape that each gives for square crops."""
    rows: list[Row] = []

    def note(layer: nn.Module, _: object, given: Tensor) -> None:
        shape = (given.shape[-1], given.shape[1]) if given.ndim == 4 else (given.shape[1],)
        rows.append((type(layer).__name__, shape, sum(parameter.numel() for parameter in layer.parameters())))

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AdaptiveAvgPool2d | nn.Linear):
            layer.register_forward_hook(note)
    network(torch.zeros(1, 3, side, side, device="meta"))
    return rows


def test_every_row_of_table_2_has_its_shape_and_count() -> None:
    with torch.device("meta"):
        network = build_network()
    rows = rows_of(network, 256)
    assert len(rows) == len(TABLE_2) == 22
    for number, (got, expected) in enumerate(zip(rows, TABLE_2, strict=True), 1):
        assert got == expected, f"{expected[0]}-{number}"
    assert sum(parameter.numel() for parameter in network.parameters()) == 135_309_376
    assert sum(count for _, _, count in TABLE_2) == 135_309_376


@pytest.mark.parametrize("side", [32, 64, 112, 128, 224])
def test_crops_of_other_sides_are_taken(side: int) -> None:
    with torch.device("meta"):
        network = build_network()
    rows = rows_of(network, side)
    assert rows[-5] == ("MaxPool2d", (side // 32, 512), 0)
    assert [row[1] for row in rows[-4:]] == [(7, 512), (4096,), (4096,), (256,)]
