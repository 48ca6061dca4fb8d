"""dlib's face recognition ResNet as an ONNX graph: uint8 chips in, vectors out.

Source: dlib's dnn_face_recognition_ex.cpp (the layers), its layers.h and pooling (borders). A residual block is two
3x3 convolutions and a sum. Where a stage begins, the block is 'down': its first convolution has stride 2, its shortcut
is a mean of 2x2, and whichever of the two is smaller, in channels, rows or columns, is filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from facereg import FloatArray
from facereg_dlib.tensors import DIM, STAGES, STEM, Convolution, Numbers

CHIP = 150  # px
MEAN = (122.782, 117.001, 104.298)  # dlib's input_rgb_image_sized, which divides by 256 then
OPSET, IR_VERSION = 17, 8  # ONNX 1.12

# A crop of 112 px on ArcFace's template holds the chip but for some 8 px under the chin: crop = (chip - centre of the
# chip) / ENLARGED + centre of the crop, by the five landmarks of both.
CROP = 112
ENLARGED = 1.491
CHIP_CENTRE, CROP_CENTRE = (74.0, 47.13), (55.91, 51.6)  # x, y


def build(numbers: Numbers, *, for_crops: bool = False) -> ModelProto:
    """Return the network: `images` (N, 150, 150, 3) uint8 RGB to `embedding` (N, 128), not of unit length.

    Args:
        for_crops: take crops of 112 px on ArcFace's template instead, and enlarge the part that is the chip.
    """
    graph = _Graph(numbers.convolutions)
    planes = graph.add("Transpose", graph.add("Cast", "images", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    if for_crops:
        columns, rows = (
            graph.constant(_resampling(chip, crop)) for chip, crop in zip(CHIP_CENTRE, CROP_CENTRE, strict=True)
        )
        planes = graph.add("MatMul", graph.add("MatMul", rows, planes), graph.add("Transpose", columns, perm=[1, 0]))
    centred = graph.add("Sub", planes, graph.constant(np.array(MEAN, np.float32).reshape(3, 1, 1)))
    scaled = graph.add("Mul", centred, graph.constant(np.array(1 / 256, np.float32)))
    features = graph.residual_blocks(graph.stem(scaled))
    mean = graph.add("ReduceMean", features, axes=[2, 3], keepdims=0)
    graph.add("MatMul", mean, graph.constant(numbers.matrix), output="embedding")
    side = CROP if for_crops else CHIP
    return graph.model(side)


def _resampling(chip_centre: float, crop_centre: float) -> FloatArray:
    """Return (150, 112): what each pixel of the chip takes of those of the crop, linear, edges repeated."""
    at = np.clip((np.arange(CHIP) - chip_centre) / ENLARGED + crop_centre, 0, CROP - 1)
    distance = np.abs(at[:, None] - np.arange(CROP))
    shares: FloatArray = np.maximum(0, 1 - distance).astype(np.float32)
    return shares


class _Graph:
    """The nodes and constants so far; the convolutions are taken in order."""

    def __init__(self, convolutions: Sequence[Convolution]) -> None:
        self.convolutions: Iterator[Convolution] = iter(convolutions)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: npt.NDArray[Any]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        output = output or f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def convolve(self, maps: str, *, stride: int) -> str:
        """Add the next convolution with its affine layer; dlib pads by half a kernel where the stride is 1."""
        layer = next(self.convolutions)
        gamma = layer.gamma.astype(np.float64)
        weights = (layer.weights * gamma[:, None, None, None]).astype(np.float32)
        biases = (layer.biases * gamma + layer.beta).astype(np.float32)
        side = weights.shape[-1]
        return self.add(
            "Conv",
            maps,
            self.constant(weights),
            self.constant(biases),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[0 if stride > 1 else side // 2] * 4,
        )

    def stem(self, planes: str) -> str:
        maps = self.add("Relu", self.convolve(planes, stride=2))
        return self.add("MaxPool", maps, kernel_shape=[3, 3], strides=[2, 2])

    def residual_blocks(self, maps: str) -> str:
        side = _halved(_halved(CHIP, STEM[2]), 3)
        into = STEM[0]
        for stage, (out, blocks) in enumerate(STAGES):
            for block in range(blocks):
                down = stage > 0 and block == 0
                inner = self.add("Relu", self.convolve(maps, stride=2 if down else 1))
                inner = self.convolve(inner, stride=1)
                if down:
                    convolved, pooled = _halved(side, 3), _halved(side, 2)
                    maps = self.add("AveragePool", maps, kernel_shape=[2, 2], strides=[2, 2])
                    side = max(convolved, pooled)
                    maps = self.filled(maps, channels=out - into, pixels=side - pooled)
                    inner = self.filled(inner, channels=0, pixels=side - convolved)
                    into = out
                maps = self.add("Relu", self.add("Add", inner, maps))
        return maps

    def filled(self, maps: str, *, channels: int, pixels: int) -> str:
        """Add zeros after the last channel, row and column."""
        if not channels and not pixels:
            return maps
        return self.add("Pad", maps, self.constant(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)))

    def model(self, side: int) -> ModelProto:
        images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", side, side, 3])
        embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIM])
        graph = helper.make_graph(self.nodes, "dlib-resnet", [images], [embedding], self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)


def _halved(side: int, kernel: int) -> int:
    """Return the side of a map after a kernel with stride 2 and no border."""
    return (side - kernel) // 2 + 1
