"""Read dlib's face recognition ResNet from the file its author published: a stream of dlib's own serialization.

An integer is one byte (low four bits: how many bytes follow; high bit: sign) and those bytes, little-endian. A tensor
is its version, 2, four such integers (samples, channels, rows, columns) and its numbers, little-endian float32. Between
two tensors lie the settings of a layer: some hundred bytes, which the network's shape makes known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facereg import FloatArray, WeightsError

STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))  # channels, blocks; all but the first begin with a 'down'
STEM = (32, 3, 7)  # channels out, channels in, side of the kernel
FEATURES, DIM = 256, 128
SETTINGS = 4096  # bytes at most between two tensors; the longest seen, at the beginning, are 344


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution and the affine layer after it: y = gamma * (weights * x + biases) + beta."""

    weights: FloatArray  # (out, in, side, side)
    biases: FloatArray  # (out,)
    gamma: FloatArray  # (out,)
    beta: FloatArray  # (out,)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Every number of the network: 29 convolutions in order, and the matrix that the mean of the last map meets."""

    convolutions: tuple[Convolution, ...]
    matrix: FloatArray  # (256, 128)


def read_numbers(content: bytes) -> Numbers:
    """Return the numbers of a `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        WeightsError: if a tensor is not where it should be, or is cut off.
    """
    reader = _Reader(content)
    convolutions = []
    for index, (out, into, side) in enumerate(_shapes()):
        own = reader.tensor(out * into * side * side + out, 1, f"convolution {index}")
        gamma, beta = reader.tensor(2 * out, 1, f"affine layer {index}").reshape(2, out)
        convolutions.append(Convolution(own[:-out].reshape(out, into, side, side), own[-out:], gamma, beta))
    matrix = reader.tensor(FEATURES, DIM, "the last matrix").reshape(FEATURES, DIM)
    return Numbers(tuple(convolutions), matrix)


def _shapes() -> Iterator[tuple[int, int, int]]:
    """Yield channels out, channels in and side of each convolution, in order of the file."""
    yield STEM
    into = STEM[0]
    for out, blocks in STAGES:
        for _ in range(blocks):
            yield from ((out, into, 3), (out, out, 3))
            into = out


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def tensor(self, samples: int, channels: int, what: str) -> FloatArray:
        """Return the numbers of the next tensor, which must have this shape."""
        header = b"".join(map(_integer, (2, samples, channels, 1, 1)))
        found = self.content.find(header, self.at, self.at + SETTINGS)
        start = found + len(header)
        end = start + 4 * samples * channels
        if found < 0 or end > len(self.content):
            got = "none" if found < 0 else f"{len(self.content) - start} of its {end - start} bytes"
            raise WeightsError(
                f"dlib-resnet: {what}: expected a tensor of {samples} x {channels} after byte {self.at}, found {got}; "
                "is it the whole dlib_face_recognition_resnet_model_v1.dat?"
            )
        self.at = end
        return np.frombuffer(self.content, "<f4", samples * channels, start)


def _integer(value: int) -> bytes:
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "little")
