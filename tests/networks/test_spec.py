"""What a spec says: the number under which a server holds its weights, how many rows go at once."""

from __future__ import annotations

import pytest

from facereg.errors import WeightsError
from facereg.networks.runner import Networks
from facereg.networks.spec import NetworkSpec, weights_version
from facereg.roles import Embedder
from tests.fakes import PaintedEmbedder


@pytest.mark.parametrize(
    ("sha256", "version"),
    [
        ("0" * 14 + "1" + "f" * 49, 1),
        ("0" * 64, 0),
        ("f" * 64, 2**60 - 1),  # fits in 64 bits with a sign
        ("1" + "0" * 63, 2**56),
    ],
)
def test_the_version_is_the_first_60_bits_of_the_checksum(sha256: str, version: int) -> None:
    assert weights_version(sha256) == version


@pytest.mark.parametrize("text", ["", "12" * 31, "12" * 33, "g" * 64, "F" * 64, "²" * 64, "f" * 64 + "\n"])
def test_what_is_no_sha256_has_no_version(text: str) -> None:
    with pytest.raises(WeightsError, match="64 hex digits"):
        weights_version(text)


def test_an_embedders_batch_is_what_all_its_networks_take_at_once() -> None:
    def spec(name: str, most: int) -> NetworkSpec:
        return NetworkSpec(name=name, inputs=(), outputs=(), package="p", file=f"{name}.onnx", max_batch=most)

    class Two(PaintedEmbedder):
        def __init__(self, *specs: NetworkSpec) -> None:
            Embedder.__init__(self, Networks(specs))

    assert Two(spec("a", 32), spec("b", 8)).batch_size == 8
    assert Two().batch_size == PaintedEmbedder.batch_size == 4  # stated, where there are none
