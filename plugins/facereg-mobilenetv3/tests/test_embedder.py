"""The embedder with the weights that ship: the contract, and what the network is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.registry.installed import Registry
from facereg.roles import Embedder
from facereg.testing import EmbedderContract, face_crops, write_answers


class TestMobileNetV3KeepsTheContract(EmbedderContract):
    def make(self) -> Embedder:
        stage = Registry.load().create("mobilenetv3-arcface", role="embedder", threads=1)
        assert isinstance(stage, Embedder)
        return stage


@pytest.mark.train
def test_the_answers_are_those_of_the_checkpoint_in_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from facereg_mobilenetv3.embedder import MobileNetV3ArcFace
    from facereg_mobilenetv3.networks import build_deployed

    from facereg.training import load_checkpoint

    network = build_deployed()
    load_checkpoint(network, MobileNetV3ArcFace.answers.with_name("mobilenetv3-arcface.onnx"))
    with torch.no_grad(), Registry.load().create("mobilenetv3-arcface", role="embedder", threads=1) as stage:
        assert isinstance(stage, Embedder)
        vectors = network(torch.from_numpy(face_crops(stage.crop_size))).numpy()
        write_answers(tmp_path / "answers.npz", vectors, space=stage.space)  # as after a training: copy it to weights/
    with np.load(tmp_path / "answers.npz") as made, np.load(MobileNetV3ArcFace.answers) as held:
        assert str(made["space"]) == str(held["space"])
        assert np.abs(made["vectors"] - held["vectors"]).max() < 0.01 * np.abs(held["vectors"]).max()


@pytest.mark.train
def test_the_network_has_the_papers_shape() -> None:
    torch = pytest.importorskip("torch")
    from facereg_mobilenetv3.networks import MobileNetV3Embedder

    network = MobileNetV3Embedder().eval()
    # torchvision's MobileNetV3-small has 2,542,856, of them 576 * 1024 + 1024 and 1024 * 1000 + 1000 in its classifier
    features = 2_542_856 - 590_848 - 1_025_000
    head = 2 * 576 + 576 * 128 + 128  # batch norm, linear
    assert sum(parameter.numel() for parameter in network.parameters()) == features + head == 1_002_016
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 128)
        assert network.features(torch.zeros(1, 3, 224, 224)).shape == (1, 576, 7, 7)


@pytest.mark.train
def test_pixels_are_scaled_and_enlarged_inside() -> None:
    torch = pytest.importorskip("torch")
    from facereg.training import network_input

    images = torch.from_numpy(np.tile(np.array([0, 255, 51], np.uint8), (1, 112, 112, 1)))
    for size in (112, 224):
        pixels = network_input(images, size)
        assert pixels.shape == (1, 3, size, size)
        # (0 - 127.5) / 127.5, (255 - 127.5) / 127.5, (51 - 127.5) / 127.5
        assert pixels.amax((0, 2, 3)).tolist() == pytest.approx([-1.0, 1.0, -0.6], abs=1e-6)
        assert pixels.amin((0, 2, 3)).tolist() == pytest.approx([-1.0, 1.0, -0.6], abs=1e-6)
