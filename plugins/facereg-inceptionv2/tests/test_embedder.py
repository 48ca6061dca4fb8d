"""The embedder keeps the contract, here with a thin network of the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from facereg_inceptionv2.plugin import NETWORK
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
        save_network(DeployedEmbedder(thin(), size=112), NETWORK, weights)


class TestInceptionV2KeepsTheContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, weights: Path) -> None:
        self.weights = weights

    def make(self) -> Embedder:
        return Registry.load().create("inceptionv2-triplet", role="embedder", threads=1, weights=self.weights)


def test_the_crop_is_arcfaces() -> None:
    from facereg_inceptionv2.embedder import InceptionV2Triplet

    from facereg.geometry import TEMPLATE_112

    assert (InceptionV2Triplet.crop_size, InceptionV2Triplet.dim) == (112, 128)
    stage = object.__new__(InceptionV2Triplet)
    np.testing.assert_allclose(stage.template, TEMPLATE_112, atol=1e-5)
