"""A plugin of somebody else: its network is written here, and nothing of facereg knows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from facereg.geometry import template
from facereg.networks.runner import Networks
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import Registry
from facereg.roles import Embedder
from facereg.types import FloatArray

COLOURS = NetworkSpec(
    name="third-party-colours",
    inputs=(TensorSpec("images", "uint8", (None, None, None, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, None)), TensorSpec("brightness", "float32", (None,))),
    package="tests",
    file="colours.onnx",
    max_batch=6,
    tensors_by_position=True,  # the file calls its tensors x, mean and all
)


class MeanColour(Embedder):
    """Gives the mean colour of a crop."""

    crop_size, dim = 112, 3

    def __init__(self, networks: Networks) -> None:
        super().__init__(networks, flip=False)
        self._networks = networks

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        parts = [pixels[start : start + 6] for start in range(0, len(pixels), 6)]
        vectors: FloatArray = np.concatenate(
            [self._networks[COLOURS.name].infer({"images": part})["embedding"] for part in parts]
        )
        return vectors


class Plugin:
    """What its entry point would name."""

    @hookimpl
    def facereg_models(self) -> list[ModelSpec]:
        return [ModelSpec("mean-colour", "embedder", "tests.triton.third_party:MeanColour", networks=(COLOURS,))]


def write_landmarks(path: Path) -> Path:
    """Write a landmark network of a user's: the five of an upright face, the brighter the crop the lower: (B, 10)."""
    shares = (template(112) + 0.5) / 112
    nodes = [
        helper.make_node("ReduceMean", ["crop", "all"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "lower"], ["moved"]),
        helper.make_node("Add", ["moved", "face"], ["points"]),
    ]
    constants = [
        helper.make_tensor("all", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("lower", TensorProto.FLOAT, [10], [0.0, 0.1] * 5),
        helper.make_tensor("face", TensorProto.FLOAT, [10], shares.reshape(-1).tolist()),
    ]
    graph = helper.make_graph(
        nodes,
        "landmarks",
        [helper.make_tensor_value_info("crop", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["batch", 10])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def third_party_registry() -> Registry:
    """Return a registry that has only this plugin."""
    registry = Registry()
    registry.register(Plugin(), name="third-party")
    return registry


def write_colours(path: Path, *, gain: float = 1.0, batch: str | int = "batch") -> Path:
    """Write the network: means over height and width (B, 3), times `gain`, and over everything (B,)."""
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "sides"], ["plain"], keepdims=0),
        helper.make_node("Mul", ["plain", "gain"], ["mean"]),
        helper.make_node("ReduceMean", ["real", "all sides"], ["all"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("all sides", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [batch, "height", "width", 3])],
        [
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info("all", TensorProto.FLOAT, [batch]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def write_embedder(spec: NetworkSpec, path: Path) -> Path:
    """Write a network of an embedder's tensors: random mixtures of the means of 8 x 8 places, (B, D)."""
    [side], [dim] = {*spec.inputs[0].dims[1:3]}, spec.outputs[0].dims[1:]
    assert side is not None
    assert dim is not None
    mixing = np.random.default_rng(0).normal(size=(192, dim)).astype(np.float32)
    place = [side // 8] * 2
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["places"], kernel_shape=place, strides=place),
        helper.make_node("Flatten", ["places"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mixing"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        spec.name,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", side, side, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dim])],
        [onnx.numpy_helper.from_array(mixing, "mixing")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
