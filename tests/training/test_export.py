"""What an export leaves in the file: every tensor of the module by its name, so that training goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import numpy as np
import onnx
import torch
from torch import nn

from facereg.errors import WeightsError
from facereg.networks.checkpoints import load_checkpoint, read_tensors
from facereg.networks.opening import open_network
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.training.export import export_checkpoint, export_onnx
from facereg.training.saving import save_network

pytestmark = pytest.mark.train
SPEC = NetworkSpec(
    name="small",
    inputs=(TensorSpec("images", "float32", (None, 3, 8, 8)),),
    outputs=(TensorSpec("sums", "float32", (None, 4)),),
    package="tests",
    file="small.onnx",
    module="tests.training.test_export:Small",
)


class Small(nn.Module):
    """What exporters fold, rename or drop: a batch norm, a scaled weight, a task that only helps training."""

    shift: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.scaled, self.task = nn.Conv2d(4, 4, 1), nn.Linear(4, 2)
        self.register_buffer("shift", torch.full((4,), 0.25))
        self.side = 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(images))
        x = nn.functional.conv2d(x, self.scaled.weight / 128, self.scaled.bias)
        sums: torch.Tensor = x.mean((2, 3)) + self.shift
        return sums

    def checkpoint_metadata(self) -> dict[str, str]:
        return {"side": str(self.side)}

    def read_checkpoint_metadata(self, metadata: Mapping[str, str]) -> None:
        self.side = int(metadata.get("side", 0))


@pytest.fixture(scope="module")
def trained() -> Small:
    """Return a module whose every tensor is unlike that of a new one."""
    torch.manual_seed(1)
    module = Small()
    module.side = 5
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.copy_(torch.rand_like(tensor, dtype=torch.float32) * 7 + 1)
    return module


@pytest.fixture(scope="module")
def exported(trained: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / SPEC.file
    export_onnx(trained, SPEC, path)
    return path


def test_an_exported_file_holds_no_path_of_the_machine(exported: Path) -> None:
    assert str(Path(__file__).parent).encode() not in exported.read_bytes()


def test_training_goes_on_from_an_exported_file_where_it_ended(trained: Small, exported: Path) -> None:
    again = Small()
    load_checkpoint(again, exported)
    assert again.side == 5
    state = again.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in trained.state_dict().items())
    assert set(state) <= set(read_tensors(exported, expected="weights"))


def test_the_torch_runner_and_another_export_take_the_tensors_of_the_onnx_file(exported: Path, tmp_path: Path) -> None:
    pixels = {"images": np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32)}
    with (
        open_network(SPEC, weights=exported) as onnx_runner,
        open_network(SPEC, runner="torch", weights=exported) as torch_runner,
    ):
        mine, theirs = onnx_runner.infer(pixels)["sums"], torch_runner.infer(pixels)["sums"]
        assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max()  # as in the export's own check
    assert export_checkpoint(SPEC, exported.parent, tmp_path / "again.onnx") < 1e-4
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_a_network_is_one_file_and_what_lies_beside_it_is_not_read(trained: Small, tmp_path: Path) -> None:
    save_network(trained, SPEC, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SPEC.file]
    (tmp_path / "small.safetensors").write_bytes(b"of another run")
    with open_network(SPEC, runner="torch", weights=tmp_path) as runner:
        assert len(runner.infer({"images": np.zeros((1, 3, 8, 8), np.float32)})["sums"]) == 1


def altered(exported: Path, path: Path, what: str) -> Path:
    model = onnx.load(exported)
    tensors = {one.name: one for one in model.graph.initializer}
    if what == "dropped":
        model.graph.initializer.remove(tensors["task.bias"])
    elif what == "elsewhere":
        one = tensors["task.bias"]
        onnx.external_data_helper.set_external_data(one, "/etc/passwd")
        one.ClearField("raw_data")
        one.data_location = onnx.TensorProto.EXTERNAL
    elif what == "NaN":
        tensors["task.bias"].CopyFrom(onnx.numpy_helper.from_array(np.full(2, np.nan, np.float32), "task.bias"))
    elif what == "short":
        tensors["task.bias"].raw_data = b"1234"
    else:
        tensors["task.bias"].CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "task.bias"))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            "dropped",
            "expected the weights of Small by their names, got an ONNX file without task.bias; it is of",
        ),
        ("elsewhere", "expected a checkpoint there, got another file .task.bias lies in another file"),
        ("NaN", "'task.bias': expected finite weights"),
        ("short", "expected a checkpoint there, got another file"),
        ("other", "expected the weights of Small, got other tensors"),
    ],
)
def test_a_file_without_the_tensors_is_named(what: str, words: str, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        load_checkpoint(Small(), altered(exported, tmp_path / "x.onnx", what))
    assert str(caught.value).startswith(f"{tmp_path / 'x.onnx'}: ")


def test_a_file_that_is_no_onnx_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    for name, words in (("x.onnx", "got another file"), ("gone.onnx", "found none")):
        with pytest.raises(WeightsError, match=f"{name}: expected a checkpoint there, {words}"):
            load_checkpoint(Small(), tmp_path / name)
