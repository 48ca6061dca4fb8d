"""What several benchmarks share: pictures, rates, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from facereg.types import Image

MODEL = "mobilenetv3-arcface"
IN_FLIGHT, ROUNDS, TURNS = 16, 3, 9
Keep: TypeAlias = Callable[[str, dict[str, object]], None]


def pictures(default: int) -> int:
    """Return how many pictures to take: what FACEREG_BENCH_PICTURES says, for a short try."""
    return int(os.environ.get("FACEREG_BENCH_PICTURES", default))


def rate(work: Callable[[], int]) -> float:
    """Return items a second of work that returns how many it did."""
    start = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - start)


def best(ways: dict[str, Callable[[], int]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the best rate of each of several rounds, taken in turn, so that all see the same neighbours."""
    taken = [{name: rate(work) for name, work in ways.items()} for _ in range(rounds)]
    return {name: max(each[name] for each in taken) for name in ways}


def resident_megabytes() -> float:
    """Return the memory that the process holds, from /proc (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def random_picture(photo: Image, rng: np.random.Generator) -> Image:
    """Return a cut of the photograph, resized to random sides."""
    y, x = rng.integers(0, 200, 2)
    size = tuple(int(side) for side in rng.integers(60, 400, 2))
    return cv2.resize(photo[y : y + 300, x : x + 300], size, interpolation=cv2.INTER_AREA).astype(np.uint8)
