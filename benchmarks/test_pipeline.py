"""The composer: stages side by side against stages in turn, and a server kept as full as by a plain load loop."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton_grpc
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import IN_FLIGHT, MODEL, Keep, best, pictures, random_picture, resident_megabytes
from facereg.builtin.alignment import FivePointAligner
from facereg.geometry import template
from facereg.pipeline.composer import CHUNK, Pipeline
from facereg.registry.installed import default_registry
from facereg.roles import Detector, Embedder
from facereg.serving.server import TritonServer
from facereg.testing.pictures import crops, photograph
from facereg.types import Faces, Image

PICTURES, MANY = pictures(5000), pictures(20_000)
FIRST, FLAT = 0.05, 0.05  # of the pictures; of the memory held after them
CALLS, MOST_OVERHEAD = 100, 0.03


class WholePicture(Detector):
    """Takes each picture for a face, aligned where it is 112x112: what is measured is what comes after."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = []
        for image in images:
            size = np.array(image.shape[1::-1], np.float32)  # width, height
            box = np.concatenate([np.zeros(2, np.float32), size - 1])[None]
            found.append(Faces(box, np.ones(1, np.float32), (template(112) * (size / 112)).astype(np.float32)[None]))
        return found


def photographs(count: int) -> list[Image]:
    """Return cuts of a photograph around its face, at random scales."""
    photo = photograph()
    assert photo is not None
    rng = np.random.default_rng(0)
    sizes = [tuple(int(side) for side in rng.integers(160, 480, 1).repeat(2)) for _ in range(count)]
    return [cv2.resize(photo[:400, 60:460], size, interpolation=cv2.INTER_AREA).astype(np.uint8) for size in sizes]


@pytest.mark.benchmark(group="pipeline, in process")
def test_stages_side_by_side_against_stages_in_turn(benchmark: BenchmarkFixture, keep: Keep) -> None:
    images = photographs(min(PICTURES, 256))
    with Pipeline.create(detector="mtcnn") as pipeline:
        detector, aligner, embedder = pipeline.detector, pipeline.aligner, pipeline.embedder

        def in_turn() -> int:
            done = 0
            for start in range(0, len(images), CHUNK):
                chunk = images[start : start + CHUNK]
                faces = detector.detect(chunk)
                done += len(
                    embedder.embed(
                        aligner.align(chunk, faces, size=embedder.crop_size, template=embedder.template).pixels
                    )
                )
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


@pytest.mark.benchmark(group="pipeline, in process")
def test_one_picture_through_run_against_its_stages_called_by_hand(benchmark: BenchmarkFixture, keep: Keep) -> None:
    """In turn, by the processor's time of this thread, in which the networks work too: neighbours count little."""
    images = photographs(1)
    taken: dict[str, list[float]] = {"by hand": [], "run": []}
    with Pipeline.create(detector="mtcnn", matcher="exact", threshold=0.5, threads=1) as pipeline:
        detector, aligner, embedder, matcher = pipeline.detector, pipeline.aligner, pipeline.embedder, pipeline.matcher
        assert matcher is not None
        matcher.add(["known"], pipeline.run(images)[0].embeddings[:1])

        def by_hand() -> int:
            faces = detector.detect(images)
            crops = aligner.align(images, faces, size=embedder.crop_size, template=embedder.template)
            return len(matcher.match(embedder.embed(crops.pixels)))

        def in_turn() -> None:
            for _ in range(CALLS):
                for name, work in (("by hand", by_hand), ("run", lambda: len(pipeline.run(images)[0].matches))):
                    start = time.thread_time()
                    assert work() == 1
                    taken[name].append(time.thread_time() - start)

        benchmark.pedantic(in_turn, rounds=1, warmup_rounds=1)  # type: ignore[no-untyped-call]
    milliseconds = {name: float(np.median(seconds)) * 1000 for name, seconds in taken.items()}
    overhead = milliseconds["run"] / milliseconds["by hand"] - 1
    keep(
        "pipeline-overhead",
        {
            "milliseconds": {name: round(value, 2) for name, value in milliseconds.items()},
            "overhead": round(overhead, 4),
            "calls": CALLS,
            "command": "make bench",
        },
    )
    assert overhead < MOST_OVERHEAD


@pytest.mark.benchmark(group="pipeline, served")
def test_a_server_is_as_full_as_under_a_plain_load_loop(
    benchmark: BenchmarkFixture, server: TritonServer, keep: Keep
) -> None:
    pixels = crops(64, 112)
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


@pytest.mark.benchmark(group="pipeline, served")
def test_every_network_on_a_server_against_this_process(
    benchmark: BenchmarkFixture, server: TritonServer, keep: Keep
) -> None:
    images = photographs(min(PICTURES, 128))
    with (
        Pipeline.create(detector="mtcnn") as here,
        Pipeline.create(detector="mtcnn", threads=1) as alone,
        Pipeline.create(detector="mtcnn", runner=server.address) as there,
    ):

        def through(pipeline: Pipeline) -> int:
            return sum(1 for _ in pipeline.stream(images))

        ways = {
            "in process": partial(through, here),
            "in process, one thread": partial(through, alone),
            "served": partial(through, there),
        }
        for pipeline in (here, alone, there):  # warm
            through(pipeline)
        figures = benchmark.pedantic(best, args=(ways,), rounds=1)  # type: ignore[no-untyped-call]
    keep(
        "pipeline-everything-served",
        {
            "images_per_second": {name: round(value, 1) for name, value in figures.items()},
            "ratio": round(figures["served"] / figures["in process"], 3),
            "pictures": len(images),
            "cores": os.cpu_count(),
            "command": "make bench",
        },
    )


@pytest.mark.benchmark(group="pipeline, served")
def test_memory_is_flat_over_pictures_of_random_sizes_and_a_served_embedder(
    benchmark: BenchmarkFixture, server: TritonServer, keep: Keep
) -> None:
    photo = photograph()
    assert photo is not None
    embedder = default_registry().create(
        MODEL, role="embedder", runner=f"{server.address}?in_flight={IN_FLIGHT}", flip=False
    )
    assert isinstance(embedder, Embedder)
    held: list[float] = []

    def embed_all() -> None:
        rng = np.random.default_rng(0)
        with Pipeline(WholePicture(), FivePointAligner(), embedder) as pipeline:
            for result in pipeline.stream(random_picture(photo, rng) for _ in range(MANY)):
                assert len(result.faces) == 1
                held.append(resident_megabytes())

    benchmark.pedantic(embed_all, rounds=1)  # type: ignore[no-untyped-call]
    assert len(held) == MANY
    first = max(held[: int(MANY * FIRST)])
    growth = max(held) / first - 1
    keep(
        "triton-memory",
        {
            "pictures": MANY,
            "first": int(MANY * FIRST),
            "megabytes_after_first": round(first),
            "megabytes_most": round(max(held)),
            "growth": round(growth, 4),
            "in_flight": IN_FLIGHT,
            "command": "make bench",
        },
    )
    assert growth <= FLAT
