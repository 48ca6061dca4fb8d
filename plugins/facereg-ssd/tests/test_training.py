"""The recipe: samples, what a run starts from and leaves behind, resuming; once with VGG16 itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facereg_ssd.networks import build_network, vgg_convolutions
from facereg_ssd.pictures import FacePictures, collate, read_sample
from facereg_ssd.recipe import SCHEDULES, SsdSettings, SsdTraining
from facereg_ssd.starting import VGG_LAYERS, load_network
from safetensors.torch import save_file
from torchvision.models import vgg16
from torchvision.models.detection.ssd import SSD

from facereg.data.boxes import LabelledImage
from facereg.data.readable import left_out
from facereg.errors import ContractError, DatasetError, ImageError, WeightsError
from facereg.images import write_image
from facereg.registry.installed import Registry
from facereg.testing.pictures import noise, photograph
from facereg.training import read_tensors
from facereg.training.curves import read_log

pytestmark = pytest.mark.train
Train = Callable[..., Path]


def labelled(folder: Path) -> LabelledImage:
    write_image(folder / "a.png", noise(100, 200))
    boxes = np.array([[9.5, 9.5, 29.5, 39.5], [19.5, 19.5, 59.5, 59.5]], np.float32)
    return LabelledImage.without_points(folder / "a.png", boxes, np.array([False, True]))


def test_ignored_faces_are_painted_over_and_others_are_not(tmp_path: Path) -> None:
    item = labelled(tmp_path)
    image, boxes = read_sample(item, longest=200)
    assert boxes.tolist() == [[10, 10, 30, 40]]  # from the corner
    assert (image[45:60, 20:60] == [123, 117, 104]).all()
    assert np.array_equal(image[10:40, 10:30], noise(100, 200)[10:40, 10:30])
    assert read_sample(item, longest=100)[1].tolist() == [[5, 5, 15, 20]]


def test_samples_keep_boxes_in_the_square(tmp_path: Path) -> None:
    pictures = FacePictures([labelled(tmp_path)], longest=200, rows=6)
    pixels, boxes, counts = collate([pictures[row] for row in range(6)])
    assert pixels.shape == (6, 3, 300, 300)
    assert pixels.dtype == torch.uint8
    assert len(boxes) == int(counts.sum()) >= 3
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 300
    assert bool((boxes[:, 2:] > boxes[:, :2]).all())
    assert len({picture.sum().item() for picture in pixels}) == 6  # each distorted otherwise


def test_a_row_is_a_function_of_its_number_and_the_seed(tmp_path: Path) -> None:
    pictures, others = (FacePictures([labelled(tmp_path)], longest=200, rows=9, seed=seed) for seed in (0, 1))
    state = torch.get_rng_state()
    first = pictures[7][0]
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's randomness changes
    torch.manual_seed(3)
    assert torch.equal(pictures[7][0], first)
    assert not torch.equal(others[7][0], first)


def test_every_picture_comes_once_before_one_comes_again(tmp_path: Path) -> None:
    items = []
    for value in range(4):
        write_image(tmp_path / f"{value}.png", np.full((30, 30, 3), value, np.uint8))
        items.append(LabelledImage.without_points(tmp_path / f"{value}.png", np.array([[0, 0, 9, 9]], np.float32)))
    pictures = FacePictures(items, longest=30, rows=12, augment=False)
    shown = [int(pictures[row][0].max()) for row in range(12)]
    assert [sorted(shown[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert shown != sorted(shown[:4]) * 3


def test_without_augmentation_pictures_are_only_stretched(tmp_path: Path) -> None:
    pictures = FacePictures([labelled(tmp_path)], longest=200, rows=2, augment=False)
    (first, boxes), (second, _) = pictures[0], pictures[1]
    assert torch.equal(first, second)
    assert boxes.tolist() == [pytest.approx([15, 30, 45, 120])]  # 200 x 100 to 300 x 300


def test_no_picture_is_an_error() -> None:
    with pytest.raises(DatasetError, match="at least one labelled picture"):
        FacePictures([], longest=200, rows=1)


def test_a_picture_that_cannot_be_read_teaches_nothing(tmp_path: Path) -> None:
    good, failed = labelled(tmp_path), list[ImageError]()
    (tmp_path / "cut.png").write_bytes(good.path.read_bytes()[:200])
    with left_out(failed.append):
        pictures = FacePictures([replace(good, path=tmp_path / "cut.png"), good], longest=200, rows=1)
    assert len(pictures.pictures) == 1
    assert [Path(error.path).name for error in failed] == ["cut.png"]


def test_the_rates_by_hand() -> None:
    cosine, steps = SCHEDULES["cosine"], SCHEDULES["steps"]
    assert [cosine(step, 12, 2) for step in (0, 1, 2, 7, 12)] == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])
    # a tenth from step 8 of 12 on, a hundredth from step 11
    assert [steps(step, 12, 2) for step in (0, 1, 7, 8, 10, 11)] == pytest.approx([0.5, 1.0, 1.0, 0.1, 0.1, 0.01])
    with pytest.raises(ContractError, match="expected cosine or steps, got 'linear'"):
        SsdTraining(SsdSettings(schedule="linear"))


def empty_network() -> SSD:
    """Return VGG16's network with weights of zero, which takes no time to make."""
    with torch.device("meta"):
        network = build_network()
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    return network


def test_the_network_has_as_many_parameters_as_published() -> None:
    # torchvision states 35,641,826 for 91 classes; a class more is 9 * 14,848 weights and 30 biases in the heads
    count = sum(parameter.numel() for parameter in empty_network().parameters())
    assert count == 35_641_826 - 89 * (9 * 14_848 + 30)


def test_a_run_starts_from_the_features_of_vgg16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        published = vgg16().state_dict()
    state = {
        key: torch.full(value.shape, float(key.split(".")[1]) + (0.5 if key.endswith("bias") else 0))
        for key, value in published.items()
        if key.startswith("features.")
    }
    torch.save(state, tmp_path / "vgg16_features.pth")
    monkeypatch.setattr("facereg_ssd.recipe.build_network", empty_network)
    network = SsdTraining(SsdSettings(init=str(tmp_path / "vgg16_features.pth"), frozen=2)).network
    convolutions = vgg_convolutions(network)
    assert [float(one.weight.detach().mean()) for one in convolutions] == pytest.approx(VGG_LAYERS)
    assert [float(one.bias.detach().mean()) for one in convolutions if one.bias is not None] == pytest.approx(
        [layer + 0.5 for layer in VGG_LAYERS]
    )
    held = {id(parameter) for one in convolutions[:2] for parameter in one.parameters()}
    assert {id(p) for p in network.parameters() if not p.requires_grad} == held


def test_a_run_starts_from_a_run(weights: Path, thin: Callable[[], SSD]) -> None:
    network = thin()
    load_network(network, weights / "ssd300-vgg16.onnx")
    stored = tensors(weights)
    assert all(torch.equal(value, stored[f"network.{key}"]) for key, value in network.state_dict().items())


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return read_tensors(out / "ssd300-vgg16.onnx", expected="a run's network")


def test_a_file_of_something_else_is_refused(tmp_path: Path, thin: Callable[[], SSD]) -> None:
    save_file({"network.x": torch.zeros(1)}, tmp_path / "other.safetensors")
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights", "utf-8")
    wanted = {
        "gone.pth": "found none at",
        "other.safetensors": "got other tensors",
        "other.pth": "expected VGG16's weights",
        "text.pth": "expected VGG16's weights",
    }
    for name, words in wanted.items():
        with pytest.raises(WeightsError, match=words):
            load_network(thin(), tmp_path / name)


def test_a_run_leaves_what_a_detector_opens(weights: Path) -> None:
    result = json.loads((weights / "result.json").read_text())
    assert result["onnx_difference_from_torch"] < 1e-4
    assert (result["scores"]["pictures"], result["scores"]["faces"]) == (1, 1)
    assert {"last.ckpt", "curve.png", "ssd300-vgg16.onnx"} <= {path.name for path in weights.iterdir()}


def test_the_loss_falls(weights: Path) -> None:
    values = [value for _, value in read_log(weights / "log" / "metrics.csv")["loss"]]
    assert values[-1] < 0.7 * values[0]  # of steps 20 and 60


def test_a_run_that_was_stopped_ends_as_one_that_was_not(run_recipe: Train, tmp_path: Path) -> None:
    given = ("warmup=5",)  # until then the rate of a step does not hang on how many the run has
    whole = run_recipe(tmp_path / "whole", *given, "steps=2")
    run_recipe(tmp_path / "parts", *given, "steps=1")
    before = tensors(tmp_path / "parts")
    parts = run_recipe(tmp_path / "parts", *given, "steps=2", resume=True)
    expected, got = (tensors(folder) for folder in (whole, parts))
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert any(not torch.equal(before[key], got[key]) for key in before)


@pytest.mark.slow
def test_vgg16_itself_goes_from_pictures_to_faces(run_recipe: Train, tmp_path: Path) -> None:
    run_recipe(tmp_path / "out", "steps=1", build=build_network)
    assert json.loads((tmp_path / "out" / "result.json").read_text())["onnx_difference_from_torch"] < 1e-4
    image = photograph()
    assert image is not None
    detector = Registry.load().create(
        "ssd300-vgg16", role="detector", weights=tmp_path / "out", threshold=0.0, candidates=5, iou=1.0
    )
    with detector:
        [faces] = detector.detect([image])
    assert len(faces) == 5
