"""What a server costs: the runner against a plain load loop of the same concurrency, and against this process.

Client and server share this machine's cores, so the figures are of both together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from pytest_benchmark.fixture import BenchmarkFixture

from facereg.errors import WeightsError
from facereg.registry import default_registry
from facereg.runners.base import Runner, Tensor
from facereg.runners.opening import open_network
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer
from facereg.testing.pictures import crops

MODEL = "mobilenetv3-arcface"
[SPEC] = default_registry().model(MODEL).networks
ONE_BY_ONE, TOGETHER, IN_FLIGHT = 500, 2_000, 16
PIXELS = crops(64, 112).pixels
Keep = Callable[[str, dict[str, object]], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("repository")
    try:
        build_repository(repository, registry=default_registry(), models=[MODEL])
    except WeightsError as error:
        pytest.skip(str(error))
    with TritonServer(repository) as running:
        yield running


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


def rate(call: Callable[[Tensor], object], count: int) -> float:
    """Return pictures a second with 16 calls in flight."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(lambda index: call(PIXELS[index % 64 : index % 64 + 1]), range(count // 10)))
        start = time.perf_counter()
        list(pool.map(lambda index: call(PIXELS[index % 64 : index % 64 + 1]), range(count)))
        return count / (time.perf_counter() - start)


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
            ("grpc, shared memory", f"{server.address}?shared_memory=system"),
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
    rates: dict[str, list[float]] = {"ours": [], "plain": []}

    def measure() -> None:
        client, plain = plain_call(server.address.removeprefix("triton://"))
        with client, open_network(SPEC, runner=server.address) as network:
            for _ in range(3):  # in turn, so that both see the same neighbours
                rates["plain"].append(rate(plain, TOGETHER))
                rates["ours"].append(rate(network_call(network), TOGETHER))

    benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]
    best = {name: max(each) for name, each in rates.items()}
    keep(
        "triton-rate",
        {
            "images_per_second": {name: round(value) for name, value in best.items()},
            "ratio": round(best["ours"] / best["plain"], 3),
            "in_flight": IN_FLIGHT,
            "requests": TOGETHER,
            "command": "make bench",
        },
    )
