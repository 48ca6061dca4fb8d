"""The network."""

from __future__ import annotations

import pytest
from facereg_adnet.plugin import ADNET_68

from facereg import layout

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
COFW = layout("cofw-29")

from facereg_adnet.networks import AdNet, CoordConv, DeployedAdNet, Residual, Stack, soft_argmax  # noqa: E402
from torch import nn  # noqa: E402


@pytest.mark.parametrize(
    ("name", "published", "count"),
    [("300w-68", 13.37e6, 13_368_708), ("wflw-98", None, 13_476_468), ("cofw-29", None, 13_225_028)],
)
def test_parameters_are_those_published(name: str, published: float | None, count: int) -> None:
    """13.37 M at four stacks is that of 68 points; the published state also holds layers that nothing runs through."""
    network = AdNet(layout(name))
    assert sum(each.numel() for each in network.parameters()) == count
    assert published is None or count == pytest.approx(published, abs=5e3)  # to the last digit given
    blocks = [each for each in network.modules() if isinstance(each, Residual) and isinstance(each.past, nn.Identity)]
    channels = [next(each.parameters()).numel() for each in blocks]
    unused = sum(count * (count + 1) for count in channels)  # a 1x1 convolution and its bias
    assert unused == 3_700_864


def test_a_coordinate_convolution_is_told_where_it_is() -> None:
    conv = CoordConv(1, 5, edges=True)
    torch.nn.init.zeros_(conv.conv.weight)
    torch.nn.init.zeros_(conv.conv.bias)
    conv.conv.weight.data[:, 1:, 0, 0] = torch.eye(5)  # what it is told, and nothing of the input
    edge = torch.zeros(1, 1, 3, 5)
    edge[0, 0, 2, 4], edge[0, 0, 1, 0] = 0.06, 0.04
    x, y, distance, edge_x, edge_y = conv(torch.ones(1, 1, 3, 5), edge)[0].detach()
    assert x[0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert y[:, 0].tolist() == [-1, 0, 1]
    assert distance[0, 0] == distance[2, 4] == 1  # in the corners
    assert distance[1, 2] == 0
    assert edge_x.nonzero().tolist() == edge_y.nonzero().tolist() == [[2, 4]]  # where an edge is over 0.05
    assert (edge_x[2, 4], edge_y[2, 4]) == (1, 1)


def test_points_attend_to_the_edges_they_are_on() -> None:
    stack = Stack(COFW, 16, first=True)
    assert stack.points_from_edges[0].tolist() == [1, 0, 0, 0, 0, 0, 0]  # the left brow alone
    assert stack.points_from_edges[22].tolist() == [0, 0, 0, 0, 0, 1, 1]  # the mouth's corner, both lips
    assert stack.off_edges.flatten().nonzero().flatten().tolist() == [16, 17, 28]  # pupils and chin: everywhere
    _, maps, raw = stack.eval()(torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(0)), None)
    edges, points = maps.edge_logits.sigmoid(), maps.point_logits.sigmoid()
    assert torch.allclose(maps.heat[:, 0], raw[:, 0] * points[:, 0] * edges[:, 0], atol=1e-6)
    assert torch.allclose(maps.heat[:, 16], raw[:, 16] * points[:, 16], atol=1e-6)


def test_the_mean_of_a_peak_is_the_centre_of_its_cell() -> None:
    heat = torch.zeros(1, 2, 16, 16)
    heat[0, 0, 3, 5] = 7.0
    heat[0, 1, 0, 0] = heat[0, 1, 0, 1] = 1.0
    assert soft_argmax(heat)[0].tolist() == [[11 / 16 - 1, 7 / 16 - 1], [-14 / 16, -15 / 16]]


def test_points_come_in_px_of_the_crop() -> None:
    network = DeployedAdNet(AdNet(layout("300w-68"), stacks=2, width=16)).eval()
    with torch.inference_mode():
        points, scores = network(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert points.shape == (2, 68, 2)
    assert scores.shape == (2, 68)
    assert points.min() >= -0.5
    assert points.max() <= 63.5
    assert [tensor.name for tensor in ADNET_68.outputs] == ["points", "scores"]
