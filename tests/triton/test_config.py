"""The model repository: Triton's own parser reads the configurations; the committed files are the generator's."""

from __future__ import annotations

import ast
import errno
import os
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from facereg.disk.replacing import file_sha256
from facereg.errors import ContractError, PluginError, RunnerError, WeightsError
from facereg.networks.spec import NetworkSpec, TensorSpec, weights_version
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import default_registry
from facereg.serving.config import Backend, ServedNetwork, ServingOptions, config_text, gpu_wanted
from facereg.serving.repository import build_repository, repository_texts, served_network
from facereg.serving.versions import check_repository, version_folders
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


def parsed_file(path: Path) -> Any:
    return text_format.Parse(path.read_text("utf-8"), model_config_pb2.ModelConfig())


def shipped_networks() -> list[NetworkSpec]:
    """Return the networks of the plugins of this repository whose weights ship, or come with another distribution."""
    return [
        spec
        for model in default_registry().models(tagged=True)
        for spec in model.networks
        if spec.sha256 is not None and any(PLUGINS.glob(f"*/{spec.package}/plugin.py"))
    ]


def are_here(spec: NetworkSpec) -> bool:
    """Return whether a network's weights are installed."""
    return spec.installed is None or spec.installed.find() is not None


@pytest.mark.parametrize("spec", shipped_networks(), ids=lambda spec: spec.name)
def test_the_committed_files_are_those_that_the_generator_writes(spec: NetworkSpec) -> None:
    if not are_here(spec):
        pytest.skip(f"{spec.name}: needs the distribution that its weights come with")
    for name, text in repository_texts(served_network(spec, spec.locate()), ServingOptions()).items():
        committed = COMMITTED / spec.name / name
        assert committed.is_file(), f"{committed} is missing; run 'facereg triton build'"
        assert committed.read_text("utf-8") == text, f"{committed} is old; run 'facereg triton build'"


def test_nothing_else_is_committed() -> None:
    texts = {"config.pbtxt", "configs/python.pbtxt"}
    for folder in COMMITTED.iterdir():
        assert folder.name in {spec.name for spec in shipped_networks()}
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {name for name in found - texts if not name.endswith("/model.onnx")} == set()


def test_one_command_puts_the_networks_into_the_committed_folder(tmp_path: Path) -> None:
    committed = {path.relative_to(COMMITTED): path.read_bytes() for path in COMMITTED.rglob("*.pbtxt")}
    for name, content in committed.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    build_repository(tmp_path, registry=default_registry())
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.pbtxt")} == committed
    for spec in filter(are_here, shipped_networks()):
        assert spec.sha256 is not None
        assert file_sha256(tmp_path / spec.name / str(weights_version(spec.sha256)) / "model.onnx") == spec.sha256
    check_repository(tmp_path)


def test_triton_reads_tensors_batches_and_versions() -> None:
    config = parsed()
    assert (config.name, config.backend, config.max_batch_size) == ("net", "onnxruntime", 48)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [
        ("images", model_config_pb2.TYPE_UINT8, [-1, 112, 3])
    ]
    assert [list(t.dims) for t in config.output] == [[1], [5, -1]]
    assert list(config.dynamic_batching.preferred_batch_size) == [6, 12, 24, 48]
    assert config.version_policy.HasField("all")
    assert [(w.batch_size, list(w.inputs["images"].dims)) for w in config.model_warmup] == [
        (1, [320, 112, 3]),
        (48, [320, 112, 3]),
    ]
    assert not parsed(backend="facereg").model_warmup


@pytest.mark.parametrize("backend", ["onnxruntime", "facereg"])
def test_one_configuration_serves_all_weights(backend: Backend) -> None:
    texts = {config_text(replace(NETWORK, sha256=sha256), ServingOptions(), backend=backend) for sha256 in ("a", "b")}
    assert len(texts) == 1


def test_a_number_a_row_is_reshaped_by_a_full_server_and_by_the_python_model() -> None:
    full, python = parsed(), parsed(backend="facereg")
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


@pytest.mark.parametrize("backend", ["onnxruntime", "facereg"])
def test_memory_is_kept_where_the_spec_says_so(backend: Backend) -> None:
    for keeps_memory, arena in ((False, "0"), (True, "1")):
        text = config_text(replace(NETWORK, keeps_memory=keeps_memory), ServingOptions(), backend=backend)
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        assert config.parameters["enable_mem_arena"].string_value == arena


@pytest.mark.parametrize("backend", ["onnxruntime", "facereg"])
@pytest.mark.parametrize(
    "options", [{"gpus": (1,)}, {"device": "gpu"}, {"tensorrt": "fp16"}], ids=["gpus", "device", "tensorrt"]
)
def test_a_gpu_is_asked_for_of_every_server(options: dict[str, Any], backend: Backend) -> None:
    text = config_text(NETWORK, ServingOptions(**options), backend=backend)
    [group] = text_format.Parse(text, model_config_pb2.ModelConfig()).instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert gpu_wanted(text)


@pytest.mark.parametrize(("backend", "kind"), [("onnxruntime", "KIND_AUTO"), ("facereg", "KIND_CPU")])
def test_no_gpu_is_asked_for_where_none_is_named(backend: Backend, kind: str) -> None:
    text = config_text(NETWORK, ServingOptions(), backend=backend)
    [group] = text_format.Parse(text, model_config_pb2.ModelConfig()).instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.Kind.Value(kind)
    assert not gpu_wanted(text)


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
    tree = ast.parse((resources.files("facereg.serving") / "python_model.py").read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"hashlib", "json", "numpy", "onnxruntime", "triton_python_backend_utils"}


def test_a_third_partys_network_is_built_with_the_names_and_sizes_of_its_file(tmp_path: Path) -> None:
    file = write_colours(tmp_path / "mine.onnx")
    [built] = build_repository(
        tmp_path / "out", registry=third_party_registry(), weights={"mean-colour": file}, models=["mean-colour"]
    )
    folder = tmp_path / "out" / COLOURS.name
    config = parsed_file(folder / "config.pbtxt")
    assert built.sha256 == file_sha256(file) == file_sha256(folder / str(built.version) / "model.onnx")
    assert [(t.name, list(t.dims)) for t in config.input] == [("x", [-1, -1, 3])]
    assert [(t.name, list(t.dims)) for t in config.output] == [("mean", [3]), ("all", [1])]


@pytest.mark.parametrize("name", ["yolov5s-face:int8", "yolov5s-face-int8"], ids=["tag", "old name"])
def test_weights_with_a_tag_have_a_network_of_their_own_on_the_server(name: str, tmp_path: Path) -> None:
    [built] = build_repository(tmp_path, registry=default_registry(), models=[name])
    assert (built.network, built.model) == ("yolov5s-face-int8", "yolov5s-face:int8")  # no colon may be in its name
    config = parsed_file(tmp_path / built.network / "config.pbtxt")
    assert config.name == "yolov5s-face-int8"
    [spec] = default_registry().model(name).networks
    assert file_sha256(tmp_path / built.network / str(built.version) / "model.onnx") == spec.sha256
    file = tmp_path / "mine.onnx"
    shutil.copy(spec.locate(), file)
    [mine] = build_repository(tmp_path, registry=default_registry(), models=[name], weights={name: file})
    assert mine == built


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
    [(number, folder)] = version_folders(tmp_path / "out" / COLOURS.name).items()
    assert number == weights_version(file_sha256(file))
    assert file_sha256(folder / "model.onnx") == file_sha256(file)
    check_repository(tmp_path / "out")


def test_the_folder_that_an_older_facereg_wrote_goes(tmp_path: Path) -> None:
    old = tmp_path / COLOURS.name / "1"
    old.mkdir(parents=True)
    (old / "model.onnx").write_bytes(b"old")
    (old / "model.py").write_bytes(b"old")
    file = write_colours(tmp_path / "mine.onnx")
    build_repository(tmp_path, registry=third_party_registry(), weights={"mean-colour": file})
    assert set(version_folders(tmp_path / COLOURS.name)) == {weights_version(file_sha256(file))}


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", "", 'a"b', "a\nb", "a b"])
def test_no_network_has_a_name_that_leads_out_of_the_repository(name: str) -> None:
    with pytest.raises(PluginError, match="NetworkSpec: name"):
        ModelSpec("other", "embedder", "a:b", networks=(replace(COLOURS, name=name),))


def test_a_tensors_name_cannot_end_the_configuration(tmp_path: Path) -> None:
    file = write_colours(tmp_path / "mine.onnx")
    model = onnx.load(file)
    model.graph.output[0].name = model.graph.node[2].output[0] = 'mean" } x { "'
    onnx.save(model, str(file))
    with pytest.raises(RunnerError, match="expected a tensor's name without quotes"):
        served_network(COLOURS, file)


def test_a_disk_that_is_full_is_one_line_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    file = write_colours(tmp_path / "mine.onnx")
    build_repository(out, registry=third_party_registry(), weights={"mean-colour": file})
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write_bytes(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    write_colours(file, gain=2.0)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunnerError, match="could not be written: No space left on device"):
        build_repository(out, registry=third_party_registry(), weights={"mean-colour": file})
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


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
