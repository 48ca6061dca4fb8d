"""The network."""

from __future__ import annotations

import pytest
from facereg_adnet.plugin import ADNET_68

from facereg import layout

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from facereg_adnet.networks import AdNet, DeployedAdNet, soft_argmax  # noqa: E402


def test_parameters_are_those_published_within_a_hundredth() -> None:
    """The published count at four stacks and 98 points is 13.37 M; ours has no layer that is not used."""
    count = sum(each.numel() for each in AdNet(layout("wflw-98")).parameters())
    assert count == 13_476_468
    assert count == pytest.approx(13.37e6, rel=0.01)


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
