"""The two recipes on a handful of crops: what is learned, what comes out, and that a stop changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import lightning
import torch
import torch.nn.functional as F
from facereg_mobilenetv3 import arcface, distill
from facereg_mobilenetv3.arcface import ArcFaceSettings, ArcFaceTraining
from facereg_mobilenetv3.distill import Distillation, DistillSettings, ViewTable, distillation_loss, make_views
from facereg_mobilenetv3.networks import (
    EMBEDDING,
    FEATURES,
    MobileNetV3Embedder,
    build_deployed,
)
from facereg_mobilenetv3.plugin import NETWORK
from facereg_mobilenetv3.views import SIZE, Views
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from facereg.errors import ContractError, DatasetError
from facereg.images import write_image
from facereg.networks.checkpoints import load_checkpoint
from facereg.networks.opening import open_network
from facereg.networks.spec import NetworkSpec
from facereg.testing.pictures import crops
from facereg.training import (
    DeployedEmbedder,
    fitting,
    held_out,
    load_embedder,
    network_input,
    read_tensors,
    saving,
)
from facereg.training.fitting import fit
from facereg.training.identities import read_identities

pytestmark = pytest.mark.train
Begin = Callable[[], tuple[lightning.LightningModule, Dataset[tuple[Tensor, ...]]]]
SMALL = 32  # px; the smallest input that leaves one cell of features


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: two would wait for one another on networks this small, and add up in any order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ONNX file that mixes the means of 4 x 4 tiles into 128 numbers."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    mixing = np.random.default_rng(0).normal(size=(48, EMBEDDING)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["pixels"], ["tiles"], kernel_shape=[28, 28], strides=[28, 28]),
            helper.make_node("Flatten", ["tiles"], ["flat"]),
            helper.make_node("MatMul", ["flat", "mixing"], ["vector"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("vector", floats, ["batch", EMBEDDING])],
        [onnx.numpy_helper.from_array(mixing, "mixing")],
    )
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def views(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two views of each of twelve crops."""
    faces, folder = tmp_path_factory.mktemp("faces"), tmp_path_factory.mktemp("views")
    for number, pixels in enumerate(crops(12, SIZE)):
        write_image(faces / f"{number}.png", pixels)
    make_views([faces], folder, DistillSettings(teacher=str(teacher), views=2))
    return folder


@pytest.fixture(scope="module")
def distilled(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a run of 20 steps at 32 px left behind."""
    out = tmp_path_factory.mktemp("distilled")
    given = {"views": 2, "folder": views, "size": SMALL, "batch": 24, "epochs": 20, "warmup": 10, "devices": 1}
    distill.run([], out, False, {key: str(value) for key, value in given.items()})
    return out


def vectors_of(network: MobileNetV3Embedder, pixels: Tensor) -> Tensor:
    """Return unit vectors by the statistics of the batch: a run this short does not settle the running ones."""
    with torch.no_grad():
        return F.normalize(network.train()(network_input(pixels, SMALL)))


@pytest.mark.parametrize(
    ("recipe", "name", "value", "words"),
    [
        ("arcface", "batch", "1", "batch: expected 2 or more, got 1"),
        ("arcface", "size", "31", "size: expected 32 or more, got 31"),
        ("arcface", "least", "0", "least: expected 1 or more, got 0"),
        ("arcface", "scale", "-1", "scale: expected 0 or more, got -1"),
        ("arcface", "class_lr", "-1", "class_lr: expected 0 or more, got -1"),
        ("arcface", "epochs", "0", "epochs: expected 1e-06 to"),
        ("distill", "batch", "1", "batch: expected 2 or more, got 1"),
        ("distill", "size", "16", "size: expected 32 or more, got 16"),
        ("distill", "views", "0", "views: expected 1 or more, got 0"),
        ("distill", "views", "1001", "views: expected 1000 or fewer, got 1001"),
        ("distill", "engine", "tensorrt", "engine: expected one of onnx, openvino, got 'tensorrt'"),
        ("distill", "keep_out", "1", "keep_out: .* keeps everybody out"),
        ("distill", "dropout", "1", "dropout: expected 0 to 0.99, got 1"),
    ],
)
def test_a_setting_out_of_its_range_is_one_line_before_the_work(
    recipe: str, name: str, value: str, words: str, tmp_path: Path
) -> None:
    run = {"arcface": arcface.run, "distill": distill.run}[recipe]
    with pytest.raises(ContractError, match=f"--set {words}"):
        run([tmp_path / "none"], tmp_path / "out", False, {name: value})
    assert not (tmp_path / "out").exists()


def test_a_head_of_no_teacher_is_one_line(views: Path) -> None:
    settings = DistillSettings(size=SMALL, init_head=1)
    with pytest.raises(ContractError, match="--set init_head: expected a teacher's number below 1, got 1"):
        Distillation(settings, Views(views), steps=1)


def test_views_that_another_teacher_answered_are_not_learned_from(views: Path, teacher: Path, tmp_path: Path) -> None:
    make_views([], views, DistillSettings(teacher=str(teacher), views=2))  # all there, and its own
    make_views([], views, DistillSettings(views=2))  # nobody asks
    other = tmp_path / "other.onnx"
    other.write_bytes(teacher.read_bytes() + b"\0")
    with pytest.raises(DatasetError, match=r"expected views that other.onnx answered, got those of other teachers"):
        make_views([], views, DistillSettings(teacher=str(other), views=2))


def test_a_share_kept_out_that_leaves_nobody_is_one_line(teacher: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "faces/person 0/1.png", crops(1, SIZE)[0])
    name = next(str(n) for n in range(99) if held_out([str(n)], key=str, one_in=2)[1])
    (tmp_path / "faces/person 0").rename(tmp_path / "faces" / name)
    with pytest.raises(DatasetError, match="faces: expected pictures to learn from, found none; pass --set keep_out=0"):
        make_views([tmp_path / "faces"], tmp_path / "views", DistillSettings(teacher=str(teacher), keep_out=2))


def test_distillation_comes_closer_to_the_teacher(views: Path, distilled: Path) -> None:
    table = ViewTable(Views(views))
    pixels, targets = (torch.stack(part) for part in zip(*(table[row] for row in range(24)), strict=True))
    torch.manual_seed(0)
    before, after = MobileNetV3Embedder(), MobileNetV3Embedder()
    load_embedder(after, distilled / "mobilenetv3-arcface.onnx")
    (loss, cosine), (lower, higher) = (
        distillation_loss(vectors_of(network, pixels), targets, similarity=10.0) for network in (before, after)
    )
    assert lower < 0.5 * loss
    assert higher > cosine + 0.5
    result = json.loads((distilled / "result.json").read_text("utf-8"))
    assert result["recipe"] == "mobilenetv3-distill"
    assert result["settings"]["epochs"] == 20.0
    assert (distilled / "curve.png").stat().st_size > 1000


def test_a_second_teachers_head_begins_where_least_squares_puts_it_and_the_first_ones_is_published(
    views: Path, distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # features that tell the views apart, as those of a network that has learned for long do
    monkeypatch.setattr(MobileNetV3Embedder, "pooled", lambda self, pixels: pixels.flatten(1)[:, :FEATURES])
    for path in sorted(views.iterdir()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    targets = np.load(views / "targets-000.npy")
    np.save(tmp_path / "targets-000.npy", np.concatenate([targets, targets[:, ::-1]], axis=1))
    for extra in sorted(tmp_path.glob("targets-*.npy"))[1:]:
        extra.unlink()
    (tmp_path / "dims.json").write_text(json.dumps([EMBEDDING, EMBEDDING]))
    init = distilled / "mobilenetv3-arcface.onnx"
    module = Distillation(DistillSettings(size=SMALL, init=str(init)), Views(tmp_path), steps=3)
    assert module.spreads[0] == pytest.approx(module.spreads[1], rel=1e-3)
    kept = module.network.state_dict()["head.2.weight"]
    assert torch.equal(kept, read_tensors(init, expected="a run")["network.head.2.weight"])
    pixels = torch.from_numpy(np.load(tmp_path / "views-000.npy"))
    with torch.no_grad():
        features = module.network.eval().pooled(network_input(pixels, SMALL))
        second = F.normalize(module.heads.eval()[1](features))
    wanted = torch.from_numpy(targets[:, ::-1].astype(np.float32))
    assert float((second * wanted).sum(1).mean()) > 0.9
    (tmp_path / "dims.json").write_text(json.dumps([EMBEDDING]))  # one teacher, and the file's head is not its
    np.save(tmp_path / "targets-000.npy", targets[:, ::-1])
    module = Distillation(DistillSettings(size=SMALL, init=str(init), init_head=-1), Views(tmp_path), steps=3)
    with torch.no_grad():
        only = F.normalize(module.heads.eval()[0](module.network.eval().pooled(network_input(pixels, SMALL))))
    assert float((only * wanted).sum(1).mean()) > 0.9


def test_frozen_batch_norms_learn_and_keep_their_statistics(views: Path, distilled: Path, tmp_path: Path) -> None:
    init = distilled / "mobilenetv3-arcface.onnx"
    settings = DistillSettings(size=SMALL, init=str(init), freeze_norm=True, warmup=1)
    module = Distillation(settings, Views(views), steps=3)
    fit(module, DataLoader(ViewTable(Views(views)), 24), tmp_path, steps=3)
    before, after = read_tensors(init, expected="a run"), module.network.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[f"network.{name}"])}
    assert {name for name, _ in module.network.named_parameters()} <= changed
    assert not {name for name, _ in module.network.named_buffers()} & changed


def test_a_run_at_another_size_is_deployed_at_that_size(distilled: Path) -> None:
    pixels = crops(5, SIZE)
    answers = []
    for runner in ("onnx", "torch"):
        with open_network(NETWORK, runner=runner, weights=distilled) as network:
            answers.append(network.infer({"images": pixels})["embedding"])
    assert np.abs(answers[0] - answers[1]).max() <= 1e-4 * np.abs(answers[1]).max()  # as in the export's own check


def test_a_checkpoint_that_names_no_size_is_of_224(tmp_path: Path) -> None:
    deployed = DeployedEmbedder(MobileNetV3Embedder(), size=SMALL)
    for metadata, size in ((None, 224), (deployed.checkpoint_metadata(), SMALL)):
        save_file(deployed.state_dict(), tmp_path / "a.safetensors", metadata=metadata)
        again = build_deployed()
        load_checkpoint(again, tmp_path / "a.safetensors")
        assert again.size == size


def test_arcface_learns_its_classes_and_publishes_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for person, pixels in enumerate(crops(4, SIZE)):
        for number in range(4):
            altered = np.clip(pixels * rng.uniform(0.7, 1.3) + rng.normal(0, 8, pixels.shape), 0, 255)
            write_image(tmp_path / f"people/{person}/{number}.png", altered.astype(np.uint8))
    exported: list[torch.nn.Module] = []

    def export(module: torch.nn.Module, spec: NetworkSpec, path: Path, *, free: int) -> float:
        exported.append(module)
        path.touch()
        return 0.0

    monkeypatch.setattr(saving, "export_onnx", export)
    given = {"size": SMALL, "batch": 16, "epochs": 20, "class_lr": 0.1, "warmup": 1, "devices": 1}
    arcface.run([tmp_path / "people"], tmp_path / "out", False, {key: str(value) for key, value in given.items()})

    people = read_identities([tmp_path / "people"])
    images, labels = torch.from_numpy(people.images), torch.from_numpy(people.labels)
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    settings = ArcFaceSettings(size=SMALL)
    torch.manual_seed(0)  # as the recipe began
    before, after = (ArcFaceTraining(settings, classes=4, steps=20) for _ in range(2))
    after.load_state_dict(torch.load(tmp_path / "out/last.ckpt", weights_only=True)["state_dict"])
    losses = [float(module.loss(vectors_of(module.network, images), labels).detach()) for module in (before, after)]
    assert losses[1] < 0.5 * losses[0]
    # the classes themselves have come closer to their people, not only the people to the classes
    vectors = vectors_of(after.network, images)
    untrained, trained = (
        float((vectors @ F.normalize(module.loss.W.detach(), dim=0))[torch.arange(16), labels].mean())
        for module in (before, after)
    )
    assert trained > untrained + 0.05

    [deployed] = exported
    published = {name for name in deployed.state_dict() if name.startswith("network.")}
    assert published == {f"network.{name}" for name in MobileNetV3Embedder().state_dict()}
    assert {name for name, _ in deployed.named_parameters()} <= published


class StopError(Exception):
    """A run that ends as a killed one does: nothing more is written."""


class Stopping(Dataset[tuple[Tensor, ...]]):
    """Rows that stop the run when so many were given."""

    def __init__(self, rows: Dataset[tuple[Tensor, ...]], left: int) -> None:
        self.rows, self.left = rows, left

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        if self.left == 0:
            raise StopError
        self.left -= 1
        return self.rows[row]


@pytest.fixture(params=["distill", "arcface"])
def begin(request: pytest.FixtureRequest, views: Path) -> Begin:
    """Return what makes the module and the rows of a run of five steps, three of them a pass."""
    if request.param == "distill":
        return lambda: (
            Distillation(DistillSettings(size=SMALL, warmup=2, dropout=0.5), Views(views), steps=5),
            ViewTable(Views(views)),
        )
    pixels, labels = torch.from_numpy(crops(24, SIZE).copy()), torch.arange(24) % 6
    return lambda: (
        ArcFaceTraining(ArcFaceSettings(size=SMALL, warmup=2, dropout=0.5), classes=6, steps=5),
        TensorDataset(pixels, labels),
    )


@pytest.mark.parametrize("every", [2, 3], ids=["in a pass", "between two"])
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    begin: Begin, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", every)

    def train(out: Path, *, stop: int = -1, resume: bool = False) -> dict[str, object]:
        torch.manual_seed(3)
        module, rows = begin()
        loader = DataLoader(Stopping(rows, stop), 8, shuffle=True)
        fit(module, loader, out, steps=5, seed=1, resume=resume, devices=1)
        held: dict[str, object] = torch.load(out / "last.ckpt", weights_only=True)
        return held

    whole = train(tmp_path / "whole")
    with pytest.raises(StopError):
        train(tmp_path / "parts", stop=4 * 8 - 1)  # in the fourth step
    assert torch.load(tmp_path / "parts/last.ckpt", weights_only=True)["global_step"] == every
    resumed = train(tmp_path / "parts", resume=True)
    assert resumed["global_step"] == 5
    for part in ("state_dict", "optimizer_states"):  # weights, those of the classes too; their moments
        expected, got = flat(whole[part]), flat(resumed[part])
        assert len(expected) == len(got)
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


def flat(held: object) -> list[Tensor]:
    """Return all tensors in a nest of dictionaries and lists, in order."""
    if isinstance(held, Tensor):
        return [held]
    parts = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    return [tensor for part in parts for tensor in flat(part)]
