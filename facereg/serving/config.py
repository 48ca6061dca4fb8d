"""From a NetworkSpec to what Triton reads: `config.pbtxt`, and `configs/python.pbtxt` where it has no ONNX Runtime.

Source: Triton's documentation, "Model Configuration", and the READMEs of its ONNX Runtime and Python backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facereg.errors import ContractError
from facereg.networks.spec import TensorSpec

THREADS, ARENA = "intra_op_thread_count", "enable_mem_arena"  # ONNX Runtime backend's names, which model.py reads too
TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32", "int64": "TYPE_INT64"}
WARM_SIDE = 320  # px of an axis of any size in the warm-up: a multiple of every stride in use
PYTHON: Literal["facereg"] = "facereg"  # the backend that `python_model.py` is, over Triton's Python backend
Backend = Literal["onnxruntime", "facereg"]


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """How networks are served.

    Args:
        max_batch: no network takes larger batches than this; None leaves each its own.
        instances: copies of a network that run side by side, on each GPU where `gpus` names some.
        threads: of one run on the processor; None is 1 in the Python backend and all cores in a full server.
        device: `auto` takes the GPU where the server has one.
        gpus: numbers of the GPUs to use; they imply `device` gpu.
        tensorrt: precision of TensorRT acceleration, on a GPU; None for ONNX Runtime's own kernels.
        queue_delay_us: how long a request may wait for others to share its batch.
    Raises:
        ContractError: if a number is out of range, or two options contradict.
    """

    max_batch: int | None = None
    instances: int = 1
    threads: int | None = None
    device: Literal["auto", "cpu", "gpu"] = "auto"
    gpus: tuple[int, ...] = ()
    tensorrt: Literal["fp32", "fp16"] | None = None
    queue_delay_us: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("max_batch", self.max_batch, 1),
            ("instances", self.instances, 1),
            ("threads", self.threads, 1),
            ("queue_delay_us", self.queue_delay_us, 0),
            ("gpus", min(self.gpus, default=0), 0),
        ):
            if value is not None and value < least:
                raise ContractError(f"{name}: expected at least {least}, got {value}")
        if self.device == "cpu" and (self.gpus or self.tensorrt):
            raise ContractError("device 'cpu': gpus and tensorrt need a GPU; leave them out, or use device='gpu'")


@dataclass(frozen=True, slots=True)
class ServedNetwork:
    """A network as its file has it: the tensors' names and sizes are the file's, the batch is the first of `dims`."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int
    sha256: str
    keeps_memory: bool  # as NetworkSpec


def config_text(network: ServedNetwork, options: ServingOptions, *, backend: Backend) -> str:
    """Return the model configuration in Triton's text form."""
    largest = min(network.max_batch, options.max_batch or network.max_batch)
    blocks = [
        f'name: "{network.name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {largest}",
        *(_tensor("input", tensor, backend) for tensor in network.inputs),
        *(_tensor("output", tensor, backend) for tensor in network.outputs),
        "version_policy { all { } }",
        f"dynamic_batching {{\n  preferred_batch_size: {_list(_preferred(largest))}\n"
        f"  max_queue_delay_microseconds: {options.queue_delay_us}\n}}",
        _instances(options, backend),
        # model.py has nothing to warm, and a process slow to begin, taken for dead in its warm-up, ends the server
        *(_warm_up(network, batch) for batch in dict.fromkeys((1, largest)) if backend == "onnxruntime"),
        *_parameters(network, options, backend),
    ]
    if options.tensorrt:  # a server that cannot do it must refuse, so each is told
        blocks.append(
            "optimization {\n  execution_accelerators {\n    gpu_execution_accelerator {\n"
            '      name: "tensorrt"\n'
            f'      parameters {{ key: "precision_mode" value: "{options.tensorrt.upper()}" }}\n'
            "    }\n  }\n}"
        )
    return "# Written by 'facereg triton build'; do not edit.\n" + "\n".join(blocks) + "\n"


def states_tensors(text: str, network: ServedNetwork, *, backend: Backend) -> bool:
    """Return whether a configuration that we wrote has the tensors of a network, these and no others."""
    blocks = [_tensor("input", tensor, backend) for tensor in network.inputs]
    blocks += [_tensor("output", tensor, backend) for tensor in network.outputs]
    stated = sum(line in ("input {", "output {") for line in text.splitlines())
    return stated == len(blocks) and all(block in text for block in blocks)


def gpu_wanted(text: str) -> str:
    """Return what of a GPU a configuration asks for, in words, or nothing where the processor will do."""
    if "gpu_execution_accelerator" in text:
        return "TensorRT"
    return "a GPU" if "KIND_GPU" in text else ""


def served_dims(tensor: TensorSpec) -> tuple[int, ...]:
    """Return a tensor's dims as Triton states them: without the batch, -1 for any size, [1] for none at all."""
    return tuple(-1 if size is None else size for size in tensor.dims[1:]) or (1,)


def _tensor(kind: str, tensor: TensorSpec, backend: Backend) -> str:
    lines = [f'  name: "{tensor.name}"', f"  data_type: {TYPES[tensor.dtype]}", f"  dims: {_list(served_dims(tensor))}"]
    if len(tensor.dims) == 1 and backend == "onnxruntime":  # model.py reshapes by itself
        lines.append("  reshape { shape: [ ] }")
    return f"{kind} {{\n" + "\n".join(lines) + "\n}"


def _preferred(largest: int) -> list[int]:
    """Return the largest batch and its halves from 4 up."""
    sizes = [largest]
    while sizes[0] % 2 == 0 and sizes[0] // 2 >= 4:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def _instances(options: ServingOptions, backend: Backend) -> str:
    if options.gpus or options.tensorrt or options.device == "gpu":
        kind = "KIND_GPU"  # for the Python backend too, which then refuses: it has only the processor
    else:
        kind = "KIND_CPU" if backend == PYTHON else f"KIND_{options.device.upper()}"
    lines = [f"  count: {options.instances}", f"  kind: {kind}"]
    if options.gpus:
        lines.append(f"  gpus: {_list(options.gpus)}")
    return "instance_group {\n" + "\n".join(lines) + "\n}"


def _warm_up(network: ServedNetwork, batch: int) -> str:
    inputs = "\n".join(
        f'  inputs {{\n    key: "{tensor.name}"\n    value {{\n      data_type: {TYPES[tensor.dtype]}\n'
        f"      dims: {_list([WARM_SIDE if size == -1 else size for size in served_dims(tensor)])}\n"
        "      zero_data: true\n    }\n  }"
        for tensor in network.inputs
    )
    return f'model_warmup {{\n  name: "batch of {batch}"\n  batch_size: {batch}\n{inputs}\n}}'


def _parameters(network: ServedNetwork, options: ServingOptions, backend: Backend) -> list[str]:
    values = {ARENA: "1" if network.keeps_memory else "0"}
    if options.threads is not None or backend == PYTHON:
        values[THREADS] = str(options.threads or 1)
    if backend == "onnxruntime":
        values["enable_mem_pattern"] = "0"  # as OnnxRunner: it would hold a plan for every size
    return [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in values.items()]


def _list(values: Sequence[int]) -> str:
    return f"[ {', '.join(map(str, values))} ]"
