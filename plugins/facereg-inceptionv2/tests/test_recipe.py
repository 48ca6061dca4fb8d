"""Triplets and their loss by hand, a run of the recipe, and that a stop changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import torch
import torch.nn.functional as F
from facereg_inceptionv2 import recipe
from facereg_inceptionv2.networks import InceptionV2
from facereg_inceptionv2.recipe import TripletSettings, TripletTraining, triplet_loss
from facereg_inceptionv2.triplets import draw_triplets, read_triplets, write_triplets
from torch import nn

from facereg.errors import ContractError, DatasetError, FaceregError, WeightsError
from facereg.images import write_image
from facereg.testing.pictures import crops
from facereg.training import fitting, read_tensors

pytestmark = pytest.mark.train
LABELS = np.array([0, 0, 1, 1, 1, 2, 2], np.int64)
FILES = tuple(f"set/{label}/{row}.png" for row, label in enumerate(LABELS))


def test_the_loss_by_hand() -> None:
    anchor, positive, negative = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    triplets = torch.stack([torch.stack([anchor, positive, negative]), torch.stack([anchor, negative, positive])])
    # squared distances: 0.04 + 0.36 = 0.4 to the positive, 2 to the negative
    assert float(triplet_loss(triplets[:1], margin=0.2)) == 0
    assert float(triplet_loss(triplets[:1], margin=2.0)) == pytest.approx(0.4)
    assert float(triplet_loss(triplets, margin=0.2)) == pytest.approx((0 + 2 - 0.4 + 0.2) / 2)  # mean over both


def test_every_crop_is_an_anchor_so_often_and_every_draw_is_possible() -> None:
    triplets = draw_triplets(LABELS, each=200, seed=0)
    anchors, positives, negatives = triplets.T
    assert np.bincount(anchors).tolist() == [200] * 7
    assert (LABELS[anchors] == LABELS[positives]).all()
    assert (anchors != positives).all()
    assert (LABELS[anchors] != LABELS[negatives]).all()
    # of 7 anchors: 1 or 2 positives, 5 or 4 negatives
    assert len({tuple(row) for row in triplets.tolist()}) == 2 * 1 * 5 + 3 * 2 * 4 + 2 * 1 * 5
    assert (draw_triplets(LABELS, each=200, seed=0) == triplets).all()
    assert (draw_triplets(LABELS, each=200, seed=1) != triplets).any()


def test_triplets_are_read_as_they_were_written(tmp_path: Path) -> None:
    triplets = draw_triplets(LABELS, each=3, seed=0)
    write_triplets(tmp_path / "t.csv", triplets, FILES)
    assert (tmp_path / "t.csv").read_text("utf-8").startswith("anchor,positive,negative\nset/0/0.png,set/0/1.png,")
    assert (read_triplets(tmp_path / "t.csv", FILES, LABELS) == triplets).all()
    other = tuple(reversed(FILES))  # rows are found by name, wherever they lie
    assert (read_triplets(tmp_path / "t.csv", other, LABELS[::-1]) == 6 - triplets).all()


def test_triplets_that_a_program_for_tables_saved_are_read(tmp_path: Path) -> None:
    triplets = draw_triplets(LABELS, each=3, seed=0)
    write_triplets(tmp_path / "t.csv", triplets, FILES)
    text = (tmp_path / "t.csv").read_text("utf-8").replace("\n", "\r\n")
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig") + b"\r\n\r\n")
    assert (read_triplets(tmp_path / "t.csv", FILES, LABELS) == triplets).all()


def test_names_that_are_no_utf8_are_written_and_read(tmp_path: Path) -> None:
    files = tuple(os.fsdecode(name.encode() + b"\xfc") for name in FILES)
    triplets = draw_triplets(LABELS, each=3, seed=0)
    write_triplets(tmp_path / "t.csv", triplets, files)
    assert (read_triplets(tmp_path / "t.csv", files, LABELS) == triplets).all()


def test_triplets_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(FaceregError, match=r"t.csv: cannot be written \(Is a directory\)"):
        write_triplets(tmp_path / "t.csv", draw_triplets(LABELS, each=3, seed=0), FILES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected the line 'anchor,positive,negative'"),
        ("a,b,c\nset/0/0.png,set/0/1.png,set/1/2.png\n", "expected the line 'anchor,positive,negative'"),
        ("anchor,positive,negative\n", "and triplets after it"),
        ("anchor,positive,negative\nset/0/0.png,set/0/9.png,set/1/2.png\n", "t.csv:2: expected three .* 'set/0/9.png'"),
        ("anchor,positive,negative\nset/0/0.png,set/0/1.png\n", "got 2 names"),
        ("anchor,positive,negative\nset/0/0.png,set/1/2.png,set/1/3.png\n", "t.csv:2: expected two pictures of one"),
        ("anchor,positive,negative\nset/0/0.png,set/0/0.png,set/1/3.png\n", "t.csv:2: expected two pictures of one"),
    ],
    ids=["empty", "header", "none", "unknown", "short", "people", "same"],
)
def test_a_file_of_other_triplets_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=words):
        read_triplets(tmp_path / "t.csv", FILES, LABELS)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Return a folder of eight people, six altered copies of one crop each."""
    rng = np.random.default_rng(0)
    for person, pixels in enumerate(crops(8, 112)):
        for number in range(6):
            altered = np.clip(pixels * rng.uniform(0.7, 1.3) + rng.normal(0, 8, pixels.shape), 0, 255)
            write_image(tmp_path / f"people/{person}/{number}.png", altered.astype(np.uint8))
    return tmp_path / "people"


@pytest.fixture
def train(people: Path, thin: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the recipe with the thin network and return the folder it wrote."""
    monkeypatch.setattr(recipe, "InceptionV2", thin)

    def run(out: Path, *, resume: bool = False, **given: object) -> Path:
        settings = {"batch": 8, "each": 4, "epochs": 4, "warmup": 2, "lr": 0.01, "devices": 1, "size": 32, **given}
        recipe.run([people], out, resume, {key: str(value) for key, value in settings.items()})
        return out

    return run


def test_a_run_learns_from_the_triplets_it_wrote_and_leaves_all_files(
    train: Callable[..., Path], tmp_path: Path
) -> None:
    out = train(tmp_path / "out", margin=1.0, keep_out=3, looks=4)
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert result["recipe"] == "inceptionv2-triplet"
    assert 0 <= result["scores"]["strangers"] <= 1
    named = {name for line in (out / "triplets.csv").read_text("utf-8").splitlines()[1:] for name in line.split(",")}
    learned = {name.split("/")[1] for name in named}
    assert 2 <= len(learned) < 8  # the others were kept out
    for name in ("inceptionv2-triplet.onnx", "last.ckpt", "best.ckpt", "log/metrics.csv", "curve.png"):
        assert (out / name).stat().st_size > 100, name
    best = torch.load(out / "best.ckpt", weights_only=True)["state_dict"]
    published = read_tensors(out / "inceptionv2-triplet.onnx", expected="a run")
    own = [name for name in published if name.startswith("network.")]
    assert own
    assert all(torch.equal(published[name], best[name]) for name in own)
    # another seed draws no other triplets where a file is named; a run of one step tells the loss at the beginning
    given = {"triplets": out / "triplets.csv", "seed": 1, "epochs": 0.01, "lr": 1e-9}
    begun = train(tmp_path / "begun", margin=1.0, keep_out=3, looks=1, **given)
    assert not (begun / "triplets.csv").exists()
    first = json.loads((begun / "result.json").read_text("utf-8"))["scores"]["loss"]
    assert result["scores"]["loss"] < 0.2 * first


def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 5)
    given = {"keep_out": 3, "looks": 6, "dropout": 0.5}
    whole = train(tmp_path / "whole", **given)
    step, calls = TripletTraining.training_step, 0

    def stopping(self: TripletTraining, batch: tuple[torch.Tensor], index: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyError("stopped")
        return step(self, batch, index)

    monkeypatch.setattr(TripletTraining, "training_step", stopping)
    with pytest.raises(KeyError, match="stopped"):
        train(tmp_path / "parts", **given)
    monkeypatch.setattr(TripletTraining, "training_step", step)
    assert torch.load(tmp_path / "parts/last.ckpt", weights_only=True)["global_step"] == 5
    resumed = train(tmp_path / "parts", resume=True, **given)
    for name in ("last.ckpt", "best.ckpt"):
        expected, got = (torch.load(out / name, weights_only=True)["state_dict"] for out in (whole, resumed))
        assert all(torch.equal(expected[key], got[key]) for key in expected), name


def test_settings_that_a_resumed_run_changes_are_told(
    train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "out", epochs=0.1)
    train(tmp_path / "out", epochs=0.1, resume=True)
    assert "other settings" not in capsys.readouterr().err
    train(tmp_path / "out", epochs=0.2, lr=0.02, resume=True)
    assert "goes on with other settings than before: epochs 0.1 before, 0.2 now, lr 0.01 before, 0.02 now; rates" in (
        capsys.readouterr().err
    )


def test_a_run_starts_from_the_weights_given(tmp_path: Path) -> None:
    source = InceptionV2()
    torch.save({"state_dict": {f"network.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "last.ckpt")
    network = TripletTraining(TripletSettings(init=str(tmp_path / "last.ckpt")), steps=1).network
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in network.state_dict().items())
    torch.save({"state_dict": {"network.x": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(WeightsError, match=r"other.ckpt: expected the weights of InceptionV2, got other tensors"):
        TripletTraining(TripletSettings(init=str(tmp_path / "other.ckpt")), steps=1)


def test_vectors_have_unit_length_in_float32(thin: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "InceptionV2", thin)
    module = TripletTraining(TripletSettings(size=32), steps=1)
    with torch.autocast("cpu", torch.bfloat16):
        vectors = module.vectors(torch.from_numpy(crops(2, 112).copy()))
    assert vectors.dtype == torch.float32
    assert torch.allclose(vectors, F.normalize(vectors), atol=1e-6)


def test_without_data_the_error_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="pass --data DIR"):
        recipe.run([], tmp_path, False, {})


@pytest.mark.parametrize(("name", "lowest"), [("size", 32), ("least", 2), ("looks", 1)])
def test_a_setting_that_is_too_low_is_one_line(name: str, lowest: int, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"--set {name}: expected {lowest} or more, got {lowest - 1}"):
        recipe.run([tmp_path], tmp_path, False, {name: str(lowest - 1)})
