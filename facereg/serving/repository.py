"""A Triton model repository of every network whose weights are there: `NETWORK/VERSION/model.onnx`, and configurations.

The version is made from the checksum of the weights (`weights_version`), so a request that names it is answered by
these weights or by none, and several weights of one network lie side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime

from facereg.disk.replacing import file_sha256, whole_folder, write_atomically
from facereg.errors import PluginError, RunnerError, WeightsError
from facereg.networks.matching import Kind, dims_fit, rows_of_declared
from facereg.networks.onnx import open_session
from facereg.networks.spec import NetworkSpec, TensorSpec, weights_version
from facereg.pipeline.composition import Composition
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import Registry
from facereg.serving.config import (
    PYTHON,
    Backend,
    ServedNetwork,
    ServingOptions,
    config_text,
    states_tensors,
)
from facereg.serving.versions import MODEL, remove_version, version_folders

TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}


@dataclass(frozen=True, slots=True)
class Built:
    """What became of one network: `reason` says why it was left out, and is empty where it was not."""

    network: str
    model: str
    sha256: str = ""
    reason: str = ""

    @property
    def version(self) -> int | None:
        """The number under which a server holds these weights, or None where they were left out."""
        return weights_version(self.sha256) if self.sha256 else None


def build_repository(
    out: str | Path,
    *,
    registry: Registry,
    models: Sequence[str] | None = None,
    weights: Mapping[str, str | Path] | None = None,
    options: ServingOptions | None = None,
    beside: bool = False,
) -> list[Built]:
    """Write the repository; networks that are there already are replaced, others are left alone.

    A running server takes up what changes. New weights are there before the old ones go.

    Args:
        out: the folder; made where it is missing.
        registry: whose models are served.
        models: their names, with a tag for weights that have one; None takes all, with every tag.
        weights: by such a name, a folder or file that stands in for the plugin's own.
        options: how they are served.
        beside: leave other weights of a network where they are, and its configuration as it is: a roll-out.
    Returns:
        One entry a network, those left out among them.
    Raises:
        UnknownNameError: if no such model is installed.
        WeightsError: if weights that were given, or those of a model that was named, are missing or altered.
        RunnerError: if a file is no network, or not that of its spec; if the repository cannot be written; if
            weights cannot lie beside the others, for they have other tensors.
        PluginError: if two models declare different networks of one name.
    """
    options, weights = options or ServingOptions(), by_full_name(registry, weights)
    built = []
    with TemporaryDirectory() as made:  # of what is made of another file: the repository keeps it, not the user's cache
        for model, spec in networks_of(registry, models):
            try:
                path = spec.locate(weights.get(model.full_name), made_in=Path(made))
            except WeightsError as error:
                if models is not None or model.full_name in weights:
                    raise
                built.append(Built(spec.name, model.full_name, reason=str(error).removeprefix(f"{spec.title}: ")))
                continue
            network = served_network(spec, path)
            try:
                _write(Path(out) / spec.name, network, path, options, beside)
            except OSError as error:
                raise RunnerError(
                    f"{Path(out) / spec.name}: could not be written: {error.strerror or error}; what was there is "
                    "whole; check the rights and the space on the disk"
                ) from error
            built.append(Built(spec.name, model.full_name, network.sha256))
    return built


def models_of(composition: Composition, registry: Registry) -> dict[str, str | Path | None]:
    """Return the models of a pipeline that have networks, each with the weights that it has there in place of its own.

    Raises:
        UnknownNameError: if one is not installed.
    """
    stages = composition.settled(registry).stages
    return {each.name: each.weights for each in stages if registry.model(each.name, role=each.role).networks}


def by_full_name(registry: Registry, weights: Mapping[str, str | Path] | None) -> dict[str, str | Path]:
    """Return the weights by the names that their models have today.

    Raises:
        UnknownNameError: if no such model is installed.
    """
    return {registry.model(name).full_name: place for name, place in (weights or {}).items()}


def chosen_models(registry: Registry, models: Sequence[str] | None) -> tuple[ModelSpec, ...]:
    """Return the models named, or all with every tag.

    Raises:
        UnknownNameError: if no such model is installed.
    """
    return registry.models(tagged=True) if models is None else tuple(registry.model(name) for name in models)


def networks_of(registry: Registry, models: Sequence[str] | None) -> list[tuple[ModelSpec, NetworkSpec]]:
    """Return the networks of the models named, or of all, each once and with the first model that has it.

    Raises:
        UnknownNameError: if no such model is installed.
        PluginError: if two models declare different networks of one name.
    """
    found: dict[str, tuple[ModelSpec, NetworkSpec]] = {}
    for model in chosen_models(registry, models):
        for spec in model.networks:
            first, same = found.setdefault(spec.name, (model, spec))
            if same != spec:
                raise PluginError(
                    f"the network {spec.name!r} is declared by {first.full_name!r} and, differently, by "
                    f"{model.full_name!r}; name the models to serve, or uninstall one of the two"
                )
    return list(found.values())


def _write(folder: Path, network: ServedNetwork, path: Path, options: ServingOptions, beside: bool) -> None:
    """Put the weights into the folder of a network, in an order in which a running server never lacks any."""
    version = folder / str(weights_version(network.sha256))
    old = [other for other in version_folders(folder).values() if other != version]
    texts = repository_texts(network, options)
    if beside and old and all((folder / name).is_file() for name in texts):
        _check_beside(folder, network)
        texts = {}
    if not (version / MODEL).is_file() or file_sha256(version / MODEL) != network.sha256:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != network.sha256:
            raise RunnerError(f"{path}: changed while it was read; build again")
        if version.is_dir():
            write_atomically(version / MODEL, content)
        else:
            with whole_folder(version) as new:
                (new / MODEL).write_bytes(content)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text:
            write_atomically(folder / name, text.encode())
    for other in old:
        if not beside:
            remove_version(other)


def _check_beside(folder: Path, network: ServedNetwork) -> None:
    """Check that a configuration which is there fits other weights too; raises RunnerError."""
    configurations: dict[str, Backend] = {"config.pbtxt": "onnxruntime", "configs/python.pbtxt": PYTHON}
    for name, backend in configurations.items():
        if not states_tensors((folder / name).read_text("utf-8"), network, backend=backend):
            raise RunnerError(
                f"{folder / name}: states other tensors than the new weights have, and one configuration serves all "
                "versions of a network; replace it with 'facereg triton build', or serve the new ones elsewhere"
            )


def repository_texts(network: ServedNetwork, options: ServingOptions) -> dict[str, str]:
    """Return what lies in a network's folder beside its ONNX file, by path."""
    return {
        "config.pbtxt": config_text(network, options, backend="onnxruntime"),
        "configs/python.pbtxt": config_text(network, options, backend=PYTHON),
    }


def served_network(spec: NetworkSpec, path: Path) -> ServedNetwork:
    """Return the network as its file has it, checked against the spec.

    A full server wants the names and sizes of the file, which may be more exact than those of a spec that many
    files fit.

    Raises:
        RunnerError: if the file is no network, or its tensors are not those of the spec.
    """
    content = path.read_bytes()
    session = open_session(content, path, onnxruntime.SessionOptions())
    for node in (*session.get_inputs(), *session.get_outputs()):
        if not node.name.isprintable() or set(node.name) & set('"\\'):
            raise RunnerError(
                f"{path}: {node.name[:80]!r}: expected a tensor's name without quotes; is it the right file?"
            )
    return ServedNetwork(
        spec.name,
        _matched(path, spec, "inputs", session.get_inputs()),
        _matched(path, spec, "outputs", session.get_outputs()),
        spec.max_batch,
        hashlib.sha256(content).hexdigest(),
        spec.keeps_memory,
    )


def _matched(path: Path, spec: NetworkSpec, kind: Kind, found: Sequence[onnxruntime.NodeArg]) -> tuple[TensorSpec, ...]:
    declared = spec.inputs if kind == "inputs" else spec.outputs
    names = [node.name for node in found]
    rows = rows_of_declared(spec, kind, names)
    if rows is None:
        raise RunnerError(
            f"{path}: expected the {kind} {[tensor.name for tensor in declared]}, got {names}; is it the right file?"
        )
    tensors = []
    for tensor, node in zip(declared, (found[row] for row in rows), strict=True):
        sizes = [size if isinstance(size, int) else None for size in node.shape]
        if TYPES.get(node.type) != tensor.dtype or not dims_fit([None, *tensor.dims[1:]], sizes):
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
