"""What recipes for embedders share: what the network is given, people kept out, collapse said, weights in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from facereg.errors import DatasetError, WeightsError
from facereg.training import embedders, fitting
from facereg.training.embedders import (
    DeployedEmbedder,
    EmbedderSettings,
    EmbedderTraining,
    load_embedder,
    network_input,
    tpr_of,
    turned_and_mirrored,
)
from facereg.training.fitting import Judged, fit

pytestmark = pytest.mark.train


class Colours(nn.Module):
    """The mean colour of a crop as a vector, and a weight that changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3)) + self.weight - self.weight.detach()


class Rising(EmbedderTraining):
    """Learns a weight that grows by 1 a step; people kept out are judged by what a list says."""

    network: Colours

    def __init__(self, judgements: list[float]) -> None:
        super().__init__(Colours(), EmbedderSettings(size=4, lr=1, weight_decay=0, warmup=1, decay=0), steps=6)
        self.judgements = judgements

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        with torch.no_grad():
            self.network.weight.add_(1)
        loss: Tensor = 0 * self.network(torch.zeros(1, 3, 4, 4)).sum()
        self.log("loss", loss)
        return loss

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log("judged", self.judgements.pop(0))


def loader(batch: int = 2) -> DataLoader[tuple[Tensor, ...]]:
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 4, 4, 3)
    return DataLoader(TensorDataset(images, torch.tensor([0, 0, 1, 1])), batch)


def test_a_run_ends_with_the_weights_that_were_judged_best(tmp_path: Path) -> None:
    module = Rising([0.2, 0.7, 0.4])
    scores = fit(module, loader(), tmp_path, steps=6, seed=0, devices=1, judged=Judged(loader(), by="judged", looks=3))
    assert module.network.weight.tolist() == [5, 5, 5]  # 1, and 1 for each of four steps
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == 4
    assert scores["judged"] == pytest.approx(0.7)


@pytest.mark.parametrize("judgements", [[0.2, 0.7, 0.4], [0.7, 0.2, 0.4], [0.2, 0.4, 0.7]])
def test_a_resumed_run_remembers_the_best(
    judgements: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 3)
    judged = Judged(loader(), by="judged", looks=3)
    fit(Rising(judgements[:2]), loader(), tmp_path, steps=4, seed=0, devices=1, judged=Judged(loader(), "judged", 2))
    module = Rising(judgements[2:])
    scores = fit(module, loader(), tmp_path, steps=6, seed=0, devices=1, resume=True, judged=judged)
    assert scores["judged"] == pytest.approx(0.7)
    assert module.network.weight[0] == 1 + 2 * (1 + judgements.index(0.7))


def test_true_accepts_at_one_percent_by_hand() -> None:
    # 150 people at right angles: 11,175 pairs of strangers at 0; of four more, one pair is found, another is as far
    # from each other as strangers are
    vectors = np.eye(152, dtype=np.float32)[[*range(150), 150, 150, 151, 0]]
    labels = np.array([*range(150), 150, 150, 151, 151])
    assert tpr_of(vectors, labels) == pytest.approx(1 / 2)
    few = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], np.float32)
    # cosines of strangers: 0.6, 0, 0.96, 0.6; of the two pairs 0.8 each, below the one false accept allowed
    assert tpr_of(few, np.array([0, 0, 1, 1])) == 1
    assert tpr_of(few, np.array([0, 1, 1, 0])) == pytest.approx(1 / 2)  # strangers 0.8, 0.6, 0.6, 0.8; pairs 0.96, 0
    with pytest.raises(DatasetError, match="keep_out: expected several people with two pictures"):
        tpr_of(few, np.arange(4))


def test_pixels_are_scaled_and_resized() -> None:
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(2, 8, 8, 3)
    for size in (4, 8, 16):
        pixels = network_input(images, size)
        assert pixels.shape == (2, 3, size, size)
        # (0 - 127.5) / 127.5, (255 - 127.5) / 127.5, (51 - 127.5) / 127.5
        assert pixels[0, :, 1, 2].tolist() == pytest.approx([-1, 1, -0.6], abs=1e-6)
    stripes = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    assert float(network_input(stripes, 4).abs().max()) < 0.3  # smaller ones are smoothed, not sampled


def test_images_are_turned_each_by_an_angle_of_its_own_and_half_of_them_mirrored() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(0, 255, 8, dtype=torch.uint8)[:32]
    images = ramp[None, None, :, None].expand(200, 32, 32, 3)  # brighter to the right
    views = turned_and_mirrored(images, degrees=10)
    assert (views.shape, views.dtype) == (images.shape, torch.uint8)
    middle = views[:, 8:24, 8:24, 0].float()
    right, down = middle.diff(dim=2).mean((1, 2)), middle.diff(dim=1).mean((1, 2))
    assert 70 < int((right < 0).sum()) < 130
    angles = torch.rad2deg(torch.atan(down / right.abs()))
    assert 7 < float(angles.max()) < 10.5
    assert -10.5 < float(angles.min()) < -7
    assert len(set(angles.round(decimals=2).tolist())) > 80
    still = turned_and_mirrored(images, degrees=0)
    assert {tuple(row) for row in still[:, 0, :, 0].tolist()} == {tuple(ramp.tolist()), tuple(ramp.flip(0).tolist())}


def test_vectors_that_are_all_one_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    module, loss = Rising([]), torch.tensor(0.2)
    logged: list[dict[str, Tensor]] = []
    module.log_dict = lambda values, **given: logged.append(values)  # type: ignore[method-assign]
    apart, one = torch.eye(4), torch.ones(4, 4) / 2
    for _ in range(embedders.COLLAPSED_STEPS - 1):
        module.watch(loss, one)
    module.watch(loss, apart)  # begins to count anew
    for _ in range(embedders.COLLAPSED_STEPS - 1):
        module.watch(loss, one)
    assert capsys.readouterr().err == ""
    for _ in range(50):
        module.watch(loss, one)
    [line] = capsys.readouterr().err.splitlines()
    assert "collapsed: for 100 steps all vectors have been one" in line
    assert "loss 0.2, margin 0.2" in line
    # of four vectors at right angles every two differ by 2, and each from itself by 0: 2 * 12 / 16
    assert float(logged[embedders.COLLAPSED_STEPS - 1]["spread"]) == pytest.approx(1.5)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"network.weight": torch.full((3,), 7.0), "loss.W": torch.zeros(1)}}, tmp_path / "a.ckpt")
    network = Colours()
    load_embedder(network, tmp_path / "a.ckpt")
    assert network.weight.tolist() == [7, 7, 7]
    with pytest.raises(WeightsError, match=r"a.ckpt: expected the weights of Linear, got other tensors"):
        load_embedder(nn.Linear(2, 2), tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"gone.ckpt: expected an .onnx, .safetensors or .ckpt file, found none"):
        load_embedder(network, tmp_path / "gone.ckpt")


def test_a_checkpoint_brings_the_size_it_was_trained_at() -> None:
    deployed = DeployedEmbedder(Colours(), size=64)
    other = DeployedEmbedder(Colours(), size=256)
    other.read_checkpoint_metadata({})
    assert other.size == 256
    other.read_checkpoint_metadata(deployed.checkpoint_metadata())
    assert other.size == 64
