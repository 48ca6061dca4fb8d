"""From a float32 ONNX file to one whose layers run on 8-bit integers.

Static quantisation by ONNX Runtime: the ranges of activations are measured on what a model gives its networks for
real pictures. The file is a quarter as large, and calls are about twice as fast on CPUs with VNNI.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from facereg.disk.replacing import write_atomically
from facereg.errors import ContractError, DatasetError, FaceregError
from facereg.networks.onnx import OnnxRunner
from facereg.networks.runner import Runner, Tensor
from facereg.networks.spec import NetworkSpec
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import Composition, StageChoice
from facereg.pipeline.failures import NO_NETWORK
from facereg.registry.installed import Registry, default_registry
from facereg.roles import RoleName, Stage
from facereg.types import Image

KEPT = 512  # rows of what a network is given
COMPARED = 16  # rows on which the two files are compared
WORST = 0.25  # difference from which float32 stays
LAYERS = ("Conv", "Gemm")  # what is quantised
Row = Mapping[str, Tensor]  # a batch of one


@dataclass(frozen=True, slots=True)
class Quantized:
    """A file written.

    Args:
        difference: of the 8-bit network from the float32 one, in its worst output, root mean square over root mean
            square.
        kept: it was too large, and the file is the float32 one.
    """

    network: str
    path: Path
    difference: float
    kept: bool


def _refuse(error: FaceregError) -> None:
    raise error


def quantize_stage(
    composition: Composition,
    role: RoleName,
    images: Iterable[Image],
    out: Path,
    *,
    failed: Callable[[FaceregError], object] = _refuse,
    registry: Registry | None = None,
) -> list[Quantized]:
    """Write 8-bit copies of one stage's networks to `out`, a folder that `weights` of that stage takes.

    The last layers, which give boxes, points or vectors, stay float32, and so does a network whose copy differs
    by more than `WORST`, such as one that marks places with huge numbers. Weights have 7 bits, so that CPUs
    without VNNI, which add products up in 16 bits, give the same.

    Args:
        composition: the stages; those before the one named feed it.
        role: of the stage.
        images: some dozens like those to come, with faces.
        failed: called where a stage fails for the image given last, which then is not measured on; by default the error
            is raised, as it always is where a network is not to be had.
    Raises:
        ContractError: if the stage has no networks, one has no float32 layers before its last, or `out` is where
            the float32 files lie.
        DatasetError: if the pictures brought a network nothing.
    """
    registry = registry or default_registry()
    [choice] = [stage for stage in composition.settled(registry).stages if stage.role == role]
    specs = registry.model(choice.name, role=role).require_networks()
    given: dict[str, list[Row]] = {spec.name: [] for spec in specs}
    with ExitStack() as opened:
        if role == "detector":  # needs none of the others
            detector = opened.enter_context(composition.make_detector(registry))
            stage: Stage = detector
            work: Callable[[Sequence[Image]], object] = detector.detect
        else:
            pipeline = opened.enter_context(Pipeline.compose(composition, registry=registry))
            stage, work = getattr(pipeline, role), pipeline.run
        stage.networks.wrap(lambda runner: _Recorder(runner, given[runner.spec.name]))
        for image in images:
            try:
                work([image])
            except FaceregError as error:
                if isinstance(error, NO_NETWORK):
                    raise
                failed(error)
    for name, rows in given.items():
        if not rows:
            raise DatasetError(f"{name}: expected pictures that it has work in, got none; give some with faces")
    out.mkdir(parents=True, exist_ok=True)
    return [_quantize(spec, choice, given[spec.name], out / spec.file) for spec in specs]


class _Recorder(Runner):
    """Runs a network and keeps what it was given, row by row."""

    def __init__(self, runner: Runner, rows: list[Row]) -> None:
        super().__init__(runner.spec, fingerprint=runner.fingerprint)
        self.runner, self.rows = runner, rows

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        batch = len(inputs[self.spec.inputs[0].name])
        for row in range(min(batch, KEPT - len(self.rows))):
            self.rows.append({name: value[row : row + 1].copy() for name, value in inputs.items()})
        return self.runner.infer(inputs)

    def close(self) -> None:
        self.runner.close()


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The rows, under the names that the file has for the inputs."""

    def __init__(self, names: Sequence[str], spec: NetworkSpec, rows: Sequence[Row]) -> None:
        self.rows: Iterator[Row] = iter(
            [{name: row[t.name] for name, t in zip(names, spec.inputs, strict=True)} for row in rows]
        )

    def get_next(self) -> Row | None:
        return next(self.rows, None)


def _quantize(spec: NetworkSpec, choice: StageChoice, rows: Sequence[Row], target: Path) -> Quantized:
    source = spec.locate(choice.weights)
    if target.resolve() == source.resolve():
        raise ContractError(f"out: expected another folder than that of the float32 file {source}; name a new one")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / spec.file
        onnxruntime.set_default_logger_severity(3)  # it warns of every tensor that is for training alone
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        layers = [node.name for node in graph.node if node.op_type in LAYERS]
        last = last_layers(graph)
        if len(layers) == len(last) or any(node.op_type == "QuantizeLinear" for node in graph.node):
            raise ContractError(f"{source}: expected float32 layers before its last, found none to quantise")
        quantize_static(
            prepared,
            made,
            _Reader([value.name for value in graph.input], spec, rows),
            op_types_to_quantize=list(LAYERS),
            nodes_to_exclude=last,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        difference = _difference(spec, source, made, rows[:COMPARED])
        kept = difference > WORST
        if kept:
            shutil.copyfile(source, made)
        write_atomically(target, made.read_bytes())
    return Quantized(spec.name, target, difference, kept)


def last_layers(graph: onnx.GraphProto) -> list[str]:
    """Return the names of the layers that lead to no other; nodes come after what they read."""
    before: set[str] = set()  # tensors that a layer hangs on
    last = []
    for node in reversed(graph.node):
        leads = not before.isdisjoint(node.output)
        if node.op_type in LAYERS and not leads:
            last.append(node.name)
        if node.op_type in LAYERS or leads:
            before.update(node.input)
    return last


def _difference(spec: NetworkSpec, source: Path, made: Path, rows: Sequence[Row]) -> float:
    with OnnxRunner(spec, source) as whole, OnnxRunner(spec, made) as small:
        pairs = [(whole.infer(row), small.infer(row)) for row in rows]
    worst = 0.0
    for tensor in spec.outputs:
        expected, got = (np.concatenate([pair[i][tensor.name].ravel() for pair in pairs]) for i in (0, 1))
        worst = max(worst, float(np.linalg.norm(got - expected) / (np.linalg.norm(expected) or 1.0)))
    return worst
