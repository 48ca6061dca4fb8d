"""The embedder keeps the contract, here with a thin network of the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from facereg_vgg16.plugin import NETWORK
from torch import nn

from facereg import Registry
from facereg.roles import Embedder
from facereg.testing import EmbedderContract
from facereg.training import DeployedEmbedder, save_network

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def written(weights: Path, thin: Callable[..., nn.Module]) -> None:
    if not (weights / NETWORK.file).is_file():
        save_network(DeployedEmbedder(thin(), size=64), NETWORK, weights)  # trained at 64 px, given crops of 256


class TestVgg16KeepsTheContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, weights: Path) -> None:
        self.weights = weights

    def make(self) -> Embedder:
        return Registry.load().create("vgg16-online-triplet", role="embedder", threads=1, weights=self.weights)


def test_the_crop_is_arcfaces_at_256_px() -> None:
    from facereg_vgg16.embedder import Vgg16Triplet

    from facereg.geometry import TEMPLATE_112

    assert (Vgg16Triplet.crop_size, Vgg16Triplet.dim) == (256, 256)
    stage = object.__new__(Vgg16Triplet)
    # pixel centres are at integers: the corner of the picture at -0.5 stays put
    np.testing.assert_allclose(stage.template, (TEMPLATE_112 + 0.5) * 256 / 112 - 0.5, atol=1e-4)
