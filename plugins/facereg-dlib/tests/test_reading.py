"""The reader of dlib's file, on a file of the same layout that is written here: no weights are needed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from facereg_dlib.tensors import Numbers, read_numbers

from facereg import FloatArray, WeightsError

# From the facts of the file: (numbers of a convolution with its biases, channels out) of the 29 pairs, in order
STAGES = [(32, 32, 6), (64, 32, 1), (64, 64, 7), (128, 64, 1), (128, 128, 5), (256, 128, 1), (256, 256, 7)]
PAIRS = [(7 * 7 * 3 * 32 + 32, 32)]
PAIRS += [(9 * into * out + out, out) for out, into, layers in STAGES for _ in range(layers)]
SHAPES = [shape for numbers, out in PAIRS for shape in ((numbers, 1), (2 * out, 1))] + [(256, 128)]
SETTINGS = b"\x01\x05con_4\x01\x02\x02\x80\x12\x81\x11"  # of a layer: bytes between the tensors


def integer(value: int) -> bytes:
    content = value.to_bytes(4, "little").rstrip(b"\0")
    return bytes([len(content)]) + content


def tensor(numbers: FloatArray, *, version: int = 2) -> bytes:
    samples, channels = numbers.shape
    return b"".join(map(integer, (version, samples, channels, 1, 1))) + numbers.astype("<f4").tobytes()


@pytest.fixture(scope="module")
def tensors() -> list[FloatArray]:
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for shape in SHAPES]


@pytest.fixture(scope="module")
def content(tensors: list[FloatArray]) -> bytes:
    return b"\x01\x01\x0dloss_metric_2" + b"".join(SETTINGS + tensor(one) for one in tensors) + SETTINGS


@pytest.fixture(scope="module")
def numbers(content: bytes) -> Numbers:
    return read_numbers(content)


def test_the_file_holds_59_tensors_of_5614592_numbers(tensors: list[FloatArray]) -> None:
    assert (len(tensors), sum(one.size for one in tensors)) == (59, 5_614_592)


def test_every_number_is_read_and_where_it_should_be(numbers: Numbers, tensors: list[FloatArray]) -> None:
    assert len(numbers.convolutions) == 29
    for layer, own, affine in zip(numbers.convolutions, tensors[:-1:2], tensors[1::2], strict=True):
        out = len(layer.biases)
        assert np.array_equal(layer.weights.ravel(), own[:-out, 0])
        assert np.array_equal(layer.biases, own[-out:, 0])
        assert np.array_equal(np.concatenate([layer.gamma, layer.beta]), affine[:, 0])
    assert [layer.weights.shape for layer in numbers.convolutions][:2] == [(32, 3, 7, 7), (32, 32, 3, 3)]
    assert numbers.convolutions[-2].weights.shape == (256, 256, 3, 3)
    assert np.array_equal(numbers.matrix, tensors[-1])


@pytest.mark.parametrize(
    ("bytes_left", "words"),
    [
        (0, "convolution 0: expected a tensor of 4736 x 1 after byte 0, found none"),
        (1000, "convolution 0: .* found 9.. of its 18944 bytes"),
        (20_000, "convolution 1: .* found .* of its 36992 bytes"),
        (-100_000, "the last matrix: .* of its 131072 bytes"),
        (-131_090, "the last matrix: .* found none"),
    ],
    ids=["empty", "in the first", "in the second", "in the last", "before the last"],
)
def test_a_file_that_is_cut_off_is_refused_in_one_line(bytes_left: int, words: str, content: bytes) -> None:
    with pytest.raises(WeightsError, match=f"^dlib-resnet: {words}; is it the whole dlib_face_[a-z_1-9]*.dat[?]$"):
        read_numbers(content[:bytes_left])


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (4, lambda one: tensor(one[:-1])),
        (10, lambda one: tensor(one, version=1)),
        (20, lambda one: tensor(one.reshape(1, -1))),
        (57, lambda one: b""),
        (58, lambda one: tensor(one.T)),
        (30, lambda one: bytes(5000) + tensor(one)),
    ],
    ids=["a number less", "another version", "another shape", "left out", "turned", "far away"],
)
def test_another_network_is_refused(row: int, change, tensors: list[FloatArray]) -> None:  # type: ignore[no-untyped-def]
    planted = [tensor(one) for one in tensors]
    planted[row] = change(tensors[row])
    layer = "the last matrix" if row == 58 else f"{'affine layer' if row % 2 else 'convolution'} {row // 2}"
    with pytest.raises(WeightsError, match=re.escape(layer)):
        read_numbers(SETTINGS + SETTINGS.join(planted))
