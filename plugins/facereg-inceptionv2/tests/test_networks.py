"""The network row by row, as table 1 of the paper states it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from facereg_inceptionv2.networks import FACTORISED, InceptionV2, build_deployed, figure_5, figure_6, figure_7
from torch import Tensor, nn

pytestmark = pytest.mark.train
# Table 1 of the paper: input of each row, side and channels; then what the last row gives. The two rows of stride 2
# that state the side that they give stand with the side that they take: 56 for 28, 28 for 14.
TABLE_1 = [
    ("conv1", (3, 3), (2, 2), (112, 3)),
    ("conv2", (3, 3), (1, 1), (56, 32)),
    ("pool", (3, 3), (2, 2), (56, 64)),
    ("conv3", (3, 3), (1, 1), (28, 64)),
    ("conv4", (3, 3), (2, 2), (28, 80)),
    ("conv5", (3, 3), (1, 1), (14, 192)),
    ("conv6", (3, 3), (1, 1), (14, 288)),
    ("figure5", None, None, (14, 288)),
    ("figure6", None, None, (14, 768)),
    ("figure7a", None, None, (7, 1280)),
    ("figure7b", None, None, (7, 2048)),
    ("average", None, None, (7, 2048)),
]


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolutions(*shapes: tuple[int, int, int]) -> int:
    """Return the parameters of ConvBlocks (channels in, out, cells of the kernel): weights, scale and shift."""
    return sum(width * out * cells + 2 * out for width, out, cells in shapes)


def test_every_row_of_table_1_has_its_input_kernel_and_stride() -> None:
    network = InceptionV2().eval()
    assert list(network.rows) == [name for name, *_ in TABLE_1]
    maps = torch.zeros(2, 3, 112, 112)
    with torch.inference_mode():
        for name, kernel, stride, (side, width) in TABLE_1:
            assert maps.shape == (2, width, side, side), name
            row = network.rows[name]
            first = row[0] if isinstance(row, nn.Sequential) else row
            if kernel is not None:
                assert isinstance(first, nn.Conv2d | nn.MaxPool2d)
                assert (pair(first.kernel_size), pair(first.stride)) == (kernel, stride), name  # type: ignore[arg-type]
            maps = row(maps)
        assert maps.shape == (2, 2048, 1, 1)  # the row before the last: 1x1x2048
        assert network.head(maps).shape == (2, 128)
    assert sum(isinstance(layer, nn.Linear) for layer in network.modules()) == 1


def test_the_blocks_have_the_parameters_of_their_figures() -> None:
    five = [(288, 64, 1), (288, 48, 1), (48, 64, 9), (288, 64, 1), (64, 96, 9), (96, 96, 9), (288, 64, 1)]
    assert parameters(figure_5(288)) == convolutions(*five)
    six = [(768, 192, 1), (768, 160, 1), (160, 160, 7), (160, 192, 7), (768, 160, 1), *[(160, 160, 7)] * 3]
    assert parameters(figure_6(768, 160)) == convolutions(*six, (160, 192, 7), (768, 192, 1))
    seven = [(1280, 320, 1), (1280, 384, 1), (384, 384, 3), (384, 384, 3), (1280, 448, 1), (448, 384, 9)]
    assert parameters(figure_7(1280)) == convolutions(*seven, (384, 384, 3), (384, 384, 3), (1280, 192, 1))


def test_there_are_three_blocks_of_figure_5_five_of_figure_6_and_two_of_figure_7() -> None:
    network = InceptionV2()
    counts = {name: len(row) - 1 for name, row in network.rows.items() if name in ("figure5", "figure6")}  # type: ignore[arg-type]
    assert counts == {"figure5": 3, "figure6": 5} == {"figure5": 3, "figure6": len(FACTORISED)}
    assert parameters(network.rows["figure7b"]) == parameters(figure_7(2048))
    assert parameters(network) == 24_905_312


def test_a_map_is_as_large_after_a_block_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    maps: Tensor = torch.randn(1, 288, 14, 14)
    with torch.inference_mode():
        assert figure_5(288).eval()(maps).shape == (1, 288, 14, 14)
        assert figure_6(288, 128).eval()(maps).shape == (1, 768, 14, 14)
        assert figure_7(288).eval()(maps).shape == (1, 2048, 14, 14)


def test_what_is_deployed_takes_bytes() -> None:
    with torch.inference_mode():
        assert build_deployed()(torch.zeros(1, 112, 112, 3, dtype=torch.uint8)).shape == (1, 128)
