"""A Triton model repository of every network whose weights are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from facereg.disk import file_sha256, write_atomically
from facereg.errors import PluginError, RunnerError, WeightsError
from facereg.hookspecs import ModelSpec
from facereg.registry import Registry
from facereg.runners.spec import NetworkSpec, TensorSpec
from facereg.serving.config import ServedNetwork, ServingOptions, config_text, model_py

TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}


@dataclass(frozen=True, slots=True)
class Built:
    """What became of one network: `reason` says why it was left out, and is empty where it was not."""

    network: str
    model: str
    sha256: str = ""
    reason: str = ""


def build_repository(
    out: str | Path,
    *,
    registry: Registry,
    models: Sequence[str] | None = None,
    weights: Mapping[str, str | Path] | None = None,
    options: ServingOptions | None = None,
) -> list[Built]:
    """Write the repository; networks that are there already are replaced, others are left alone.

    Args:
        out: the folder; made where it is missing.
        registry: whose models are served.
        models: their names; None takes all.
        weights: by model, a folder or file that stands in for the plugin's own.
        options: how they are served.
    Returns:
        One entry a network, those left out among them.
    Raises:
        UnknownNameError: if no such model is installed.
        WeightsError: if weights that were given, or those of a model that was named, are missing or altered.
        RunnerError: if a file is no network, or not that of its spec.
        PluginError: if two models declare different networks of one name.
    """
    options, weights = options or ServingOptions(), weights or {}
    chosen = registry.models() if models is None else tuple(registry.model(name) for name in models)
    for name in weights:
        registry.model(name)
    built: dict[str, tuple[NetworkSpec, Built]] = {}
    for model in chosen:
        for spec in model.networks:
            if spec.name not in built:
                asked = models is not None or model.name in weights
                built[spec.name] = spec, _build(Path(out), model, spec, weights.get(model.name), options, asked)
            elif built[spec.name][0] != spec:
                raise PluginError(
                    f"the network {spec.name!r} is declared by {built[spec.name][1].model!r} and, differently, by "
                    f"{model.name!r}; name the models to serve, or uninstall one of the two"
                )
    return [entry for _, entry in built.values()]


def _build(
    out: Path, model: ModelSpec, spec: NetworkSpec, weights: str | Path | None, options: ServingOptions, asked: bool
) -> Built:
    try:
        path = spec.locate(weights)
    except WeightsError as error:
        if asked:
            raise
        return Built(spec.name, model.name, reason=str(error).removeprefix(f"{spec.name}: "))
    network = served_network(spec, path)
    folder = out / spec.name
    for name in ("1", "configs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    # the network first: a server that loads in between refuses it for its checksum rather than serve it as the old one
    if not (folder / "1/model.onnx").is_file() or file_sha256(folder / "1/model.onnx") != network.sha256:
        write_atomically(folder / "1/model.onnx", path.read_bytes())
    for name, text in repository_texts(network, options).items():
        write_atomically(folder / name, text.encode())
    return Built(spec.name, model.name, network.sha256)


def repository_texts(network: ServedNetwork, options: ServingOptions) -> dict[str, str]:
    """Return what lies in a network's folder beside its ONNX file, by path."""
    return {
        "config.pbtxt": config_text(network, options, backend="onnxruntime"),
        "configs/python.pbtxt": config_text(network, options, backend="python"),
        "1/model.py": model_py(),
    }


def served_network(spec: NetworkSpec, path: Path) -> ServedNetwork:
    """Return the network as its file has it, checked against the spec.

    A full server wants the names and sizes of the file, which may be more exact than those of a spec that many
    files fit.

    Raises:
        RunnerError: if the file is no network, or its tensors are not those of the spec.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise RunnerError(
            f"{path}: not a network that ONNX Runtime can open: {' '.join(str(error).split())[:300]}"
        ) from error
    return ServedNetwork(
        spec.name,
        _matched(path, spec, "inputs", spec.inputs, session.get_inputs()),
        _matched(path, spec, "outputs", spec.outputs, session.get_outputs()),
        spec.max_batch,
        file_sha256(path),
        spec.keeps_memory,
    )


def _matched(
    path: Path, spec: NetworkSpec, kind: str, declared: Sequence[TensorSpec], found: Sequence[onnxruntime.NodeArg]
) -> tuple[TensorSpec, ...]:
    by_name = {node.name: node for node in found}
    if spec.by_position and len(found) == len(declared):
        nodes = list(found)
    elif all(tensor.name in by_name for tensor in declared) and (kind == "outputs" or len(found) == len(declared)):
        nodes = [by_name[tensor.name] for tensor in declared]
    else:
        raise RunnerError(
            f"{path}: expected the {kind} {[tensor.name for tensor in declared]}, got {list(by_name)}; "
            "is it the right file?"
        )
    tensors = []
    for tensor, node in zip(declared, nodes, strict=True):
        sizes = [size if isinstance(size, int) else None for size in node.shape]
        fits = len(sizes) == len(tensor.dims) and all(
            None in (mine, size) or mine == size for mine, size in zip(tensor.dims[1:], sizes[1:], strict=True)
        )
        if TYPES.get(node.type) != tensor.dtype or not fits:
            raise RunnerError(
                f"{path}: {node.name}: expected {tensor.dtype} {tensor.dims} (None: any), got {node.type} "
                f"{node.shape}; is it the right file?"
            )
        if sizes[0] is not None:
            raise RunnerError(
                f"{path}: {node.name}: expected a batch of any size, got {sizes[0]}; export it with a dynamic batch"
            )
        dims = [size if size is not None else mine for mine, size in zip(tensor.dims, sizes, strict=True)]
        tensors.append(TensorSpec(node.name, tensor.dtype, tuple(dims)))
    return tuple(tensors)
