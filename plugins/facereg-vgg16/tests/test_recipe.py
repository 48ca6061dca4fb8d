"""The batches of the recipe, a run of it, and that a stop changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch
from facereg_vgg16 import recipe
from facereg_vgg16.recipe import OnlineTripletSettings, OnlineTripletTraining, draw_batches
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from facereg.errors import ContractError, DatasetError
from facereg.images import write_image
from facereg.testing.pictures import crops
from facereg.training import Batches, Identities, fitting, parse_settings, read_tensors

pytestmark = pytest.mark.train


def identities(counts: list[int]) -> Identities:
    labels = np.repeat(np.arange(len(counts)), counts)
    files = tuple(f"set/{label}/{row}.png" for row, label in enumerate(labels))
    return Identities(np.zeros((len(labels), 2, 2, 3), np.uint8), labels, tuple(map(str, range(len(counts)))), files)


def test_a_batch_has_four_images_of_each_of_sixteen_people() -> None:
    settings = OnlineTripletSettings()
    assert (settings.people, settings.each, settings.batch) == (16, 4, 64)
    held = identities([2, 3, 4, 5] * 10)
    sampler = draw_batches(held, people=16, each=4)
    loader = DataLoader(TensorDataset(torch.arange(len(held.labels))), 64, sampler=sampler)
    batches = Batches(loader, steps=9, seed=3)
    drawn = [batches.rows_of(step) for step in range(9)]
    for rows in drawn:
        assert sorted(np.unique(held.labels[rows], return_counts=True)[1].tolist()) == [4] * 16
        for person in set(held.labels[rows]):
            own = {row for row in rows if held.labels[row] == person}
            assert len(own) == 4 or (held.labels == person).sum() < 4  # twice only where a person has fewer
    again = Batches(loader, steps=9, seed=3)
    assert [again.rows_of(step) for step in reversed(range(9))] == drawn[::-1]  # whatever was asked for before
    assert Batches(loader, steps=9, seed=4).rows_of(0) != drawn[0]
    assert len({tuple(sorted(rows)) for rows in drawn}) == 9


def test_processes_have_whole_people(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import distributed

    held = identities([4] * 20)
    loader = DataLoader(TensorDataset(torch.arange(80)), 32, sampler=draw_batches(held, people=16, each=4))
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    seen: set[int] = set()
    for rank in range(2):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        people = held.labels[Batches(loader, steps=1, seed=0).rows_of(0)]
        assert np.unique(people, return_counts=True)[1].tolist() == [4] * 8
        seen |= set(people.tolist())
    assert len(seen) == 16


def test_too_few_people_and_unknown_mining_are_one_line() -> None:
    with pytest.raises(DatasetError, match="expected at least 16 people, those of a batch, got 3; pass --set people=3"):
        draw_batches(identities([4, 4, 4]), people=16, each=4)
    with pytest.raises(ContractError, match="batch-hard"):
        parse_settings(OnlineTripletSettings, {"mining": "hardest"})


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Return a folder of eight people, five altered copies of one crop each."""
    rng = np.random.default_rng(0)
    for person, pixels in enumerate(crops(8, 112)):
        for number in range(5):
            altered = np.clip(pixels * rng.uniform(0.7, 1.3) + rng.normal(0, 8, pixels.shape), 0, 255)
            write_image(tmp_path / f"people/{person}/{number}.png", altered.astype(np.uint8))
    return tmp_path / "people"


@pytest.fixture
def train(people: Path, thin: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the recipe with the thin network and return the folder it wrote."""
    monkeypatch.setattr(recipe, "build_network", thin)

    def run(out: Path, *, resume: bool = False, **given: object) -> Path:
        settings = {"people": 4, "each": 3, "epochs": 8, "warmup": 2, "lr": 0.01, "devices": 1, "size": 32, **given}
        recipe.run([people], out, resume, {key: str(value) for key, value in settings.items()})
        return out

    return run


def test_a_run_learns_and_leaves_all_files(train: Callable[..., Path], tmp_path: Path) -> None:
    given = {"mining": "batch-hard", "margin": 1.0, "keep_out": 3, "looks": 4}
    out = train(tmp_path / "out", **given)
    first = json.loads((train(tmp_path / "one", epochs=0.01, lr=1e-9, **given) / "result.json").read_text("utf-8"))
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert result["recipe"] == "vgg16-online-triplet"
    assert result["settings"]["mining"] == "batch-hard"
    assert result["scores"]["loss"] < 0.8 * first["scores"]["loss"]
    assert 0 <= result["scores"]["strangers"] <= 1
    for name in ("vgg16-online-triplet.onnx", "last.ckpt", "log/metrics.csv", "curve.png"):
        assert (out / name).stat().st_size > 100, name
    best = torch.load(out / "best.ckpt", weights_only=True)["state_dict"]
    published = read_tensors(out / "vgg16-online-triplet.onnx", expected="a run")
    own = [name for name in published if name.startswith("network.")]
    assert own
    assert all(torch.equal(published[name], best[name]) for name in own)


def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr("facereg.training.embedders.save_run", lambda *given, **more: None)
    whole = train(tmp_path / "whole", dropout=0.5)
    step, calls = OnlineTripletTraining.training_step, 0

    def stopping(self: OnlineTripletTraining, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyError("stopped")
        return step(self, batch, index)

    monkeypatch.setattr(OnlineTripletTraining, "training_step", stopping)
    with pytest.raises(KeyError, match="stopped"):
        train(tmp_path / "parts", dropout=0.5)
    monkeypatch.setattr(OnlineTripletTraining, "training_step", step)
    assert torch.load(tmp_path / "parts/last.ckpt", weights_only=True)["global_step"] == 5
    resumed = train(tmp_path / "parts", resume=True, dropout=0.5)
    expected, got = (torch.load(out / "last.ckpt", weights_only=True)["state_dict"] for out in (whole, resumed))
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_a_run_that_collapses_says_so(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Constant(nn.Module):
        def __init__(self, *, dropout: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(256))

        def forward(self, pixels: Tensor) -> Tensor:
            return self.weight.expand(len(pixels), -1)

    monkeypatch.setattr(recipe, "build_network", Constant)
    monkeypatch.setattr("facereg.training.embedders.save_run", lambda *given, **more: None)
    monkeypatch.setattr("facereg.training.embedders.COLLAPSED_STEPS", 5)
    train(tmp_path / "out", mining="batch-hard")
    assert capfd.readouterr().err.count("collapsed: for 5 steps") == 1


@pytest.mark.parametrize(("name", "lowest"), [("size", 32), ("each", 2), ("looks", 1)])
def test_a_setting_that_is_too_low_is_one_line(name: str, lowest: int, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"--set {name}: expected {lowest} or more, got {lowest - 1}"):
        recipe.run([tmp_path], tmp_path, False, {name: str(lowest - 1)})
