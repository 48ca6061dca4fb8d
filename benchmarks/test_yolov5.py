"""YOLOv5s in ONNX Runtime, float32 and on 8-bit integers, against torch: same pictures, one thread, in one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import TURNS, Keep, best
from facereg.networks.opening import open_network
from facereg.networks.runner import Runner, Tensor
from facereg.registry.installed import default_registry

torch = pytest.importorskip("torch")
[SPEC] = default_registry().model("yolov5s-face").networks
[SMALL] = default_registry().model("yolov5s-face:int8").networks
SIDE, BATCH = 640, 4  # px, pictures


def answered(network: Runner, images: Tensor) -> int:
    return len(network.infer({"images": images})["scores"])


@pytest.mark.benchmark(group="yolov5")
def test_yolov5s_against_torch(benchmark: BenchmarkFixture, keep: Keep) -> None:
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    ways: dict[str, Callable[[], int]] = {}
    with (
        open_network(SPEC, threads=1) as onnx,
        open_network(SMALL, threads=1) as int8,
        open_network(SPEC, runner="torch") as eager,
    ):
        for name, network in (("onnx", onnx), ("int8", int8), ("torch", eager)):
            for kind, images in (("one", pixels[:1]), ("batch", pixels)):
                ways[f"{name}, {kind}"] = partial(answered, network, images)
        for way in ways.values():  # warm
            way()
        rates = benchmark.pedantic(best, args=(ways,), kwargs={"rounds": TURNS}, rounds=1)  # type: ignore[no-untyped-call]
    keep(
        "yolov5-speed",
        {
            **{
                f"ratio_{kind}{suffix}": round(rates[f"{name}, {kind}"] / rates[f"torch, {kind}"], 2)
                for name, suffix in (("onnx", ""), ("int8", "_int8"))
                for kind in ("one", "batch")
            },
            "pictures_per_second": {name: round(value, 2) for name, value in rates.items()},
            "batch": BATCH,
            "side_px": SIDE,
            "threads": 1,
            "command": "make bench",
        },
    )
