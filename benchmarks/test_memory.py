"""Memory while detecting pictures of random sizes: flat after the first tenth."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import Keep, pictures, random_picture, resident_megabytes
from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.testing.pictures import photograph

PICTURES = pictures(5000)
CHUNK = 16
FLAT = 0.05


@pytest.mark.benchmark(group="memory")
def test_memory_is_flat_over_pictures_of_random_sizes(benchmark: BenchmarkFixture, keep: Keep) -> None:
    photo = photograph()
    assert photo is not None
    rng = np.random.default_rng(0)
    held: list[float] = []

    def detect_all() -> None:
        with Registry.load().create("mtcnn", role="detector", threads=1) as detector:
            assert isinstance(detector, Detector)
            for _ in range(0, PICTURES, CHUNK):
                detector.detect([random_picture(photo, rng) for _ in range(CHUNK)])
                held.append(resident_megabytes())

    benchmark.pedantic(detect_all, rounds=1)  # type: ignore[no-untyped-call]
    first = max(held[: len(held) // 10])
    growth = max(held) / first - 1
    keep(
        "mtcnn-memory",
        {
            "pictures": PICTURES,
            "megabytes_after_tenth": round(first),
            "megabytes_most": round(max(held)),
            "growth": round(growth, 4),
            "command": "make bench",
        },
    )
    assert growth <= FLAT
