"""The two recipes: losses and rate by hand, where class weights start, what a run starts from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch
import torch.nn.functional as F
from facereg_mobilenetv3.arcface import ArcFaceSettings, ArcFaceTraining, augmentation
from facereg_mobilenetv3.distill import (
    DistillSettings,
    distillation_loss,
    make_views,
)
from facereg_mobilenetv3.networks import EMBEDDING, MobileNetV3Embedder
from facereg_mobilenetv3.plugin import NETWORK
from facereg_mobilenetv3.views import SIZE

from facereg.errors import ContractError, WeightsError
from facereg.testing.pictures import crops
from facereg.training import load_embedder, network_input, read_tensors
from facereg.training.schedules import trapezoid

pytestmark = pytest.mark.train
SMALL = 32  # px; the smallest input that leaves one cell of features


def test_the_distillation_loss_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    loss, cosine = distillation_loss(vectors, targets, similarity=10.0)
    assert float(cosine) == pytest.approx(0.9)  # of 1 and 0.8
    assert float(loss) == pytest.approx(0.1 + 10 * 2 * 0.36 / 4)  # two of four similarities differ by 0.6
    assert float(distillation_loss(targets, targets, similarity=10.0)[0]) == pytest.approx(0, abs=1e-6)


def test_a_teacher_whose_vectors_lie_close_together_is_met_more_closely() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    loss, cosine = distillation_loss(vectors, targets, similarity=10.0, spread=0.5)
    assert float(cosine) == pytest.approx(0.9)
    assert float(loss) == pytest.approx(0.1 / 0.5 + 10 * 2 * (0.6 / 0.5) ** 2 / 4)


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    rates = [trapezoid(step, 100, 10, 0.2) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == pytest.approx([1.0] * 72)
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0.0


def test_the_margin_by_hand() -> None:
    module = ArcFaceTraining(ArcFaceSettings(), classes=2, steps=1)
    with torch.no_grad():
        module.loss.W.zero_()
        module.loss.W[0, 0] = module.loss.W[1, 1] = 1.0  # (D, C): the classes are two axes
    vector = torch.zeros(1, EMBEDDING)
    vector[0, 0], vector[0, 1] = 0.5, math.sqrt(0.75)  # 60 degrees from its class, 30 from the other
    loss = module.loss(3 * vector, torch.tensor([0])).detach()  # its length does not count
    # logits 64 cos(60 deg + 0.5 rad) = 1.510 and 64 cos(30 deg) = 55.426; softmax: their difference, to 1e-20
    assert float(loss) == pytest.approx(64 * (math.cos(math.pi / 6) - math.cos(math.pi / 3 + 0.5)), abs=1e-3)
    assert float(loss) == pytest.approx(53.915, abs=1e-2)


def test_classes_start_at_the_mean_of_their_vectors() -> None:
    module = ArcFaceTraining(ArcFaceSettings(size=SMALL, batch=4), classes=2, steps=1)
    pixels = torch.from_numpy(crops(6, SIZE).copy())
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    module.centre_classes(pixels, labels)
    assert module.network.training
    module.network.eval()
    with torch.no_grad():
        vectors = F.normalize(module.network(network_input(pixels, SMALL)))
    for number in range(2):
        expected = F.normalize(vectors[labels == number].mean(0), dim=0)
        assert torch.allclose(module.loss.W[:, number], expected, atol=1e-5)


def test_light_changes_colours_and_nothing_else_does() -> None:
    pixels = torch.tensor([200, 100, 50], dtype=torch.uint8)[:, None, None].expand(1, 3, SIZE, SIZE)
    colours = {light: set[tuple[int, ...]]() for light in (False, True)}
    for light, seen in colours.items():
        augment = augmentation(light=light)
        for seed in range(5):
            torch.manual_seed(seed)
            view = augment(pixels)
            assert (view.dtype, view.shape) == (torch.uint8, pixels.shape)
            seen.add(tuple(view[0].flatten(1).median(1).values.tolist()))  # less than half is erased
    assert colours[False] == {(200, 100, 50)}
    assert len(colours[True]) == 5


def test_a_network_starts_from_the_checkpoint_given(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = MobileNetV3Embedder()
    torch.save({"state_dict": {f"network.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "last.ckpt")
    settings = replace(ArcFaceSettings(), init=str(tmp_path / "last.ckpt"), anchor=1.0)
    module = ArcFaceTraining(settings, classes=2, steps=1)
    assert module.anchor is not None
    for network in (module.network, module.anchor):
        assert all(torch.equal(value, source.state_dict()[key]) for key, value in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in module.anchor.parameters())
    load_embedder(source, NETWORK.locate())  # the ONNX file that ships
    stored = read_tensors(NETWORK.locate(), expected="weights")
    assert all(torch.equal(value, stored[f"network.{key}"]) for key, value in source.state_dict().items())
    torch.save({"state_dict": {"network.x": torch.zeros(1)}}, tmp_path / "other.ckpt")
    for path, words in (
        ("gone.ckpt", "gone.ckpt: expected an .onnx, .safetensors or .ckpt file, found none"),
        ("other.ckpt", "expected the weights of MobileNetV3Embedder"),
    ):
        with pytest.raises(WeightsError, match=words):
            load_embedder(source, tmp_path / path)


def test_without_data_the_error_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="pass --data DIR"):
        make_views([], tmp_path / "views", DistillSettings())
