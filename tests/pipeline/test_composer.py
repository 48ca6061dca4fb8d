"""The composer: order, batching, streams, closing; with stages whose answers are known."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from threading import Barrier, Event

import numpy as np
import numpy.typing as npt
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.builtin.exact import ExactMatcher
from facereg.errors import ContractError, DeadlineError, PluginError, RunnerError, UnknownNameError, UnreachableError
from facereg.pipeline.composer import Pipeline, Result
from facereg.types import Embeddings, Faces, FloatArray, Image
from tests.fakes import SIDE, PaintedDetector, PaintedEmbedder, picture


class GatedEmbedder(PaintedEmbedder):
    """Waits until the gate is open."""

    def __init__(self, gate: Event) -> None:
        super().__init__()
        self.gate = gate

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        assert self.gate.wait(60)
        return super()._embed(pixels)


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())


def vector(pipeline: Pipeline, person: int) -> Embeddings:
    return pipeline.run([picture(person)])[0].embeddings


def test_results_come_in_the_order_of_the_images(pipeline: Pipeline) -> None:
    results = pipeline.run([picture(1, 2), picture(), picture(3)])
    assert [len(result.faces) for result in results] == [2, 0, 1]
    assert results[0].embeddings.vectors[1] == pytest.approx(vector(pipeline, 2).vectors[0])
    assert results[2].embeddings.vectors[0] == pytest.approx(vector(pipeline, 3).vectors[0])


def test_faces_of_all_images_share_full_batches(pipeline: Pipeline) -> None:
    assert isinstance(pipeline.embedder, PaintedEmbedder)
    pipeline.run([picture(1, 2, 3), picture(4), picture(5, 6)])
    assert pipeline.embedder.calls == [4, 2]  # six faces in batches of four, not one call an image


def test_no_images_give_no_results(pipeline: Pipeline) -> None:
    assert pipeline.run([]) == []


def test_known_people_are_named_and_strangers_are_not(pipeline: Pipeline) -> None:
    pipeline.matcher = ExactMatcher(threshold=0.99)
    pipeline.matcher.add(["ada"], vector(pipeline, 1))
    [result] = pipeline.run([picture(1, 2)])
    assert [match.label for match in result.matches] == ["ada", None]


def test_a_stream_reads_no_more_than_its_window_ahead(pipeline: Pipeline) -> None:
    taken = 0

    def source() -> Iterator[Image]:
        nonlocal taken
        for person in range(20):
            taken += 1
            yield picture(person)

    ahead = [taken - given for given, _ in enumerate(pipeline.stream(source(), chunk=3, window=7))]
    assert len(ahead) == 20
    assert max(ahead) <= 7


def test_a_window_of_one_gives_each_result_before_the_next_image_is_read(pipeline: Pipeline) -> None:
    events: list[str] = []

    def source() -> Iterator[Image]:
        for person in range(3):
            events.append(f"read {person}")
            yield picture(person)

    for place, _ in enumerate(pipeline.stream(source(), chunk=1, window=1)):
        events.append(f"result {place}")
    assert events == ["read 0", "result 0", "read 1", "result 1", "read 2", "result 2"]


def test_pixels_of_no_more_than_two_chunks_are_held() -> None:
    gate = Event()
    alive: list[int] = []
    references: list[weakref.ref[Image]] = []

    def made(person: int) -> Image:
        alive.append(sum(reference() is not None for reference in references))
        if len(references) == 13:
            gate.set()  # by then most images wait for the embedder, cut out and let go
        image = picture(person)
        references.append(weakref.ref(image))
        return image

    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), GatedEmbedder(gate))
    results = list(pipeline.stream((made(person) for person in range(30)), chunk=2, window=16))
    assert len(results) == 30
    assert max(alive) <= 3  # with the one just made, 2 chunks of 2


def test_faces_of_several_chunks_share_full_batches(pipeline: Pipeline) -> None:
    assert isinstance(pipeline.embedder, PaintedEmbedder)
    assert len(list(pipeline.stream((picture(person) for person in range(10)), chunk=3))) == 10
    assert pipeline.embedder.calls == [4, 4, 2]


def test_the_detector_works_ahead_of_the_embedder() -> None:
    second_chunk, detector = Event(), PaintedDetector()

    class Waiting(PaintedEmbedder):
        def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
            assert second_chunk.wait(60)
            return super()._embed(pixels)

    class Announcing(PaintedDetector):
        def _detect(self, images: Sequence[Image]) -> list[Faces]:
            detector.calls.append(len(images))
            if len(detector.calls) == 2:
                second_chunk.set()
            return super()._detect(images)

    pipeline = Pipeline(Announcing(), FivePointAligner(), Waiting())
    assert len(list(pipeline.stream([picture(1, 2, 3, 4) for _ in range(3)], chunk=1))) == 3


def test_a_remote_embedder_gets_as_many_calls_at_once_as_it_takes() -> None:
    together = Barrier(3)

    class Remote(PaintedEmbedder):
        @property
        def in_flight(self) -> int:
            return 3

        def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
            together.wait(60)  # passes only when three calls are being made
            return super()._embed(pixels)

    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), Remote())
    results = list(pipeline.stream([picture(person) for person in range(24)], chunk=4))  # six batches of four
    expected = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
    for person, result in enumerate(results):
        assert np.array_equal(result.embeddings.vectors, vector(expected, person).vectors)


def test_rare_faces_do_not_stall_a_small_window(pipeline: Pipeline) -> None:
    assert isinstance(pipeline.embedder, PaintedEmbedder)
    images = [picture(place) if place % 5 == 0 else picture() for place in range(20)]
    found = [len(result.faces) for result in pipeline.stream(images, chunk=2, window=4)]
    assert found == [1, 0, 0, 0, 0] * 4
    assert sum(pipeline.embedder.calls) == 4


def test_stream_and_astream_give_what_run_gives(pipeline: Pipeline) -> None:
    images = [picture(person, person + 1) for person in range(7)]

    async def source() -> AsyncIterator[Image]:
        for image in images:
            yield image

    async def collect(asynchronous: bool) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        given = source() if asynchronous else images
        return [result.embeddings.vectors async for result in pipeline.astream(given, chunk=3)]

    expected = [result.embeddings.vectors for result in pipeline.run(images)]
    for found in (
        [result.embeddings.vectors for result in pipeline.stream(images, chunk=2)],
        asyncio.run(collect(asynchronous=True)),
        asyncio.run(collect(asynchronous=False)),
    ):
        assert np.array_equal(np.stack(found), np.stack(expected))


def test_a_chunk_of_none_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ContractError, match="chunk"):
        list(pipeline.stream([picture(1)], chunk=0))


def test_one_bad_image_is_named_by_its_place(pipeline: Pipeline) -> None:
    with pytest.raises(ContractError, match=r"images\[1\].*float64"):
        pipeline.run([picture(1), np.full((8, 8, 3), np.nan)])


POISON = 999


class PoisonedDetector(PaintedDetector):
    """Fails on a call that carries the poisoned picture."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        if any(np.array_equal(image, picture(POISON)) for image in images):
            raise RunnerError("poisoned: the network failed")
        return super()._detect(images)


class PoisonedEmbedder(PaintedEmbedder):
    """Fails on a batch that carries the poisoned face."""

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        if (pixels[:, SIDE // 2, SIDE // 2] == picture(POISON)[SIDE // 2, SIDE // 2]).all(1).any():
            raise RunnerError("poisoned: the network failed")
        return super()._embed(pixels)


class PoisonedMatcher(ExactMatcher):
    """Fails on the poisoned face."""

    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        clean = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
        if len(probes) and np.allclose(probes[0], vector(clean, POISON).vectors[0], atol=1e-6):
            raise RunnerError("poisoned: the index failed")
        return super()._match(probes, k)


def poisoned(stage: str) -> Pipeline:
    return Pipeline(
        PoisonedDetector() if stage == "detector" else PaintedDetector(),
        FivePointAligner(),
        PoisonedEmbedder() if stage == "embedder" else PaintedEmbedder(),
        PoisonedMatcher(threshold=0.9) if stage == "matcher" else None,
    )


@pytest.mark.parametrize("stage", ["detector", "embedder", "matcher"])
def test_a_failure_is_the_outcome_of_its_image_alone(stage: str, pipeline: Pipeline) -> None:
    people = [1, 2, 3, POISON, 4, 5, 6]
    outcomes = list(poisoned(stage).outcomes([picture(person) for person in people], chunk=3))
    assert len(outcomes) == 7
    for person, outcome in zip(people, outcomes, strict=True):
        if person == POISON:
            assert isinstance(outcome, RunnerError)
        else:
            assert isinstance(outcome, Result)
            assert np.array_equal(outcome.embeddings.vectors, vector(pipeline, person).vectors)


@pytest.mark.parametrize("stage", ["detector", "embedder", "matcher"])
def test_a_stream_raises_a_failure_at_its_image(stage: str) -> None:
    stream = poisoned(stage).stream([picture(person) for person in (1, 2, POISON, 3)], chunk=4)
    assert [len(next(stream).faces) for _ in range(2)] == [1, 1]
    with pytest.raises(RunnerError, match="poisoned"):
        next(stream)
    assert workers() == []


def test_a_failure_that_passes_costs_no_image() -> None:
    class Hiccup(PaintedEmbedder):
        def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
            vectors = super()._embed(pixels)
            if len(self.calls) == 1:
                raise RunnerError("a fault that passes")
            return vectors

    hiccup = Hiccup()
    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), hiccup)
    outcomes = list(pipeline.outcomes([picture(1, 2), picture(3, 4, 5)]))
    assert all(isinstance(outcome, Result) for outcome in outcomes)
    assert hiccup.calls == [4, 2, 2, 1]  # the failed batch again, an image at a time


@pytest.mark.parametrize("stage", ["detector", "embedder"])
def test_a_server_that_is_gone_is_asked_once_for_all_images_of_a_call(stage: str) -> None:
    calls: list[int] = []

    class GoneDetector(PaintedDetector):
        def _detect(self, images: Sequence[Image]) -> list[Faces]:
            calls.append(len(images))
            raise UnreachableError("nobody answers")

    class GoneEmbedder(PaintedEmbedder):
        def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
            calls.append(len(pixels))
            raise UnreachableError("nobody answers")

    pipeline = Pipeline(
        GoneDetector() if stage == "detector" else PaintedDetector(),
        FivePointAligner(),
        GoneEmbedder() if stage == "embedder" else PaintedEmbedder(),
    )
    outcomes = list(pipeline.outcomes([picture(1), picture(2), picture(3, 4), picture()], chunk=4))
    assert calls == [4]
    gone = [isinstance(outcome, UnreachableError) for outcome in outcomes]
    assert gone == [True, True, True, stage == "detector"]  # the last has no face to embed


@pytest.mark.parametrize("stage", ["detector", "embedder"])
@pytest.mark.parametrize(
    ("answered", "calls"),
    [(0, [4, 1]), (1, [4, 1, 1]), (4, [4, 1, 1, 1, 1])],
    ids=["a server that hangs", "a server that hangs again", "too many for one call"],
)
def test_a_call_costs_two_deadlines_at_most(stage: str, answered: int, calls: list[int], pipeline: Pipeline) -> None:
    made: list[int] = []

    def late(size: int) -> None:
        made.append(size)
        if len(made) == 1 or len(made) > 1 + answered:
            raise DeadlineError("no answer in time")

    class LateDetector(PaintedDetector):
        def _detect(self, images: Sequence[Image]) -> list[Faces]:
            late(len(images))
            return super()._detect(images)

    class LateEmbedder(PaintedEmbedder):
        def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
            late(len(pixels))
            return super()._embed(pixels)

    slow = Pipeline(
        LateDetector() if stage == "detector" else PaintedDetector(),
        FivePointAligner(),
        LateEmbedder() if stage == "embedder" else PaintedEmbedder(),
    )
    outcomes = list(slow.outcomes([picture(person) for person in range(4)], chunk=4))
    assert made == calls
    for person, outcome in enumerate(outcomes):
        if person < answered:
            assert isinstance(outcome, Result)
            assert np.array_equal(outcome.embeddings.vectors, vector(pipeline, person).vectors)
        else:
            assert isinstance(outcome, DeadlineError)


def test_what_is_no_image_keeps_its_place(pipeline: Pipeline) -> None:
    images = [picture(1), np.zeros((8, 8), np.uint8), picture(2)]
    first, bad, last = pipeline.outcomes(images, chunk=2)
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert isinstance(bad, ContractError)
    assert str(bad).startswith("images[1]: expected shape (H, W, 3)")


def test_a_fault_of_a_plugin_is_the_error_of_its_image_and_names_the_model() -> None:
    class Buggy(PaintedDetector):
        def _detect(self, images: Sequence[Image]) -> list[Faces]:
            if any(image.shape[1] == 2 * SIDE for image in images):
                raise ZeroDivisionError("no width")
            return super()._detect(images)

    pictures = [picture(1), picture(2, 3), picture(4)]
    first, bad, last = Pipeline(Buggy(), FivePointAligner(), PaintedEmbedder()).outcomes(pictures)
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert isinstance(bad, PluginError)
    assert str(bad) == "images[1]: detector 'Buggy' failed: ZeroDivisionError: no width"
    assert isinstance(bad.__cause__, ZeroDivisionError)


def test_what_the_source_raises_comes_after_the_results_before_it(pipeline: Pipeline) -> None:
    def source() -> Iterator[Image]:
        yield picture(1)
        yield picture(2)
        raise OSError("the camera is gone")

    async def collect() -> None:
        stream = pipeline.astream(source(), chunk=4)
        assert [len((await anext(stream)).faces) for _ in range(2)] == [1, 1]
        with pytest.raises(OSError, match="the camera is gone"):
            await anext(stream)

    stream = pipeline.stream(source(), chunk=4)
    assert [len(next(stream).faces) for _ in range(2)] == [1, 1]
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)
    asyncio.run(collect())


def workers() -> list[str]:
    """Return the names of a flow's threads; a server that tests share has one of its own, which mends it."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("facereg-") and name != "facereg-triton-mender"]


def endless() -> Iterator[Image]:
    while True:
        yield picture(1)


def test_closing_a_stream_ends_its_threads(pipeline: Pipeline) -> None:
    stream = pipeline.stream(endless(), chunk=2)
    next(stream)
    assert workers()
    stream.close()
    assert workers() == []


def test_leaving_an_asynchronous_stream_ends_its_threads(pipeline: Pipeline) -> None:
    async def one() -> None:
        async with aclosing(pipeline.astream(endless(), chunk=2)) as stream:
            await anext(stream)
            assert workers()
        assert workers() == []

    asyncio.run(one())


def test_a_cancelled_asynchronous_stream_ends_its_threads() -> None:
    async def consume(pipeline: Pipeline) -> None:
        async for _ in pipeline.astream(endless(), chunk=2):
            pass

    async def cancelled() -> None:
        task = asyncio.create_task(consume(Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())))
        while not workers():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert workers() == []

    asyncio.run(cancelled())


@pytest.mark.parametrize("seed", range(12))
def test_every_image_ends_once_with_its_own_outcome(seed: int, pipeline: Pipeline) -> None:
    rng = np.random.default_rng(seed)
    people = [tuple(map(int, rng.integers(0, 50, rng.integers(0, 7)))) for _ in range(25)]
    for place in rng.integers(0, 25, 3):
        people[int(place)] = (POISON,)

    class Several(PoisonedEmbedder):
        @property
        def in_flight(self) -> int:
            return 1 + seed % 4

    broken = Pipeline(PoisonedDetector() if seed % 2 else PaintedDetector(), FivePointAligner(), Several())
    chunk = int(rng.integers(1, 7))
    window = chunk + int(rng.integers(0, 20))
    outcomes = list(broken.outcomes((picture(*each) for each in people), chunk=chunk, window=window))
    assert len(outcomes) == 25
    for each, outcome in zip(people, outcomes, strict=True):
        if each == (POISON,):
            assert isinstance(outcome, RunnerError)
        else:
            assert isinstance(outcome, Result)
            assert np.array_equal(outcome.embeddings.vectors, pipeline.run([picture(*each)])[0].embeddings.vectors)
    assert workers() == []


def test_a_window_smaller_than_a_chunk_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ContractError, match="window: expected at least chunk=4, got 3"):
        pipeline.stream([picture(1)], chunk=4, window=3)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no embedder named 'arcfce'"):
        Pipeline.create(embedder="arcfce")
