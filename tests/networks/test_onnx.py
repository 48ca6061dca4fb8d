"""ONNX Runtime behind the seam: what it refuses, and that networks open once and late."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from facereg.errors import BrokenNetworkError, ContractError, DeviceError, RunnerError, UnknownNameError, WeightsError
from facereg.networks.onnx import OnnxRunner
from facereg.networks.opening import open_network
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.registry.installed import default_registry

SPEC = NetworkSpec(
    name="doubler",
    inputs=(TensorSpec("x", "float32", (None, 3)),),
    outputs=(TensorSpec("y", "float32", (None, 3)),),
    package="facereg",
    file="doubler.onnx",
    max_batch=4,
)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ONNX file that doubles: y = x + x."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubler",
        [helper.make_tensor_value_info("x", floats, ["batch", 3])],
        [helper.make_tensor_value_info("y", floats, ["batch", 3])],
    )
    path = tmp_path_factory.mktemp("onnx") / SPEC.file
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def ones(rows: int, columns: int = 3, dtype: type = np.float32) -> dict[str, np.ndarray[tuple[int, ...], np.dtype]]:
    return {"x": np.ones((rows, columns), dtype)}


def test_a_batch_goes_through(path: Path) -> None:
    with OnnxRunner(SPEC, path, threads=1) as runner:
        assert runner.infer({"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)})["y"].tolist() == [
            [2, 4, 6],
            [8, 10, 12],
        ]
        assert runner.infer(ones(0))["y"].shape == (0, 3)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (ones(1, dtype=np.float64), "doubler: x: expected float32, got float64"),
        (ones(1, columns=4), r"doubler: x: expected shape \(None, 3\)"),
        ({"z": ones(1)["x"]}, r"doubler: expected the tensors \['x'\], got \['z'\]"),
        ({}, r"got \[\]"),
    ],
    ids=["dtype", "shape", "name", "none"],
)
def test_what_the_network_does_not_take_is_refused(inputs: dict[str, object], words: str, path: Path) -> None:
    with OnnxRunner(SPEC, path, threads=1) as runner, pytest.raises(ContractError, match=words):
        runner.infer(inputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "calls"), [(4, [4]), (5, [4, 1]), (8, [4, 4]), (11, [4, 4, 3])])
def test_more_rows_than_a_batch_holds_go_in_several(
    rows: int, calls: list[int], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    infer = OnnxRunner._infer

    def counted(runner: OnnxRunner, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given.append(len(inputs["x"]))
        return infer(runner, inputs)

    monkeypatch.setattr(OnnxRunner, "_infer", counted)
    numbers = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    with OnnxRunner(SPEC, path, threads=1) as runner:
        assert runner.infer({"x": numbers})["y"].tolist() == (numbers * 2).tolist()
    assert given == calls


def test_a_network_is_hashed_once_when_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    [shipped, *_] = default_registry().model("mtcnn").networks
    hashed: list[int] = []

    def counted(content: bytes) -> object:
        hashed.append(len(content))
        return hashlib.sha256(content)

    def again(path: Path) -> str:
        raise AssertionError(f"{path} is hashed a second time")

    monkeypatch.setattr("facereg.networks.onnx.hashlib", SimpleNamespace(sha256=counted))
    monkeypatch.setattr("facereg.networks.spec.file_sha256", again)
    folder = shipped.locate(check=False).parent
    for weights in (None, folder):
        with open_network(shipped, threads=1, weights=weights) as runner:
            assert runner.fingerprint == shipped.sha256
    assert hashed == [(folder / shipped.file).stat().st_size] * 2


def test_a_plugins_own_file_that_was_altered_is_refused() -> None:
    [shipped, *_] = default_registry().model("mtcnn").networks
    with pytest.raises(
        WeightsError, match=r"wrong checksum, expected sha256 0{12}\.\.\., got .*reinstall facereg_mtcnn"
    ):
        open_network(replace(shipped, sha256="0" * 64), threads=1)


def test_the_setting_says_how_many_calls_to_make_at_once_and_nothing_is_opened() -> None:
    create = partial(default_registry().create, "mtcnn", role="detector")
    with create(runner="triton://127.0.0.1:9?in_flight=7") as served, create() as local:  # nothing answers there
        assert (served.in_flight, local.in_flight) == (7, 1)


def test_a_model_without_networks_says_so() -> None:
    with pytest.raises(UnknownNameError, match="no network named 'halver' in this model; it declares: none"):
        Networks()["halver"]


def test_a_closed_runner_says_so(path: Path) -> None:
    runner = OnnxRunner(SPEC, path, threads=1)
    runner.close()
    runner.close()
    with pytest.raises(RunnerError, match="doubler: this runner is closed; open the model again"):
        runner.infer(ones(1))


def test_the_fingerprint_is_that_of_the_file(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(path.read_bytes())
    with OnnxRunner(SPEC, path) as first, OnnxRunner(SPEC, copy) as second:
        assert first.fingerprint == second.fingerprint
        assert len(first.fingerprint) == 64


def test_a_file_with_other_tensors_is_refused_unless_position_counts(path: Path) -> None:
    other = replace(SPEC, inputs=(TensorSpec("pixels", "float32", (None, 3)),))
    with pytest.raises(
        RunnerError, match=r"doubler.onnx: expected the inputs \['pixels'\], got \['x'\]; is it the right"
    ):
        OnnxRunner(other, path)
    with OnnxRunner(replace(other, tensors_by_position=True), path) as runner:
        assert runner.infer({"pixels": ones(1)["x"]})["y"].tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("content", [b"", b"no network"], ids=["0 bytes", "text"])
def test_a_file_that_is_no_network_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(RunnerError, match="bad.onnx: not a network that ONNX Runtime") as caught:
        OnnxRunner(SPEC, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_weights_in_another_file_are_refused(path: Path, tmp_path: Path, place: str) -> None:
    """They would not be in the fingerprint: other weights would give vectors of the same space."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(path)
    model.graph.node[0].input[1] = "w"
    weights = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(weights, place)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer.append(weights)
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "weights.bin").write_bytes(bytes(12))
    (tmp_path / "in" / SPEC.file).write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="export it again with its weights in the one file"):
        OnnxRunner(SPEC, tmp_path / "in" / SPEC.file)


def test_a_device_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(DeviceError, match="no device named 'tpu'; expected one of: cpu, cuda"):
        OnnxRunner(SPEC, path, device="tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(DeviceError, match="'cuda' was asked for.*or use device='cpu'"):
            OnnxRunner(SPEC, path, device="cuda")


def test_a_network_with_a_loop_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    """One of 2^62 turns would run for 100,000 years, and no Ctrl-C ends a call of ONNX Runtime."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    value = partial(helper.make_tensor_value_info, shape=None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [value("turn", kinds.INT64), value("go", kinds.BOOL), value("before", kinds.FLOAT)],
        [value("on", kinds.BOOL), value("after", kinds.FLOAT)],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "go", "x"], ["y"], body=body)],
        "doubler",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["batch", 3])],
        [helper.make_tensor("turns", kinds.INT64, [], [2**62]), helper.make_tensor("go", kinds.BOOL, [], [True])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / SPEC.file).write_bytes(model.SerializeToString())
    with pytest.raises(BrokenNetworkError, match="doubler.onnx: expected a network that runs straight through"):
        OnnxRunner(SPEC, tmp_path / SPEC.file)


def test_weights_are_a_file_a_folder_or_the_plugins_own(path: Path, tmp_path: Path) -> None:
    assert SPEC.locate(path) == path
    assert SPEC.locate(path.parent) == path
    with pytest.raises(WeightsError, match="expected the weights file .*doubler.onnx, found none; check the path"):
        SPEC.locate(tmp_path)
    with pytest.raises(WeightsError, match="no weights ship with facereg"):
        SPEC.locate()


def test_an_unknown_runner_is_named(path: Path) -> None:
    with pytest.raises(RunnerError, match="no runner named 'onx'"):
        open_network(SPEC, runner="onx", weights=path)


def test_networks_open_once_and_when_they_are_asked_for(path: Path) -> None:
    opened: list[str] = []

    def opener(spec: NetworkSpec) -> Runner:
        opened.append(spec.name)
        return OnnxRunner(spec, path, threads=1)

    networks = Networks([SPEC], opener)
    assert opened == []
    assert networks["doubler"] is networks["doubler"]
    assert opened == ["doubler"]
    with pytest.raises(UnknownNameError, match="no network named 'halver' in this model; it declares: doubler"):
        networks["halver"]
    networks.close()
    networks.close()


@pytest.mark.parametrize("threads", [0, -1, 1025, 100_000, 10**30])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    spec = NetworkSpec("net", (), (), package="facereg", file="net.onnx")
    with pytest.raises(RunnerError, match="threads: expected 1 to 1024"):
        open_network(spec, threads=threads)


@pytest.mark.parametrize("odd", [3e38, np.nan, -np.inf])
def test_an_output_that_is_no_number_is_refused_and_names_the_network(odd: float, path: Path) -> None:
    with OnnxRunner(SPEC, path, threads=1) as runner, pytest.raises(RunnerError, match="doubler: y: expected finite"):
        runner.infer({"x": np.array([[1, 1, 1], [1, odd, 1]], np.float32)})


@pytest.mark.parametrize("dims", [(None, 4), (None, 3, 1)])
def test_an_output_of_another_shape_is_refused(dims: tuple[int | None, ...], path: Path) -> None:
    spec = replace(SPEC, outputs=(TensorSpec("y", "float32", dims),))
    with OnnxRunner(spec, path, threads=1) as runner, pytest.raises(RunnerError, match="doubler: y: expected shape"):
        runner.infer(ones(2))
