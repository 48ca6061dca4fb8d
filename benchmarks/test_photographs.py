"""Memory of `facereg identify` over photographs of 24 megapixels: bounded by pixels, not by their number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import Keep, pictures
from facereg.images import write_image
from facereg.testing.pictures import photograph

WIDTH, HEIGHT = 6000, 4000
PHOTOGRAPHS = pictures(20)
MEGABYTES = 900
# a child of a child: of all children of this process the largest would count
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.benchmark(group="memory")
def test_identify_over_large_photographs(benchmark: BenchmarkFixture, keep: Keep, tmp_path: Path) -> None:
    photo = photograph()
    assert photo is not None
    write_image(tmp_path / "people" / "Eileen Collins" / "1.jpg", photo)
    large = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_LANCZOS4).astype(np.uint8)
    for place in range(PHOTOGRAPHS):
        write_image(tmp_path / "photographs" / f"{place:02d}.jpg", np.roll(large, 50 * place, axis=1))
    facereg, gallery = [sys.executable, "-c", "from facereg.cli import main; main()"], str(tmp_path / "team.gallery")
    subprocess.run([*facereg, "enroll", str(tmp_path / "people"), "--gallery", gallery], check=True)
    words = [*facereg, "identify", str(tmp_path / "photographs"), "--gallery", gallery, "--json"]
    most: list[float] = []

    def identify() -> None:
        done = subprocess.run([sys.executable, "-c", MEASURE, *words], check=True, capture_output=True)
        most.append(int(done.stdout) * 1024 / 1e6)

    benchmark.pedantic(identify, rounds=1)  # type: ignore[no-untyped-call]
    figures = {"photographs": PHOTOGRAPHS, "megapixels": WIDTH * HEIGHT / 1e6, "megabytes_most": round(most[0])}
    keep("identify-memory", {**figures, "command": "make bench"})
    assert most[0] < MEGABYTES
