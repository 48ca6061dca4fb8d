"""Fixtures shared by the tests: where the real data lies, and pictures made on the spot."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facereg.types import Image
from tests.postgres import Server


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} is not set to a folder; this test needs it")
    return Path(value)


@pytest.fixture(scope="session")
def face_data() -> Path:
    """The folder of real face data, or skip."""
    return _folder("FACEREG_DATA")


@pytest.fixture(scope="session")
def reference_weights() -> Path:
    """The folder of public reference weights, or skip."""
    return _folder("FACEREG_WEIGHTS")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a database on a PostgreSQL server with pgvector, which runs for as long as the tests."""
    with Server() as server:
        yield server.address


@pytest.fixture
def database(postgres: str) -> str:
    """The address of a gallery of the test's own in that database, which is not there yet."""
    return f"{postgres}&schema=test_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def noise_image(rng: np.random.Generator) -> Image:
    return rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
