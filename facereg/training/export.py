"""From a torch module to an ONNX file that gives the same numbers."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxscript import ir
from torch import nn

from facereg.disk.replacing import write_file
from facereg.errors import RunnerError
from facereg.networks.checkpoints import HasMetadata, load_checkpoint
from facereg.networks.onnx import OnnxRunner
from facereg.networks.spec import NetworkSpec, import_object

OPSET = 18


def export_onnx(module: nn.Module, spec: NetworkSpec, path: Path, *, free: int = 32, tolerance: float = 1e-4) -> float:
    """Write `module` as ONNX with a dynamic batch and return its largest difference from torch.

    The file holds every tensor of the module by its name, so that `load_checkpoint` reads it and training goes on
    from it; batch norms stay, which ONNX Runtime folds into convolutions when it opens the file.

    Args:
        module: takes and gives the tensors of `spec`, in their order.
        free: size given to dims that the spec leaves open, for tracing.
        tolerance: largest difference allowed, relative to the largest output.
    Raises:
        RunnerError: if ONNX Runtime's numbers differ from torch's by more than `tolerance`.
    """
    module = module.eval()
    example = _random_inputs(spec, batch=2, free=free)
    dynamic = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(t.dims) if axis == 0 or size is None}
        for t in spec.inputs
    )
    for name in ("torch.onnx", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            module,
            tuple(torch.from_numpy(value) for value in example),
            dynamo=True,
            opset_version=OPSET,
            input_names=[t.name for t in spec.inputs],
            output_names=[t.name for t in spec.outputs],
            dynamic_shapes=dynamic,
            verbose=False,
            optimize=False,
        )
        if program is None:
            raise RunnerError(f"{spec.name}: torch gave no ONNX program; check that onnx and onnxscript are installed")
        _optimize(program, module)
    _keep_tensors(program.model, module)
    write_file(path, _plain(program.model_proto))
    return compare_with_torch(module, spec, path, free=free, tolerance=tolerance)


def _optimize(program: torch.onnx.ONNXProgram, module: nn.Module) -> None:
    """Have the exporter fold what is constant, but for batch norms: what it takes for inputs meanwhile it leaves."""
    graph = program.model.graph
    norms = [name for name, one in module.named_modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    own = [graph.initializers[name] for name in graph.initializers if name.rpartition(".")[0] in norms]
    graph.inputs.extend(own)
    program.optimize()
    for value in own:
        graph.inputs.remove(value)


def _keep_tensors(model: ir.Model, module: nn.Module) -> None:
    """Put the tensors of a module that the exporter dropped, some for others made of them, beside those it left."""
    held = model.graph.initializers
    for name, tensor in module.state_dict().items():
        if name in held:
            value = held[name].const_value
            if value is not None and np.array_equal(value.numpy(), tensor.numpy()):
                continue
            raise RunnerError(f"{name}: expected the exporter to leave this tensor or to drop it, got it changed")
        kept = ir.tensor(tensor.numpy(), name=name)
        held[name] = ir.Value(name=name, const_value=kept, type=ir.TensorType(kept.dtype), shape=ir.Shape(tensor.shape))
    if isinstance(module, HasMetadata):
        model.metadata_props.update(module.checkpoint_metadata())


def _plain(model: onnx.ModelProto) -> bytes:
    """Return the file without what the exporter says of each node and value: paths of this machine, and much text."""
    graph = model.graph
    for one in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        del one.metadata_props[:]
        one.doc_string = ""
    del graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content


def export_checkpoint(spec: NetworkSpec, weights: Path | None, path: Path) -> float:
    """Write the ONNX file of a network from its tensors; return the difference from torch.

    Args:
        weights: the ONNX file, or its folder; None takes the model's own.
    Raises:
        RunnerError: if the network names no torch module, or the ONNX file differs.
        WeightsError: if the file is missing or of another network.
    """
    if spec.module is None:
        raise RunnerError(f"{spec.name}: its plugin names no torch module; there is nothing to export")
    module: nn.Module = import_object(spec.module)()
    load_checkpoint(module, spec.locate(weights))
    return export_onnx(module, spec, path)


def compare_with_torch(
    module: nn.Module, spec: NetworkSpec, path: Path, *, free: int = 32, tolerance: float = 1e-4
) -> float:
    """Return the largest difference between an ONNX file and a module, relative to the largest output.

    Raises:
        RunnerError: if it is over `tolerance`.
    """
    worst = 0.0
    with OnnxRunner(spec, path) as runner, torch.inference_mode():
        for batch in (1, 3):
            inputs = _random_inputs(spec, batch=batch, free=free)
            got = runner.infer({t.name: value for t, value in zip(spec.inputs, inputs, strict=True)})
            expected = module(*(torch.from_numpy(value) for value in inputs))
            outputs = expected if isinstance(expected, tuple) else (expected,)
            for tensor, value in zip(spec.outputs, outputs, strict=True):
                scale = float(value.abs().max()) or 1.0
                worst = max(worst, float(np.abs(got[tensor.name] - value.numpy()).max()) / scale)
    if worst > tolerance:
        raise RunnerError(f"{path}: expected ONNX within {tolerance:g} of torch, got {worst:.2g}; do not ship it")
    return worst


def _random_inputs(spec: NetworkSpec, *, batch: int, free: int) -> list[npt.NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    shapes = [(batch, *(size or free for size in t.dims[1:])) for t in spec.inputs]
    return [rng.integers(0, 256, shape).astype(t.dtype) for t, shape in zip(spec.inputs, shapes, strict=True)]
