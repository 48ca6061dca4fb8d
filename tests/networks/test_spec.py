"""The number under which a server holds a network with its weights."""

from __future__ import annotations

import pytest

from facereg.errors import WeightsError
from facereg.networks.spec import weights_version


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
