"""What a step draws, what a run begins with and leaves, and settings that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facereg import ContractError, DatasetError, Edge, Faces, FloatArray, WeightsError, layout, read_image, write_image
from facereg.training import PointedImage, load_checkpoint, parse_settings

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from facereg_adnet.fitting import AdnetTraining, Steps, begin  # noqa: E402
from facereg_adnet.networks import AdNet, DeployedAdNet, build_68  # noqa: E402
from facereg_adnet.pictures import EdgeMaps, Look, Pictures  # noqa: E402
from facereg_adnet.plugin import MARGIN  # noqa: E402
from facereg_adnet.recipe import person_of, read_items, run  # noqa: E402
from facereg_adnet.settings import AdnetSettings  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from facereg.data.boxes import PseudoLabels, write_pseudo_labels  # noqa: E402

W68, COFW = layout("300w-68"), layout("cofw-29")
NO_CHANCE: Mapping[str, float] = dict.fromkeys(("mirror", "cover", "blur", "gamma", "grey", "background"), 0.0)


def grid(points: int) -> FloatArray:
    """Return points apart from each other, in rows of eight, 12 px from one to the next."""
    return np.array([[60 + 12 * (row % 8), 60 + 12 * (row // 8)] for row in range(points)], np.float32)


@pytest.fixture
def painted(tmp_path: Path) -> PointedImage:
    """A picture with a square of its own colour about each of COFW's points."""
    pixels = np.zeros((220, 220, 3), np.uint8)
    for number, (x, y) in enumerate(grid(29).astype(int)):
        pixels[y - 4 : y + 5, x - 4 : x + 5] = colour(number)
    write_image(tmp_path / "a.png", pixels)
    return PointedImage(tmp_path / "a.png", grid(29))


def colour(number: int) -> list[int]:
    return [40 + 100 * (number % 3), 40 + 70 * (number // 3 % 4), 40 + 80 * (number // 12)]


@pytest.mark.parametrize("mirror", [0.0, 1.0], ids=["as it is", "mirrored"])
def test_points_move_with_the_picture(painted: PointedImage, mirror: float) -> None:
    pictures = Pictures([painted], COFW, side=128)
    look = Look(**{**NO_CHANCE, "mirror": mirror})
    rng = np.random.default_rng(0)
    order = COFW.mirror if mirror else list(range(29))
    seen = 0
    for _ in range(10):
        crop = pictures.draw(0, look, rng)
        assert crop.face
        for number, (x, y) in enumerate(np.round(crop.points).astype(int)):
            if min(x, y) >= 2 and max(x, y) < 126:
                seen += 1
                assert np.abs(crop.pixels[y, x].astype(int) - colour(order[number])).max() <= 3
    assert seen > 200


def test_plain_crops_are_the_aligners(painted: PointedImage) -> None:
    crop = Pictures([painted], COFW, side=128).plain(0)
    assert np.ptp(crop.points, axis=0).max() == pytest.approx(128 / MARGIN, abs=0.5)
    middle = (crop.points.min(0) + crop.points.max(0)) / 2
    assert middle == pytest.approx([63.5, 63.5], abs=0.5)  # the cut is to whole pixels


def test_changes_of_light_leave_points_alone(painted: PointedImage) -> None:
    pictures = Pictures([painted], COFW, side=64)
    still = {"turn": 0.0, "scale": 0.0, "shift": 0.0}
    plain = pictures.draw(0, Look(**{**NO_CHANCE, **still}), np.random.default_rng(3))
    for name in ("cover", "blur", "gamma", "grey"):
        changed = pictures.draw(0, Look(**{**NO_CHANCE, **still, name: 1.0}), np.random.default_rng(3))
        assert changed.points.tolist() == plain.points.tolist()
        assert (changed.pixels != plain.pixels).any(), name


def test_a_crop_beside_the_face_shows_none(painted: PointedImage) -> None:
    pictures = Pictures([painted], COFW, side=64)
    crops = [pictures.draw(0, Look(background=1.0), np.random.default_rng(seed)) for seed in range(20)]
    beside = [crop for crop in crops if not crop.face]
    assert len(beside) > 10
    inside = [((crop.points >= 0) & (crop.points < 64)).all(1).mean() for crop in beside]
    assert max(inside) < 0.5


def test_edges_are_drawn_through_their_points() -> None:
    known = replace(COFW, edges=(Edge((0, 1, 2)), Edge((3, 4, 5, 6), closed=True)))
    points = np.zeros((29, 2), np.float32)
    points[:3] = [[9.5, 9.5], [29.5, 9.5], [49.5, 9.5]]  # level, in the middle of the cells' third row
    points[3:7] = [[9.5, 21.5], [49.5, 21.5], [49.5, 53.5], [9.5, 53.5]]
    line, ring = EdgeMaps(known)(points, cells=16, stride=4, sigma=0.75)
    assert line[2, 2:13].min() > 0.88  # 0.25 cells away, which is what a canvas px is, it would be 0.95
    assert line[2, 15] < 0.1
    assert line[8].max() < 0.01
    ends = EdgeMaps(replace(known, edges=(Edge((3, 4, 5, 6)),)))(points, cells=16, stride=4, sigma=0.75)[0]
    left = slice(8, 11), slice(0, 4)  # from the last point back to the first
    assert ring[left].max() > 0.8
    assert ends[left].max() < 0.3


def test_a_step_is_a_function_of_seed_and_row(painted: PointedImage) -> None:
    settings = AdnetSettings(layout="cofw-29", side=64, batch=2, stacks=1, width=8)
    pictures = Pictures([painted] * 3, COFW, side=64)
    one, other = (Steps(pictures, settings, steps=5) for _ in range(2))
    one[0]
    assert all(torch.equal(a, b) for a, b in zip(one[3], other[3], strict=True))
    assert not torch.equal(one[2][0], other[3][0])
    drawn = [one._picture(number) for number in range(6)]
    assert sorted(drawn[:3]) == sorted(drawn[3:]) == [0, 1, 2]  # all once a pass


def test_later_stacks_count_twice_as_much(painted: PointedImage) -> None:
    settings = AdnetSettings(layout="cofw-29", side=64, batch=2, stacks=3, width=8)
    module = AdnetTraining(settings, COFW, None, steps=1)
    batch = Steps(Pictures([painted] * 2, COFW, side=64), settings, steps=1)[0]
    [maps] = module.network.eval()(batch[0].permute(0, 3, 1, 2).float() / 127.5 - 1)[:1]
    losses = [float(module.losses([maps] * stacks, *batch[1:])["loss"].detach()) for stacks in (1, 2, 3)]
    assert losses[1] == pytest.approx(1.5 * losses[0])
    assert losses[2] == pytest.approx(1.75 * losses[0])


def test_a_face_that_is_none_has_no_points_to_learn(painted: PointedImage) -> None:
    settings = AdnetSettings(layout="cofw-29", side=64, batch=2, stacks=1, width=8)
    module = AdnetTraining(settings, COFW, None, steps=1)
    pixels, points, _, edges = Steps(Pictures([painted] * 2, COFW, side=64), settings, steps=1)[0]
    found = module.network(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
    parts = module.losses(found, points, torch.zeros(2, dtype=torch.bool), torch.zeros_like(edges))
    assert parts["points"].item() == 0
    parts["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(each.grad).all() for each in module.network.parameters() if each.grad is not None)


def test_a_run_leaves_a_network_that_its_model_opens(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    lines = []
    for name in ("Ann_00", "Ann_01", "Bob_00", "Bob_01", "Eve_00", "Eve_01", "Joe_00", "Joe_01"):
        write_image(tmp_path / f"images/{name}.png", generator.integers(0, 256, (256, 256, 3)).astype(np.uint8))
        lines.append(" ".join(f"{value:.1f}" for value in grid(68).ravel()) + f" {name}.png")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    given = {"points": "list.txt", "stacks": "1", "width": "8", "side": "64", "batch": "2", "epochs": "1.5"}
    given |= {"keep_out": "2", "look": "1", "warmup": "1", "precision": "32-true"}
    run([tmp_path], tmp_path / "out", False, given)
    scores = json.loads((tmp_path / "out/result.json").read_text())["scores"]
    assert scores["pictures"] + scores["kept_out"] == 8
    assert 0 < scores["kept_out"] < 8
    assert scores["kept_out_nme"] > 0
    module = build_68()
    load_checkpoint(module, tmp_path / "out/adnet-68.onnx")
    assert (len(module.network.stacks), module.network.width) == (1, 8)


def saved(network: AdNet, path: Path) -> Path:
    save_file({key: value.contiguous() for key, value in DeployedAdNet(network).state_dict().items()}, path)
    return path


def test_more_stacks_begin_with_what_the_last_of_fewer_says(tmp_path: Path) -> None:
    first, second = AdNet(W68, stacks=1, width=8).eval(), AdNet(W68, stacks=3, width=8).eval()
    begin(second, saved(first, tmp_path / "a.safetensors"))
    pixels = torch.rand(1, 3, 64, 64)
    [wanted] = first(pixels)
    for said in second(pixels):
        assert torch.equal(said.points, wanted.points)


def test_another_layout_goes_on_with_maps_of_its_own(tmp_path: Path) -> None:
    first, second = AdNet(COFW, stacks=1, width=8), AdNet(W68, stacks=1, width=8)
    own = second.state_dict()["stacks.0.heat.weight"].clone()
    begin(second, saved(first, tmp_path / "a.safetensors"))
    same = [key for key, value in second.state_dict().items() if torch.equal(value, first.state_dict()[key])]
    assert any(key.startswith("stem.") for key in same)
    assert torch.equal(second.state_dict()["stacks.0.heat.weight"], own)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    path = saved(AdNet(W68, stacks=1, width=16), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"a.safetensors: expected a network of 8 channels, got other tensors"):
        begin(AdNet(W68, stacks=1, width=8), path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"side": "100"}, "expected a side that is a multiple of 64"),
        ({"loss": "l1"}, "loss: expected star, star-first, direction, direction-fixed, got 'l1'"),
        ({"distance": "l1"}, "distance: expected smooth-l1, wing, l2, got 'l1'"),
        ({"people": "all"}, "people: expected name, folder, picture, got 'all'"),
        ({"milestones": "200,350"}, "milestones: expected shares of the run, as 0.4,0.7,0.9, got '200,350'"),
        ({"milestones": "half"}, "milestones: expected shares"),
        ({"offset": "1"}, "offset: expected x,y of at most 20 px, as 1.1,0, got '1'"),
        ({"offset": "0,nan"}, "offset: expected x,y"),
        ({"spread": "0"}, "expected spread, epochs, batch and look above 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_out_of_range_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        parse_settings(AdnetSettings, given)


def test_pseudo_labels_are_faces_each_by_itself(painted: PointedImage, tmp_path: Path) -> None:
    points = np.stack([grid(29), grid(29) / 8])  # the second spans 10 px
    faces = Faces(np.array([[50, 50, 150, 110], [0, 0, 20, 20]], np.float32), np.array([0.9, 0.8], np.float32), points)
    write_pseudo_labels(tmp_path / "labels.jsonl", [PseudoLabels(painted.path, faces)], root=tmp_path)
    settings = AdnetSettings(points="", pseudo="labels.jsonl", layout="cofw-29")
    [item] = read_items([tmp_path], settings, COFW)
    assert item.points == pytest.approx(grid(29))
    assert read_image(item.path).shape == (220, 220, 3)
    message = r"labels.jsonl: expected 68 points of the layout 300w-68, got 29; pass --set layout=NAME"
    with pytest.raises(DatasetError, match=message):
        read_items([tmp_path], settings, W68)


def test_what_labels_lie_off_is_taken_off(painted: PointedImage, tmp_path: Path) -> None:
    line = " ".join(f"{value:.1f}" for value in grid(68).ravel()) + " a.png"
    (tmp_path / "list.txt").write_text(line)
    settings = AdnetSettings(points="list.txt", images=".", offset="1.5,-2")
    [item] = read_items([tmp_path], settings, W68)
    assert item.points == pytest.approx(grid(68) + np.array([-1.5, 2]))


def test_labels_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="points and pseudo: expected a list of either, got none"):
        read_items([tmp_path], AdnetSettings(points=""), W68)
    with pytest.raises(DatasetError, match="data: expected the one folder"):
        read_items([], AdnetSettings(), W68)


@pytest.mark.parametrize(
    ("people", "person"), [("name", "Ann_B"), ("folder", "photos"), ("picture", "Ann_B_12")], ids=str
)
def test_whose_a_picture_is(people: str, person: str) -> None:
    assert person_of(PointedImage(Path("photos/Ann_B_12.jpg"), grid(68)), people) == person


def test_flips_of_a_layout_without_pairs_are_refused(painted: PointedImage) -> None:
    pictures = Pictures([painted], replace(COFW, pairs=()), side=64)
    with pytest.raises(ContractError, match="cofw-29: a layout without pairs cannot be mirrored; give it pairs"):
        pictures.draw(0, Look(mirror=1.0), np.random.default_rng(0))
