"""From a torch module to an ONNX file that gives the same numbers."""

from __future__ import annotations

import logging
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from facereg.errors import RunnerError
from facereg.networks.checkpoints import load_checkpoint
from facereg.networks.onnx import OnnxRunner
from facereg.networks.spec import NetworkSpec, import_object

OPSET = 18


def export_onnx(module: nn.Module, spec: NetworkSpec, path: Path, *, free: int = 32, tolerance: float = 1e-4) -> float:
    """Write `module` as ONNX with a dynamic batch and return its largest difference from torch.

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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
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
        )
    if program is None:
        raise RunnerError(f"{spec.name}: torch gave no ONNX program; check that onnx and onnxscript are installed")
    for node in program.model.graph.all_nodes():
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)  # it holds paths of the machine that exports
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path, external_data=False)
    return compare_with_torch(module, spec, path, free=free, tolerance=tolerance)


def export_checkpoint(spec: NetworkSpec, weights: Path | None, path: Path) -> float:
    """Write the ONNX file of a network from its checkpoint, FILE.safetensors; return the difference from torch.

    Args:
        weights: folder of the checkpoint; None takes the plugin's own.
    Raises:
        RunnerError: if the network names no torch module, or the ONNX file differs.
        WeightsError: if the checkpoint is missing or of another network.
    """
    if spec.module is None:
        raise RunnerError(f"{spec.name}: its plugin names no torch module; there is nothing to export")
    folder = Path(str(resources.files(spec.package))) / "weights" if weights is None else weights
    module: nn.Module = import_object(spec.module)()
    load_checkpoint(module, folder / Path(spec.file).with_suffix(".safetensors"))
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
