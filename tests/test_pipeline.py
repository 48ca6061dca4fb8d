"""The composer: order, batching, streams, closing; with stages whose answers are known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from facereg.alignment import FivePointAligner
from facereg.errors import ContractError, UnknownNameError
from facereg.matching.exact import ExactMatcher
from facereg.pipeline import Pipeline
from facereg.types import Embeddings, Image
from tests.fakes import PaintedDetector, PaintedEmbedder, picture


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
    assert result.matches is not None
    assert [match.label for match in result.matches] == ["ada", None]


def test_a_stream_holds_no_more_than_a_chunk(pipeline: Pipeline) -> None:
    taken = 0

    def source() -> Iterator[Image]:
        nonlocal taken
        for person in range(10):
            taken += 1
            yield picture(person)

    stream = pipeline.stream(source(), chunk=3)
    next(stream)
    assert taken == 3
    assert len(list(stream)) == 9


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


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no embedder named 'arcfce'"):
        Pipeline.create(embedder="arcfce")
