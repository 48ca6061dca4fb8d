"""The model repository: Triton's own parser reads the configurations; the committed files are the generator's."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from facereg.disk import file_sha256
from facereg.errors import ContractError, PluginError, RunnerError, WeightsError
from facereg.hookspecs import ModelSpec, hookimpl
from facereg.registry import default_registry
from facereg.runners.spec import NetworkSpec, TensorSpec
from facereg.serving.config import ServedNetwork, ServingOptions, config_text, model_py
from facereg.serving.repository import build_repository, repository_texts, served_network
from tests.triton.third_party import COLOURS, third_party_registry, write_colours

COMMITTED = Path(__file__).parents[2] / "triton_repo"
PLUGINS = Path(__file__).parents[2] / "plugins"
NETWORK = ServedNetwork(
    "net",
    (TensorSpec("images", "uint8", (None, None, 112, 3)),),
    (TensorSpec("scores", "float32", (None,)), TensorSpec("labels", "int64", (None, 5, None))),
    48,
    "ab" * 32,
    keeps_memory=False,
)


def parsed(options: ServingOptions | None = None, *, backend: Any = "onnxruntime") -> Any:
    text = config_text(NETWORK, options or ServingOptions(), backend=backend)
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def shipped_networks() -> list[NetworkSpec]:
    """Return the networks of the plugins of this repository whose weights ship."""
    return [
        spec
        for model in default_registry().models()
        for spec in model.networks
        if spec.sha256 is not None and any(PLUGINS.glob(f"*/{spec.package}/plugin.py"))
    ]


@pytest.mark.parametrize("spec", shipped_networks(), ids=lambda spec: spec.name)
def test_the_committed_files_are_those_that_the_generator_writes(spec: NetworkSpec) -> None:
    for name, text in repository_texts(served_network(spec, spec.locate()), ServingOptions()).items():
        committed = COMMITTED / spec.name / name
        assert committed.is_file(), f"{committed} is missing; run 'facereg triton build'"
        assert committed.read_text("utf-8") == text, f"{committed} is old; run 'facereg triton build'"


def test_nothing_else_is_committed() -> None:
    assert {folder.name for folder in COMMITTED.iterdir()} <= {spec.name for spec in shipped_networks()}


def test_triton_reads_tensors_batches_and_versions() -> None:
    config = parsed()
    assert (config.name, config.backend, config.max_batch_size) == ("net", "onnxruntime", 48)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [
        ("images", model_config_pb2.TYPE_UINT8, [-1, 112, 3])
    ]
    assert [list(t.dims) for t in config.output] == [[1], [5, -1]]
    assert list(config.dynamic_batching.preferred_batch_size) == [6, 12, 24, 48]
    assert config.version_policy.latest.num_versions == 1
    assert [(w.batch_size, list(w.inputs["images"].dims)) for w in config.model_warmup] == [
        (1, [320, 112, 3]),
        (48, [320, 112, 3]),
    ]
    assert config.parameters["facereg_sha256"].string_value == "ab" * 32
    assert not parsed(backend="python").model_warmup


def test_a_number_a_row_is_reshaped_by_a_full_server_and_by_the_python_model() -> None:
    full, python = parsed(), parsed(backend="python")
    assert full.output[0].HasField("reshape")
    assert list(full.output[0].reshape.shape) == []
    assert not python.output[0].HasField("reshape")
    assert list(python.output[0].dims) == [1]


def test_options_reach_the_configuration() -> None:
    config = parsed(
        ServingOptions(max_batch=10, instances=3, threads=2, gpus=(0, 2), tensorrt="fp16", queue_delay_us=250)
    )
    [group] = config.instance_group
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert config.max_batch_size == 10
    assert list(config.dynamic_batching.preferred_batch_size) == [5, 10]
    assert config.dynamic_batching.max_queue_delay_microseconds == 250
    assert (group.count, list(group.gpus)) == (3, [0, 2])
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert (accelerator.name, dict(accelerator.parameters)) == ("tensorrt", {"precision_mode": "FP16"})
    assert config.parameters["intra_op_thread_count"].string_value == "2"


@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
def test_memory_is_kept_where_the_spec_says_so(backend: Literal["onnxruntime", "python"]) -> None:
    for keeps_memory, arena in ((False, "0"), (True, "1")):
        text = config_text(replace(NETWORK, keeps_memory=keeps_memory), ServingOptions(), backend=backend)
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        assert config.parameters["enable_mem_arena"].string_value == arena


def test_the_python_backend_runs_on_the_processor_whatever_the_gpu_options() -> None:
    config = parsed(ServingOptions(gpus=(1,), tensorrt="fp32"), backend="python")
    [group] = config.instance_group
    assert (config.backend, list(group.gpus)) == ("python", [])
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    assert not config.HasField("optimization")


def test_a_limit_above_the_networks_own_changes_nothing() -> None:
    assert parsed(ServingOptions(max_batch=500)).max_batch_size == 48


@pytest.mark.parametrize(
    "options",
    [{"max_batch": 0}, {"instances": 0}, {"gpus": (-1,)}, {"device": "cpu", "tensorrt": "fp32"}],
    ids=["max_batch", "instances", "gpus", "cpu with tensorrt"],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        ServingOptions(**options)


def test_the_python_model_stands_alone() -> None:
    tree = ast.parse(model_py())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"hashlib", "json", "numpy", "onnxruntime", "triton_python_backend_utils"}


def test_a_third_partys_network_is_built_with_the_names_and_sizes_of_its_file(tmp_path: Path) -> None:
    file = write_colours(tmp_path / "mine.onnx")
    [built] = build_repository(
        tmp_path / "out", registry=third_party_registry(), weights={"mean-colour": file}, models=["mean-colour"]
    )
    folder = tmp_path / "out" / COLOURS.name
    text = (folder / "config.pbtxt").read_text("utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert built.sha256 == file_sha256(file) == file_sha256(folder / "1/model.onnx")
    assert [(t.name, list(t.dims)) for t in config.input] == [("x", [-1, -1, 3])]
    assert [(t.name, list(t.dims)) for t in config.output] == [("mean", [3]), ("all", [1])]


def test_networks_without_weights_are_left_out_with_the_reason(tmp_path: Path) -> None:
    [entry] = build_repository(tmp_path, registry=third_party_registry())
    assert "no weights ship with tests" in entry.reason
    assert not list(tmp_path.iterdir())


def test_a_model_that_was_named_must_have_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights ship"):
        build_repository(tmp_path, registry=third_party_registry(), models=["mean-colour"])


def test_new_weights_replace_the_old_ones_and_their_checksum(tmp_path: Path) -> None:
    for gain in (1.0, 2.0):
        file = write_colours(tmp_path / "mine.onnx", gain=gain)
        build_repository(tmp_path / "out", registry=third_party_registry(), weights={"mean-colour": file})
    folder = tmp_path / "out" / COLOURS.name
    assert file_sha256(folder / "1/model.onnx") == file_sha256(file)
    assert file_sha256(file) in (folder / "configs/python.pbtxt").read_text("utf-8")


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(RunnerError, match="mine.onnx: not a network"):
        build_repository(tmp_path / "out", registry=third_party_registry(), weights={"mean-colour": file})


def test_a_file_with_other_tensors_is_refused(tmp_path: Path) -> None:
    file = write_colours(tmp_path / "mine.onnx")
    with pytest.raises(RunnerError, match=r"expected the outputs \['boxes'\], got \['mean', 'all'\]"):
        served_network(replace(COLOURS, outputs=(TensorSpec("boxes", "float32", (None, 4)),)), file)
    with pytest.raises(RunnerError, match="x: expected float32"):
        served_network(replace(COLOURS, inputs=(TensorSpec("images", "float32", (None, None, None, 3)),)), file)


def test_a_file_of_one_fixed_batch_is_refused(tmp_path: Path) -> None:
    file = write_colours(tmp_path / "mine.onnx", batch=1)
    with pytest.raises(RunnerError, match="expected a batch of any size, got 1; export it with a dynamic batch"):
        served_network(COLOURS, file)


def test_two_networks_of_one_name_are_refused(tmp_path: Path) -> None:
    class Other:
        @hookimpl
        def facereg_models(self) -> list[ModelSpec]:
            return [ModelSpec("other", "embedder", "a:b", networks=(replace(COLOURS, max_batch=2),))]

    registry = third_party_registry()
    registry.register(Other(), name="other")
    with pytest.raises(PluginError, match="'third-party-colours' is declared by 'mean-colour' and, differently"):
        build_repository(tmp_path, registry=registry)
