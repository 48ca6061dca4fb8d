"""The composer: stages side by side against stages in turn, and a server kept as full as by a plain load loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton_grpc
from pytest_benchmark.fixture import BenchmarkFixture

from facereg.alignment import FivePointAligner
from facereg.errors import WeightsError
from facereg.geometry import template
from facereg.interfaces import Detector, Embedder
from facereg.pipeline import CHUNK, Pipeline
from facereg.registry import default_registry
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer
from facereg.testing.pictures import crops, photograph
from facereg.types import Faces, Image

MODEL = "mobilenetv3-arcface"
PICTURES = int(os.environ.get("FACEREG_BENCH_PICTURES", "5000"))
IN_FLIGHT, ROUNDS = 16, 3
Keep = Callable[[str, dict[str, object]], None]


class WholePicture(Detector):
    """Takes each picture of 112x112 for an aligned face: what is measured is what comes after."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        box, score = np.array([[0, 0, 111, 111]], np.float32), np.ones(1, np.float32)
        return [Faces(box, score, template(112)[None]) for _ in images]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("repository")
    try:
        build_repository(repository, registry=default_registry(), models=[MODEL])
    except WeightsError as error:
        pytest.skip(str(error))
    with TritonServer(repository) as running:
        yield running


def photographs(count: int) -> list[Image]:
    """Return cuts of a photograph around its face, at random scales."""
    photo = photograph()
    assert photo is not None
    rng = np.random.default_rng(0)
    sizes = [tuple(int(side) for side in rng.integers(160, 480, 1).repeat(2)) for _ in range(count)]
    return [cv2.resize(photo[:400, 60:460], size, interpolation=cv2.INTER_AREA).astype(np.uint8) for size in sizes]


def rate(work: Callable[[], int]) -> float:
    """Return pictures a second of work that returns how many it did."""
    start = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - start)


def best(rates: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Return the best rate of each of several rounds, taken in turn, so that all see the same neighbours."""
    taken = [{name: rate(work) for name, work in rates.items()} for _ in range(ROUNDS)]
    return {name: max(each[name] for each in taken) for name in rates}


@pytest.mark.benchmark(group="pipeline, in process")
def test_stages_side_by_side_against_stages_in_turn(benchmark: BenchmarkFixture, keep: Keep) -> None:
    images = photographs(min(PICTURES, 256))
    with Pipeline.create() as pipeline:
        detector, aligner, embedder = pipeline.detector, pipeline.aligner, pipeline.embedder

        def in_turn() -> int:
            done = 0
            for start in range(0, len(images), CHUNK):
                chunk = images[start : start + CHUNK]
                faces = detector.detect(chunk)
                done += len(embedder.embed(aligner.align(chunk, faces, size=embedder.crop_size)))
            return done

        def side_by_side() -> int:
            return sum(len(result.faces) for result in pipeline.stream(images))

        assert in_turn() == side_by_side()  # and both are warm
        figures = benchmark.pedantic(  # type: ignore[no-untyped-call]
            best, args=({"in turn": in_turn, "side by side": side_by_side},), rounds=1
        )
    keep(
        "pipeline-rate",
        {
            "faces_per_second": {name: round(value, 1) for name, value in figures.items()},
            "ratio": round(figures["side by side"] / figures["in turn"], 3),
            "pictures": len(images),
            "cores": os.cpu_count(),
            "command": "make bench",
        },
    )


@pytest.mark.benchmark(group="pipeline, served")
def test_a_server_is_as_full_as_under_a_plain_load_loop(
    benchmark: BenchmarkFixture, server: TritonServer, keep: Keep
) -> None:
    pixels = crops(64, 112).pixels
    client = triton_grpc.InferenceServerClient(server.address.removeprefix("triton://"))
    embedder = default_registry().create(
        MODEL, role="embedder", runner=f"{server.address}?in_flight={IN_FLIGHT}", flip=False
    )
    assert isinstance(embedder, Embedder)
    batch = embedder.batch_size

    def send(crops_of_a_request: npt.NDArray[np.uint8]) -> int:
        tensor = triton_grpc.InferInput("images", list(crops_of_a_request.shape), "UINT8")
        tensor.set_data_from_numpy(crops_of_a_request)
        return len(client.infer(MODEL, [tensor]).as_numpy("embedding"))

    def plain(size: int) -> int:
        requests = [pixels[:size]] * (PICTURES // size)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return sum(pool.map(send, requests))

    with client, Pipeline(WholePicture(), FivePointAligner(), embedder) as pipeline:

        def composed() -> int:
            return sum(len(result.faces) for result in pipeline.stream(pixels[i % 64] for i in range(PICTURES)))

        ways = {"plain, one a request": lambda: plain(1), "plain, batches": lambda: plain(batch), "composer": composed}
        plain(batch)  # warm
        figures = benchmark.pedantic(best, args=(ways,), rounds=1)  # type: ignore[no-untyped-call]
        assert pipeline.embedder.in_flight == IN_FLIGHT
    keep(
        "pipeline-served",
        {
            "faces_per_second": {name: round(value) for name, value in figures.items()},
            "ratio": round(figures["composer"] / figures["plain, one a request"], 3),
            "ratio_to_batches": round(figures["composer"] / figures["plain, batches"], 3),
            "in_flight": IN_FLIGHT,
            "batch": batch,
            "pictures": PICTURES,
            "cores": os.cpu_count(),
            "command": "make bench",
        },
    )
