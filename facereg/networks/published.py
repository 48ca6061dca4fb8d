"""ONNX files of other origins: what they show of themselves, and copies that take a batch of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime

from facereg.errors import BrokenNetworkError, MissingExtraError, words_of
from facereg.networks.onnx import open_session
from facereg.networks.runner import Tensor
from facereg.networks.spec import DType, NetworkSpec, PublishedFile, TensorSpec

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("describing a file needs onnx; pip install facereg-onnx") from error

SIDE = 320  # px of an input whose sides are open, where a copy is compared: a multiple of every stride in use
ALIKE = 1e-3  # of the largest number of an output; sums are added up in another order
STAYS = "its batch stays of the size it has, so that no server takes it"
SCALING = frozenset({"Sub", "Add", "Mul", "Div", "BatchNormalization"})
PASSING = frozenset({"Cast", "Identity", "Transpose"})  # what may come before


def read_published(path: Path) -> tuple[PublishedFile, bytes]:
    """Return what a file shows of itself, and its content.

    Raises:
        BrokenNetworkError: if it is no ONNX network.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BrokenNetworkError(f"{path}: expected an ONNX file, got: {error.strerror or error}") from error
    open_session(content, path, onnxruntime.SessionOptions())  # which says what is wrong with it
    graph = onnx.load_from_string(content).graph
    inputs, outputs = tuple(map(_tensor, _inputs(graph))), tuple(map(_tensor, graph.output))
    if not inputs or not outputs:
        raise BrokenNetworkError(f"{path}: expected a network that takes and gives something")
    return PublishedFile(path.stem, inputs, outputs, _scales(graph, inputs[0].name)), content


def fitting_copy(content: bytes, spec: NetworkSpec, path: Path) -> bytes | None:
    """Return a copy of a file that takes a batch of any size, as the spec has it; None where the file does so itself.

    The batch axis of inputs and outputs is opened, and that of the shapes that the file states within; an output that
    has no batch axis is given one; outputs beyond those of the spec are left out. The copy is run on one and on two
    rows, and gives the same as the file.

    Args:
        path: of the file, for messages.
    Raises:
        BrokenNetworkError: if the copy cannot be run so, or gives something else.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    inputs = _inputs(graph)
    ranks = [len(tensor.dims) for tensor in spec.outputs]
    missing = [0 < len(_dims(each)) < rank for each, rank in zip(graph.output, ranks, strict=False)]
    more = len(graph.output) > len(spec.outputs) and spec.tensors_by_position
    fixed = any(_dims(each)[:1] != (None,) for each in (*inputs, *graph.output))
    if not fixed and not any(missing) and not more:
        return None
    if more:
        del graph.output[len(spec.outputs) :]
    open_sides = None in _dims(inputs[0])[1:]
    _open_shapes(graph)
    for each in inputs:
        _declare(each, [None, *_dims(each)[1:]])
    for each, lacks in zip(graph.output, missing, strict=False):
        if lacks:
            _add_batch(graph, each, inputs[0].name)
        dims = _dims(each)
        _declare(each, [None, *(None if open_sides else size for size in dims[1:-1]), *dims[1:][-1:]])
    del graph.value_info[:]
    copy: bytes = model.SerializeToString()
    _require_alike(content, copy, path)
    return copy


def _require_alike(content: bytes, copy: bytes, path: Path) -> None:
    """Check that a copy gives, for one row and for each of two, what the file gives; raises BrokenNetworkError."""
    first, second = (open_session(each, path, onnxruntime.SessionOptions()) for each in (content, copy))
    names = [each.name for each in second.get_outputs()]
    sides = [[n if isinstance(n, int) else SIDE for n in each.shape[1:]] for each in second.get_inputs()]
    rng = np.random.default_rng(0)
    rows = {
        each.name: rng.uniform(-1, 1, (2, *side)).astype(np.float32)
        for each, side in zip(second.get_inputs(), sides, strict=True)
    }
    try:
        alone = [first.run(names, {name: value[row : row + 1] for name, value in rows.items()}) for row in (0, 1)]
        both = second.run(names, rows)
    except Exception as error:  # onnxruntime's errors share no base class
        raise BrokenNetworkError(f"{path}: {STAYS}: {words_of(error, 200)}") from error
    for row, output in ((row, index) for row in (0, 1) for index in range(len(names))):
        want, got = alone[row][output], both[output][row]
        most = ALIKE * max(np.abs(want).max(), 1e-6)
        if want.size != got.size or not np.abs(want.ravel() - got.ravel()).max() <= most:  # NaN is not
            raise BrokenNetworkError(f"{path}: {STAYS}: {names[output]} differs")


def _scales(graph: onnx.GraphProto, name: str) -> bool:
    """Return whether what follows on a tensor scales it."""
    takers = [node for node in graph.node if name in node.input]
    while len(takers) == 1 and takers[0].op_type in PASSING:
        name = takers[0].output[0]
        takers = [node for node in graph.node if name in node.input]
    return len(takers) == 1 and takers[0].op_type in SCALING


def _open_shapes(graph: onnx.GraphProto) -> None:
    """Open the batch, which is 1, in shapes and sizes that are stated as constants."""
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            held[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for number, node in reversed(list(enumerate(graph.node))):  # from behind: nodes come in between
        place = {"Reshape": 1, "Resize": 3}.get(node.op_type, len(node.input))
        stated = held.get(node.input[place]) if place < len(node.input) else None
        if stated is None or len(stated) < 2 or stated[0] != 1:
            continue
        stem, rest = f"facereg_{number}", [int(size) for size in stated[1:]]
        if node.op_type == "Reshape":
            # what the rest leaves over; where that is said of another axis, as many as come in
            shape = np.array([0 if -1 in rest else -1, *rest], np.int64)
            node.input[place] = _constant(graph, stem, shape)
        else:
            before = _with_batch(graph, node.input[0], rest, stem)
            node.input[place] = f"{stem}_dims"
            for each in reversed(before):
                graph.node.insert(number, each)


def _add_batch(graph: onnx.GraphProto, output: onnx.ValueInfoProto, source: str) -> None:
    """Put a batch axis, that of the tensor `source`, before the axes of an output whose rows are those of all."""
    inner, stem = f"{output.name}_rows", f"facereg_{output.name}"
    rest = [-1, *(size or -1 for size in _dims(output)[1:])]
    for node in graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
        node.input[:] = [inner if name == output.name else name for name in node.input]
    graph.node.extend(_with_batch(graph, source, rest, stem))
    graph.node.append(helper.make_node("Reshape", [inner, f"{stem}_dims"], [output.name]))
    _declare(output, [None, None, *_dims(output)[1:]])


def _with_batch(graph: onnx.GraphProto, source: str, rest: Sequence[int], stem: str) -> list[onnx.NodeProto]:
    """Return the nodes that give `STEM_dims`: the batch of a tensor, and the rest."""
    tail = _constant(graph, f"{stem}_tail", np.array(rest, np.int64))
    first = _constant(graph, f"{stem}_first", np.array([0], np.int64))
    return [
        helper.make_node("Shape", [source], [f"{stem}_shape"]),
        helper.make_node("Gather", [f"{stem}_shape", first], [f"{stem}_batch"]),
        helper.make_node("Concat", [f"{stem}_batch", tail], [f"{stem}_dims"], axis=0),
    ]


def _constant(graph: onnx.GraphProto, name: str, value: Tensor) -> str:
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _declare(tensor: onnx.ValueInfoProto, dims: Iterable[int | None]) -> None:
    """State the sizes of a tensor; the first is the batch."""
    sizes = ["batch" if axis == 0 else size for axis, size in enumerate(dims)]
    tensor.CopyFrom(helper.make_tensor_value_info(tensor.name, tensor.type.tensor_type.elem_type, sizes))


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs; files of old versions list their constants among them."""
    constants = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in constants]


def _tensor(tensor: onnx.ValueInfoProto) -> TensorSpec:
    kind = helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type).name
    return TensorSpec(tensor.name, cast(DType, kind), _dims(tensor))  # whatever it is: models compare


def _dims(tensor: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    shape = tensor.type.tensor_type.shape.dim
    return tuple(each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None for each in shape)
