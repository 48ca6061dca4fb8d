"""Networks, samples, losses and the recipe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from facereg_mtcnn.fitting import Batch, Schedule, fit, losses
from facereg_mtcnn.networks import BUILDERS, DeployedONet, DeployedPNet, DeployedRNet
from facereg_mtcnn.plugin import networks
from facereg_mtcnn.samples import (
    NEGATIVE,
    PART,
    POSITIVE,
    Plan,
    Samples,
    classify,
    make_samples,
    windows_around,
)
from typer.testing import CliRunner

from facereg.cli.app import app
from facereg.data.boxes import LabelledImage
from facereg.data.sources import BoxFit, read_sources
from facereg.images import write_image
from facereg.networks.checkpoints import load_checkpoint
from facereg.registry.installed import Registry
from facereg.testing.pictures import noise, photograph
from facereg.training.export import compare_with_torch

pytestmark = pytest.mark.train


@pytest.mark.parametrize(("name", "side"), [("pnet", 37), ("rnet", 24), ("onet", 48)])
def test_what_is_exported_gives_what_was_trained_whatever_the_slopes(name: str, side: int) -> None:
    torch.manual_seed(0)
    deployed = BUILDERS[name]()
    assert isinstance(deployed, (DeployedPNet, DeployedRNet, DeployedONet))
    for module in deployed.network.modules():
        if isinstance(module, torch.nn.PReLU):
            torch.nn.init.uniform_(module.weight, -1.5, 1.5)  # negative ones, and over 1: published weights have both
    pixels = torch.rand(2, 3, side, side) * 255
    with torch.inference_mode():
        # in training mode PReLU is torch's own; these networks have no other layer that depends on the mode
        logits, boxes, _ = deployed.network.train()((pixels - 127.5) / 128)
        inside = torch.cat([pixels, torch.zeros(2, 1, side, side)], 1) if name == "pnet" else pixels
        scores, offsets, *_ = deployed.eval()(inside)
    assert scores.numpy() == pytest.approx(logits.softmax(1)[:, 1].numpy(), abs=1e-4)
    assert offsets.numpy() == pytest.approx(boxes.numpy(), abs=1e-4)


@pytest.mark.parametrize(("name", "count"), [("pnet", 6632), ("rnet", 100178), ("onet", 389040)])
def test_parameters_are_those_of_the_paper(name: str, count: int) -> None:
    network = BUILDERS[name]().network
    # our P- and R-Net also learn landmarks, which only helps training: that head is not the paper's count
    extra = (
        0 if name == "onet" else sum(p.numel() for key, p in network.named_parameters() if key.startswith("points."))
    )
    assert sum(p.numel() for p in network.parameters()) - extra == count


@pytest.mark.parametrize("spec", networks(), ids=lambda spec: spec.name)
def test_the_weights_that_ship_give_in_onnx_what_they_give_in_torch(spec: object) -> None:
    from facereg.networks.spec import NetworkSpec

    assert isinstance(spec, NetworkSpec)
    module = BUILDERS[spec.name.removeprefix("mtcnn-")]()
    load_checkpoint(module, spec.locate())
    assert compare_with_torch(module, spec, spec.locate()) < 1e-4  # relative; the export's own tolerance


def test_the_torch_runner_finds_the_same_faces() -> None:
    image = photograph()
    assert image is not None
    found = []
    for runner in ("onnx", "torch"):
        with Registry.load().create("mtcnn", role="detector", runner=runner) as detector:
            found.append(detector.detect([image])[0])
    assert np.abs(found[0].boxes - found[1].boxes).max() < 0.05  # px; float32 in another order


def test_windows_are_classed_by_their_overlap() -> None:
    face = np.array([[0, 0, 10, 10]], np.float32)
    # one-based and inclusive, so 1..10 is the face itself; IoU 1, 0.5, 0.35 (neither), 0
    windows = np.array([[1, 1, 10, 10], [1, 1, 10, 5], [1, 1, 7, 5], [31, 31, 40, 40]], np.float32)
    kinds, owner = classify(windows, face, face)
    assert kinds.tolist() == [POSITIVE, PART, -1, NEGATIVE]
    assert owner.tolist() == [0, 0, 0, 0]


def test_background_keeps_clear_of_ignored_faces() -> None:
    face, ignored = np.array([[0, 0, 10, 10]], np.float32), np.array([[30, 30, 40, 40]], np.float32)
    kinds, _ = classify(np.array([[31, 31, 40, 40]], np.float32), face, np.concatenate([face, ignored]))
    assert kinds.tolist() == [-1]


def test_windows_around_a_face_are_squares_near_it() -> None:
    rng = np.random.default_rng(0)
    windows = windows_around(np.array([[100, 100, 140, 150]], np.float32), 500, rng)
    sides = windows[:, 2:] - windows[:, :2] + 1
    assert (sides[:, 0] == sides[:, 1]).all()
    assert sides.min() >= 50 * 0.75 - 1
    assert sides.max() <= 50 * 1.25 + 1
    assert np.abs((windows[:, 0] + windows[:, 2]) / 2 - 120).max() <= 50 * 0.3 + 1


def batch(kinds: list[int], points: float = 0.0) -> Batch:
    count = len(kinds)
    return Batch(
        torch.zeros(count, 3, 12, 12),
        torch.tensor(kinds),
        torch.zeros(count, 4),
        torch.full((count, 10), points),
    )


def outputs(count: int, logit: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits = torch.zeros(count, 2)
    logits[:, 1] = logit
    return logits, torch.full((count, 4), 0.5), torch.full((count, 10), 0.2)


def test_losses_by_hand() -> None:
    # undecided logits cost log 2; four offsets 0.5 off cost 1.0; ten coordinates 0.2 off cost 0.4
    total, parts = losses(outputs(4), batch([NEGATIVE, NEGATIVE, POSITIVE, PART]), 1.0)
    assert parts["face"] == pytest.approx(np.log(2), abs=1e-6)
    assert parts["box"] == pytest.approx(1.0)
    assert parts["landmark"] == pytest.approx(0.4, abs=1e-6)
    assert float(total) == pytest.approx(np.log(2) + 0.5 * 1.0 + 1.0 * 0.4, abs=1e-6)


def test_only_the_hardest_share_of_faces_counts() -> None:
    # ten negatives, one of them taken for a face: of the seven hardest one costs much and six cost little
    logits, boxes, points = outputs(10, -10.0)
    logits[0, 1] = 10.0
    _, parts = losses((logits, boxes, points), batch([NEGATIVE] * 10), 1.0)
    assert parts["face"] == pytest.approx(10 / 7, rel=1e-3)


def test_faces_without_points_teach_no_landmarks() -> None:
    _, parts = losses(outputs(2), batch([POSITIVE, POSITIVE], float("nan")), 1.0)
    assert parts["landmark"] == 0.0
    assert np.isfinite(parts["loss"])


def labelled(folder: Path, count: int) -> list[LabelledImage]:
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number in range(count):
        image = noise(80, 90, seed=number)
        image[20:60, 30:70] = 30 * number
        write_image(folder / f"{number}.png", image)
        items.append(LabelledImage.without_points(folder / f"{number}.png", np.array([[30, 20, 70, 60]], np.float32)))
    return items


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    plan = Plan(size=12, inclusive=False, around=30, most=30)
    make_samples(labelled(tmp_path / "images", 4), tmp_path / "samples", plan, propose=None, seed=0)
    samples = Samples.open(tmp_path / "samples")
    schedule = Schedule(steps=6, batch=32, lr=1e-3, weight_decay=0.0, landmark_weight=0.5, seed=0, precision="32")

    def trained(out: Path, stop: int | None) -> dict[str, torch.Tensor]:
        out.mkdir()
        torch.manual_seed(0)
        network = BUILDERS["pnet"]().network
        if stop is not None:
            with pytest.raises(KeyboardInterrupt):
                fit(network, Stopping(samples, stop), out, schedule, resume=False)
            network = BUILDERS["pnet"]().network  # other weights: the checkpoint must bring its own
        fit(network, samples, out, schedule, resume=stop is not None)
        return network.state_dict()

    class Stopping(Samples):
        """Samples that a person interrupts."""

        def __init__(self, inner: Samples, stop: int) -> None:
            for field in ("kinds", "offsets", "points", "crops", "starts"):
                object.__setattr__(self, field, getattr(inner, field))
            self.__class__.left = stop

        left = 0

        def pixels(
            self, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
        ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
            if Stopping.left == 0:
                raise KeyboardInterrupt
            Stopping.left -= 1
            return super().pixels(rows)

    import facereg_mtcnn.fitting as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SAVE_EVERY", 2)
        whole, resumed = trained(tmp_path / "whole", None), trained(tmp_path / "resumed", 4)
    for key, value in whole.items():
        assert torch.allclose(value, resumed[key], atol=1e-6), key


def tree(root: Path) -> None:
    """Write a small tree of crowds, five-point pictures and pseudo-labels in the published layouts."""
    image = photograph()
    assert image is not None
    small = np.ascontiguousarray(image[::4, ::4])  # the face is about 26 x 36 px at (43, 15)
    crowd = []
    for number in range(6):
        write_image(root / "crowds" / "images" / f"{number}.png", np.roll(small, number, 1))
        crowd.append(f"{number}.png\n1\n{43 + number} 15 26 36 0 0 0 0 0 0\n")
    (root / "crowds" / "list.txt").write_text("".join(crowd))
    write_image(root / "five" / "images" / "a.png", small)
    (root / "five" / "list.txt").write_text("a.png 48 28 60 27 55 34 49 40 61 39\n")
    write_image(root / "guessed" / "b.png", small)
    row = {"boxes": [[43, 15, 69, 51]], "scores": [0.9], "points": [[[48, 28], [60, 27], [55, 34], [49, 40], [61, 39]]]}
    rows = [row | {"image": "guessed/b.png"}, row | {"image": "crowds/images/0.png"}]
    (root / "pseudo.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))


def test_sources_meet_in_one_convention(tmp_path: Path) -> None:
    tree(tmp_path)
    hand, rest = read_sources(tmp_path, crowds="crowds/list.txt", pseudo=["pseudo.jsonl"], points=["five/list.txt"])
    assert 3 <= len(hand) <= 6  # a fifth, by the hash of the name, is kept out
    assert {item.path.name for item in rest} == {"a.png", "b.png"}
    by_name = {item.path.name: item for item in (*hand, *rest)}
    assert by_name["a.png"].points[0, 0].tolist() == [48, 28]
    if "0.png" in by_name:  # a pseudo-label lends its points to the box drawn by hand
        assert by_name["0.png"].points[0, 0].tolist() == [48, 28]


def test_boxes_of_a_detector_are_brought_to_hand_drawn_ones() -> None:
    hand = np.array([[0, 0, 20, 40], [100, 100, 120, 140]], np.float32)
    detected = hand + np.array([0, 10, 0, 0], np.float32)  # the detector leaves out the forehead
    assert BoxFit.between(hand, detected)(detected) == pytest.approx(hand)


def test_the_recipe_runs_from_pictures_to_onnx_and_resumes(tmp_path: Path) -> None:
    tree(tmp_path)
    settings = "crowds=crowds/list.txt pseudo=pseudo.jsonl points=five/list.txt min_face=40 batch=16 onet_batch=16"
    steps = "pnet_steps=4 rnet_steps=3 onet_steps=3"
    arguments = ["train", "mtcnn", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    arguments += [word for setting in (settings + " " + steps).split() for word in ("--set", setting)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"pnet.onnx", "rnet.onnx", "onet.onnx", "sha256.json", "results.json"} <= made
    before = (tmp_path / "out" / "rnet.onnx").read_bytes()
    again = CliRunner().invoke(app, [*arguments, "--resume"])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "out" / "rnet.onnx").read_bytes() == before
    with Registry.load().create("mtcnn", role="detector", weights=tmp_path / "out", min_face=40) as detector:
        assert len(detector.detect([noise(64, 64)])) == 1


def test_published_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    from facereg.errors import WeightsError

    result = CliRunner().invoke(app, ["mtcnn-convert", str(tmp_path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, WeightsError)
    assert "pnet.pt" in str(result.exception)
