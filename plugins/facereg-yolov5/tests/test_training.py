"""Network, anchors, targets, losses, scenes and the recipe."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facereg_yolov5.anchors import FACE_ANCHORS, best_recall, fit_anchors, parse_anchors, shape_overlap
from facereg_yolov5.assignment import assign
from facereg_yolov5.commands import anchors_app, pack_app
from facereg_yolov5.losses import Labels, box_overlaps, covered, losses, wing_loss
from facereg_yolov5.networks import YoloV5s, decode
from facereg_yolov5.pictures import Pack, Pictures, pack_pictures
from facereg_yolov5.plugin import NETWORK
from facereg_yolov5.recipe import YoloSettings, YoloTraining, load_network
from facereg_yolov5.scenes import Look, Plan, change_light, colour_matrices, draw_pixels, place_faces, plan_scenes
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

from facereg.data.boxes import LabelledImage
from facereg.data.readable import left_out
from facereg.errors import ContractError, DatasetError, FaceregError, ImageError, WeightsError
from facereg.images import write_image
from facereg.testing.pictures import noise
from facereg.training import average_weights, fitting, read_tensors
from facereg.types import Image

pytestmark = pytest.mark.train
QUIET_LIGHTNING = pytest.mark.filterwarnings(  # hints about loaders and checkpoints, and its own deprecated calls
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
NAN = float("nan")
STILL = Look(hue=0.0, saturation=0.0, value=0.0, blur=0.0, noise=0.0)


@pytest.mark.parametrize(("landmarks", "count"), [(0, 7_022_326), (5, 7_049_296)])
def test_parameters_are_those_published(landmarks: int, count: int) -> None:
    # ten more outputs for each of 3 anchors, from 128 + 256 + 512 channels and three biases: 30 * 899 = 26,970
    assert sum(p.numel() for p in YoloV5s(landmarks=landmarks).parameters()) == count


def test_an_untrained_network_expects_few_faces() -> None:
    # sigmoid(log p) is p / (1 + p): eight faces over 80 * 80 cells at stride 8
    head = YoloV5s().heads[0]
    assert isinstance(head, torch.nn.Conv2d)
    assert head.bias is not None
    share = 8 / 6400
    assert torch.sigmoid(head.bias.detach().view(3, 16)[:, 4]) == pytest.approx(share / (1 + share), rel=1e-5)


def test_decoding_by_hand() -> None:
    maps = [torch.zeros(1, 3, 1, 2, 16), torch.zeros(1, 3, 1, 1, 16), torch.zeros(1, 3, 1, 1, 16)]
    maps[0][0, 1, 0, 1, 5:7] = torch.tensor([0.5, -1.0])  # first landmark of the second anchor, in anchors
    maps[0][0, 1, 0, 1, 2] = math.log(3)  # sigmoid 0.75: (2 * 0.75)^2 = 2.25 widths
    boxes, scores, points = decode(maps, torch.tensor(FACE_ANCHORS, dtype=torch.float32))
    assert boxes.shape == (1, 3 * (2 + 1 + 1), 4)
    row = 1 * 2 + 1  # second anchor (8, 10), second cell: its middle is (12, 4)
    assert boxes[0, row].tolist() == pytest.approx([12 - 9, 4 - 5, 12 + 9, 4 + 5])
    assert scores[0, row] == 0.5
    assert points[0, row, 0].tolist() == pytest.approx([8 + 0.5 * 8, 0 - 1.0 * 10])
    assert points[0, row, 1].tolist() == [8, 0]  # the corner of the cell
    assert boxes[0, -1].tolist() == pytest.approx([16 - 167.5, 16 - 216.5, 16 + 167.5, 16 + 216.5])


def assigned(box: list[float], anchors: list[list[float]]) -> set[tuple[int, int, int]]:
    found = assign(torch.tensor([box]), torch.tensor([0]), torch.tensor(anchors), stride=8, height=4, width=4)
    return set(zip(found.anchor.tolist(), found.column.tolist(), found.row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("centre", "cells"),
    [
        ((10.0, 10.0), {(1, 1), (0, 1), (1, 0)}),  # at 1.25 cells: the first half, so the ones before
        ((14.0, 10.0), {(1, 1), (2, 1), (1, 0)}),
        ((2.0, 2.0), {(0, 0)}),  # nothing lies before the first cell
        ((30.0, 30.0), {(3, 3)}),  # nor after the last
        ((12.0, 12.0), {(1, 1)}),  # in the middle no neighbour is nearer
    ],
)
def test_a_face_is_learned_by_its_cell_and_the_nearest(
    centre: tuple[float, float], cells: set[tuple[int, int]]
) -> None:
    x, y = centre
    assert assigned([x - 2, y - 2, x + 2, y + 2], [[4.0, 4.0]]) == {(0, *cell) for cell in cells}


def test_only_anchors_within_a_ratio_of_four_learn_a_face() -> None:
    # the face is 4 x 8; the last anchor is 4 times as wide, which is not less than 4
    found = assigned([10, 8, 14, 16], [[4, 8], [1.1, 8], [15.9, 8], [16, 8]])
    assert {anchor for anchor, _, _ in found} == {0, 1, 2}


def test_the_complete_iou_by_hand() -> None:
    # raw zeros: a box of the anchor's sides about (0.5, 0.5)
    raw, sides = torch.zeros(2, 4), torch.tensor([[2.0, 2.0], [2.0, 2.0]])
    target = torch.tensor([[-0.5, -0.5, 1.5, 1.5], [0.5, -0.5, 2.5, 1.5]])
    # the second is 1 to the right: IoU 2 / 6, centres 1 apart in a hull of 3 x 2, equal shapes
    assert box_overlaps(raw, sides, target).tolist() == pytest.approx([1.0, 1 / 3 - 1 / 13], abs=1e-5)


def test_the_wing_loss_by_hand() -> None:
    target = torch.tensor([[[0.0, NAN], [12.0, NAN]]])
    predicted = torch.tensor([[[2.0, 5.0], [0.0, 5.0]]], requires_grad=True)
    # 2 off: 10 ln(1 + 2 / 2); 12 off: 12 - 10 + 10 ln(1 + 10 / 2); unknown coordinates cost nothing
    loss = wing_loss(predicted, target)
    assert float(loss.detach()) == pytest.approx((10 * math.log(2) + 2 + 10 * math.log(6)) / 2, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert predicted.grad[..., 1].tolist() == [[0, 0]]


def labels(boxes: list[list[float]], *, ignored: list[list[float]] | None = None) -> Labels:
    count, hidden = len(boxes), ignored or []
    return Labels(
        torch.tensor(boxes).reshape(-1, 4),
        torch.full((count, 5, 2), NAN),
        torch.zeros(count, dtype=torch.int64),
        torch.tensor(hidden).reshape(-1, 4),
        torch.zeros(len(hidden), dtype=torch.int64),
    )


def test_losses_of_an_empty_scene_are_those_of_its_background() -> None:
    maps = [torch.zeros(1, 3, n, n, 16) for n in (8, 4, 2)]
    parts = losses(maps, torch.tensor(FACE_ANCHORS, dtype=torch.float32), labels([]))
    # undecided places cost log 2 at each stride, weighted 4 + 1 + 0.4
    assert float(parts["loss"]) == pytest.approx(5.4 * math.log(2), rel=1e-5)
    assert float(parts["box"]) == float(parts["landmark"]) == 0.0


def test_objectness_learns_the_overlap_of_the_box() -> None:
    maps = [torch.full((1, 3, n, n, 16), -30.0) for n in (8, 4, 2)]
    for raw in maps:
        raw[..., :4] = 0
    # P3, cell (3, 3): about one centre with it the anchors (4, 5), (8, 10), (13, 16) overlap by 20/80, 1 and 80/208.
    # P4 has (23, 29) learn it in three cells; only cell (1, 1), centre 4 px off both ways, keeps a complete IoU over
    # zero: 80/667 less 32 / (23^2 + 29^2). A place that says no costs 30 times its target.
    parts = losses(maps, torch.tensor(FACE_ANCHORS, dtype=torch.float32), labels([[24, 23, 32, 33]]))
    fine, coarse = 1 + 20 / 80 + 80 / 208, 80 / 667 - 32 / 1370
    assert float(parts["objectness"]) == pytest.approx(4 * 30 * fine / 192 + 30 * coarse / 48, abs=2e-3)


def test_places_in_ignored_boxes_are_not_background() -> None:
    raw = torch.zeros(1, 3, 4, 4)
    inside = covered(labels([], ignored=[[8, 0, 24, 8]]), raw, 8)  # cells whose middles are (12, 4) and (20, 4)
    assert inside.nonzero().tolist() == [[0, 0, 1], [0, 0, 2]]


def test_anchors_by_hand() -> None:
    sides = np.array([[4, 4], [8, 2]], np.float32)
    assert shape_overlap(sides, np.array([[4, 4]], np.float32))[:, 0].tolist() == pytest.approx([1, 8 / 24])
    assert best_recall(np.array([[10, 10], [10, 41]], np.float32), np.array([[10, 10]], np.float32)) == 0.5
    clusters = np.concatenate([np.full((30, 2), 10.0), np.full((10, 2), 40.0), [[11.0, 11.0], [41.0, 41.0]]])
    assert fit_anchors(clusters.astype(np.float32), count=2).tolist() == [[10, 10], [40, 40]]
    with pytest.raises(DatasetError, match="at least 9 different sizes"):
        fit_anchors(clusters.astype(np.float32))


def test_anchors_are_read_as_they_are_printed() -> None:
    text = " ".join(f"{w:g},{h:g}" for three in FACE_ANCHORS for w, h in three)
    assert parse_anchors(text) == FACE_ANCHORS
    with pytest.raises(ContractError, match="nine pairs"):
        parse_anchors("4,5 8,10")


def test_the_anchor_command_measures_boxes_on_the_letterbox(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png", noise(100, 200))
    lines = [f"1 1 {side} {side}" for side in range(10, 19)]
    (tmp_path / "list.txt").write_text("\n".join(["a.png", "9", *lines]) + "\n")
    arguments = [str(tmp_path / "list.txt"), "--images", str(tmp_path / "images"), "--size", "400", "--json"]
    result = CliRunner().invoke(anchors_app, arguments)
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["anchors"] == [[2.0 * side] * 2 for side in range(10, 19)]  # 400 over 200
    assert row["recall"] == 1.0


def face(path: Path, image: Image, box: list[float], points: list[list[float]] | None = None) -> LabelledImage:
    write_image(path, image)
    item = LabelledImage.without_points(path, np.array([box], np.float32))
    if points is not None:
        item.points[0] = points
    return item


def marked(folder: Path) -> Pictures:
    """Return two pictures of 40 x 20: black, with a white face of 10 x 8 at the corner (5, 4)."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[4:12, 5:15] = 255
    points = [[6.0, 5.0], [13.0, 5.0], [9.0, 8.0], [7.0, 10.0], [12.0, 10.0]]
    # white pixels have centres 5..14 and 4..11, so their edges are 4.5..14.5 and 3.5..11.5
    items = [face(folder / f"{n}.png", image, [4.5, 3.5, 14.5, 11.5], points) for n in range(2)]
    return Pictures.decode(pack_pictures(items[:1], items[1:], longest=800))


def test_boxes_stay_on_the_pixels_of_their_faces(tmp_path: Path) -> None:
    pictures, look = marked(tmp_path), Look(size=96, mosaic=0.7, smallest=0.6, largest=2.0, visible=0.99, least=4)
    plan = plan_scenes(pictures, 12, look, np.random.default_rng(3))
    pixels, faces = draw_pixels(pictures, plan), place_faces(pictures, plan, look)
    assert len(faces.boxes) >= 12
    assert {True, False} == set((plan.middle[:, 0] < 96).tolist())  # mosaics, and pictures alone
    for box, image in zip(faces.boxes.tolist(), faces.image.tolist(), strict=True):
        x1, y1, x2, y2 = box
        inner = pixels[image, 0, math.ceil(y1 + 4) : math.floor(y2 - 3), math.ceil(x1 + 4) : math.floor(x2 - 3)]
        assert float(inner.min()) > 200  # white within; JPEG rings by a few levels
    # and outside of all labels, ignored ones too, nothing is white
    everything = torch.cat([faces.boxes, faces.ignored])
    owners = torch.cat([faces.image, faces.ignored_image])
    for image in range(12):
        rest = pixels[image, 0].clone()
        for x1, y1, x2, y2 in everything[owners == image].tolist():
            rest[max(0, math.floor(y1 - 3)) : math.ceil(y2 + 4), max(0, math.floor(x1 - 3)) : math.ceil(x2 + 4)] = 0
        assert float(rest.max()) < 160  # the grey outside of pictures is 114


def alone(mirrored: bool, *, ratio: float = 1.0, origin: tuple[float, float] = (0.0, 0.0)) -> Plan:
    return Plan(
        64,
        np.array([[64, 64]]),
        np.zeros((1, 4), np.int64),
        np.full((1, 4), ratio),
        np.tile(np.array(origin), (1, 4, 1)),
        np.full((1, 4), mirrored),
    )


def test_a_mirrored_face_has_its_landmarks_in_order(tmp_path: Path) -> None:
    faces = place_faces(marked(tmp_path), alone(mirrored=True), Look(size=64))
    assert faces.boxes.tolist() == [[24.5, 3.5, 34.5, 11.5]]  # 39 - 14.5 and 39 - 4.5
    # 39 - 13 is the viewer's left eye now, and so on
    assert faces.points[0].tolist() == [[26, 5], [33, 5], [30, 8], [27, 10], [32, 10]]


def test_scaling_keeps_the_centres_of_pixels(tmp_path: Path) -> None:
    pictures, plan = marked(tmp_path), alone(mirrored=False, ratio=2.0, origin=(3.0, 1.0))
    faces = place_faces(pictures, plan, Look(size=64))
    assert faces.boxes.tolist() == [[12.5, 8.5, 32.5, 24.5]]  # edges 5..15 become 13..33, less one half
    pixels = draw_pixels(pictures, plan)
    assert float(pixels[0, 0, 16, 22]) > 240
    assert pixels[0, :, 63, 2].tolist() == [114] * 3


def test_faces_hardly_seen_are_ignored_and_points_out_of_sight_unknown(tmp_path: Path) -> None:
    pictures = marked(tmp_path)
    half = place_faces(pictures, alone(mirrored=False, origin=(-10.0, 0.0)), Look(size=64, visible=0.4))
    assert half.boxes.tolist() == [[-0.5, 3.5, 4.5, 11.5]]
    assert half.points[0].isnan().any(1).tolist() == [True, False, True, True, False]
    less = place_faces(pictures, alone(mirrored=False, origin=(-12.0, 0.0)), Look(size=64, visible=0.4))
    assert less.boxes.tolist() == []
    assert less.ignored.tolist() == [[-0.5, 3.5, 2.5, 11.5]]


def test_light_by_hand() -> None:
    same, grey, dark = colour_matrices(np.zeros(3), np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.5]))
    assert same == pytest.approx(np.eye(3), abs=1e-12)
    assert grey @ [100, 50, 200] == pytest.approx([0.299 * 100 + 0.587 * 50 + 0.114 * 200] * 3)
    assert dark == pytest.approx(np.eye(3) / 2, abs=1e-12)
    [third] = colour_matrices(np.array([1 / 3]), np.ones(1), np.ones(1))
    assert third @ [0, 0, 0] == pytest.approx([0, 0, 0])
    assert third @ np.ones(3) == pytest.approx(np.ones(3))  # grey stays grey
    pixels = torch.full((2, 3, 16, 16), 100.0)
    still = change_light(pixels, STILL, np.random.default_rng(0))
    assert still.numpy() == pytest.approx(pixels.numpy(), abs=1e-3)
    noisy = change_light(pixels, replace(STILL, noise=1.0), np.random.default_rng(0))
    assert float(noisy.std()) > 1


def test_a_pack_is_read_as_it_was_written(tmp_path: Path) -> None:
    item = face(tmp_path / "a.png", noise(100, 200), [20, 10, 60, 50])
    pack = pack_pictures([item], [], longest=100)
    pack.save(tmp_path / "pack.npz")
    again = Pack.open(tmp_path / "pack.npz")
    assert np.array_equal(again.encoded, pack.encoded)
    assert again.hand == 1
    assert again.boxes.tolist() == [[9.75, 4.75, 29.75, 24.75]]  # edges 20.5 px and so on, halved
    assert Pictures.decode(again).sides[0].tolist() == [[100, 50], [50, 25], [25, 12], [12, 6]]
    (tmp_path / "other.npz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="expected a pack"):
        Pack.open(tmp_path / "other.npz")


def test_a_picture_that_cannot_be_read_is_in_no_pack(tmp_path: Path) -> None:
    good, failed = face(tmp_path / "a.png", noise(100, 200), [20, 10, 60, 50]), list[ImageError]()
    (tmp_path / "cut.png").write_bytes(good.path.read_bytes()[:200])
    bad = replace(good, path=tmp_path / "cut.png")
    with left_out(failed.append):
        pack = pack_pictures([bad, good], [good], longest=100)
    assert (len(pack.ends), pack.hand) == (2, 1)
    assert [Path(error.path).name for error in failed] == ["cut.png"]


def test_the_pack_command_keeps_the_file_that_is_there_where_it_fails(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png", noise(100, 200))
    (tmp_path / "list.txt").write_text("a.png\n1\n20 10 40 40 0 0 0 0 0 0\n")
    out = tmp_path / "faces.npz"
    words = ["--data", str(tmp_path), "--out", str(out), "--set", "points=", "--set", "keep_out=no", "--json"]
    called = CliRunner().invoke(pack_app, [*words, "--set", "crowds=list.txt"])
    assert called.exception is None
    assert json.loads(called.stdout) == {"out": str(out), "images": 1, "bytes": out.stat().st_size}
    before = out.read_bytes()
    for wrong in ("crowds=other.txt", "crowd=list.txt"):
        assert isinstance(CliRunner().invoke(pack_app, [*words, "--set", wrong]).exception, FaceregError)
        assert out.read_bytes() == before


def test_averaged_weights_by_hand() -> None:
    mean, value = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    torch.nn.init.constant_(value.weight, 5.0)
    assert value.num_batches_tracked is not None
    value.num_batches_tracked.fill_(7)
    average_weights(mean, value, keep=0.75)
    assert mean.weight.tolist() == [0.75 * 1 + 0.25 * 5]
    assert mean.num_batches_tracked == 7


def training(folder: Path, steps: int, kind: type[YoloTraining] = YoloTraining) -> YoloTraining:
    torch.manual_seed(0)
    settings = YoloSettings(size=64, batch=2, steps=steps, warmup=2, devices=1, average=0.5)
    return kind(settings, marked(folder))


def fitted(module: YoloTraining, out: Path, *, resume: bool = False) -> dict[str, torch.Tensor]:
    steps = module.settings.steps
    fitting.fit(module, DataLoader(TensorDataset(torch.arange(steps))), out, steps=steps, resume=resume, devices=1)
    return module.state_dict()


def test_a_run_starts_from_the_onnx_file_that_ships(tmp_path: Path) -> None:
    shipped = NETWORK.locate()
    settings = YoloSettings(size=64, batch=2, init=str(shipped))
    module = YoloTraining(settings, marked(tmp_path))
    stored = read_tensors(shipped, expected="weights")
    for network in (module.network, module.averaged):
        assert all(torch.equal(value, stored[f"network.{key}"]) for key, value in network.state_dict().items())
    with pytest.raises(WeightsError, match=r"init: expected the .onnx or .safetensors file of a run, found none at"):
        load_network(module.network, tmp_path / "gone.onnx")


class Interrupted(YoloTraining):
    """A run that breaks off at its fifth step."""

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        if self.global_step == 4:
            raise RuntimeError("power cut")
        return super().training_step(batch, index)


@pytest.mark.slow
@QUIET_LIGHTNING
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 3)
    whole = fitted(training(tmp_path, 6), tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        fitted(training(tmp_path, 6, Interrupted), tmp_path / "cut")
    again = training(tmp_path, 6)
    torch.nn.init.zeros_(next(again.network.heads.parameters()))  # the checkpoint must bring its own
    resumed = fitted(again, tmp_path / "cut", resume=True)
    for key, value in whole.items():
        assert torch.allclose(value.float(), resumed[key].float(), atol=1e-5), key


def test_the_loss_falls(tmp_path: Path) -> None:
    module = training(tmp_path, 40)
    pixels, faces = module.draw_batch(0, 0)
    optimizer = torch.optim.AdamW(module.network.parameters(), lr=1e-3)
    values = []
    for _ in range(14):
        parts = losses(module.network(pixels / 255), module.network.anchors, faces)
        optimizer.zero_grad()
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(parts["loss"].detach()))
    assert values[-1] < 0.9 * values[0]
