"""What a server costs: the runner against a plain load loop of the same concurrency, and against this process.

Client and server share this machine's cores, so the figures are of both together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import IN_FLIGHT, MODEL, Keep, best, pictures
from facereg.networks.opening import open_network
from facereg.networks.runner import Runner, Tensor
from facereg.registry.installed import default_registry
from facereg.serving.server import TritonServer
from facereg.testing.pictures import crops

[SPEC] = default_registry().model(MODEL).networks
ONE_BY_ONE, REQUESTS = min(500, pictures(500)), pictures(2000)
PIXELS = crops(64, 112)


def milliseconds(call: Callable[[Tensor], object], count: int) -> list[float]:
    """Return how long each of `count` calls of one picture took, one after another."""
    for index in range(20):
        call(PIXELS[index : index + 1])
    taken = []
    for index in range(count):
        start = time.perf_counter()
        call(PIXELS[index % 64 : index % 64 + 1])
        taken.append(1000 * (time.perf_counter() - start))
    return taken


def together(call: Callable[[Tensor], object], count: int) -> int:
    """Make calls of one picture each, 16 in flight."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return len(list(pool.map(lambda index: call(PIXELS[index % 64 : index % 64 + 1]), range(count))))


def plain_call(target: str) -> tuple[triton_grpc.InferenceServerClient, Callable[[Tensor], object]]:
    """Return what somebody would write who has only tritonclient."""
    client = triton_grpc.InferenceServerClient(target)

    def call(pixels: Tensor) -> object:
        tensor = triton_grpc.InferInput("images", list(pixels.shape), "UINT8")
        tensor.set_data_from_numpy(pixels)
        return client.infer(MODEL, [tensor]).as_numpy("embedding")

    return client, call


def network_call(runner: Runner) -> Callable[[Tensor], object]:
    return lambda pixels: runner.infer({"images": pixels})


@pytest.mark.benchmark(group="triton, one in flight")
def test_overhead_of_a_request(benchmark: BenchmarkFixture, server: TritonServer, keep: Keep) -> None:
    taken: dict[str, list[float]] = {}

    def measure() -> None:
        for name, runner in (
            ("in process", "onnx"),
            ("grpc", server.address),
            ("http", server.http_address),
        ):
            with open_network(SPEC, runner=runner, threads=1) as network:
                taken[name] = milliseconds(network_call(network), ONE_BY_ONE)

    benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]
    figures: dict[str, object] = {
        name: {"p50_ms": round(float(np.percentile(each, 50)), 2), "p99_ms": round(float(np.percentile(each, 99)), 2)}
        for name, each in taken.items()
    }
    overhead = float(np.percentile(taken["grpc"], 50) - np.percentile(taken["in process"], 50))
    keep(
        "triton-overhead",
        {**figures, "overhead_p50_ms": round(overhead, 2), "requests": ONE_BY_ONE, "command": "make bench"},
    )


@pytest.mark.benchmark(group="triton, sixteen in flight")
def test_rate_against_a_plain_load_loop(benchmark: BenchmarkFixture, server: TritonServer, keep: Keep) -> None:
    client, plain = plain_call(server.address.removeprefix("triton://"))
    with client, open_network(SPEC, runner=server.address) as network:
        ways = {"plain": partial(together, plain, REQUESTS), "ours": partial(together, network_call(network), REQUESTS)}
        together(plain, REQUESTS // 10)  # warm
        figures = benchmark.pedantic(best, args=(ways,), rounds=1)  # type: ignore[no-untyped-call]
    keep(
        "triton-rate",
        {
            "images_per_second": {name: round(value) for name, value in figures.items()},
            "ratio": round(figures["ours"] / figures["plain"], 3),
            "in_flight": IN_FLIGHT,
            "requests": REQUESTS,
            "command": "make bench",
        },
    )
