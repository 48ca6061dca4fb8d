"""Memory while detecting pictures of random sizes: flat after the first tenth."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from facereg.interfaces import Detector
from facereg.registry import Registry
from facereg.testing.pictures import photograph
from facereg.types import Image

PICTURES = int(os.environ.get("FACEREG_BENCH_PICTURES", "5000"))
CHUNK = 16
FLAT = 0.05


def resident_megabytes() -> float:
    """Return the memory that the process holds, from /proc (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def random_picture(photo: Image, rng: np.random.Generator) -> Image:
    """Return a cut of the photograph, resized to random sides."""
    y, x = rng.integers(0, 200, 2)
    size = tuple(int(side) for side in rng.integers(60, 400, 2))
    return cv2.resize(photo[y : y + 300, x : x + 300], size, interpolation=cv2.INTER_AREA).astype(np.uint8)


@pytest.mark.benchmark(group="memory")
def test_memory_is_flat_over_pictures_of_random_sizes(
    benchmark: BenchmarkFixture, keep: Callable[[str, dict[str, object]], None]
) -> None:
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
