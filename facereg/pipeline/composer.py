"""The composer: images in, names out. With `stages` and `flow`, the only module that knows all four roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Self, TypeAlias

from facereg.errors import ContractError, FaceregError
from facereg.pipeline.composition import DETECTOR, EMBEDDER, Composition, MatcherChoice
from facereg.pipeline.flow import Flow
from facereg.pipeline.metrics import PipelineMetrics
from facereg.pipeline.stages import CountedStages, Result, require_landmarks
from facereg.registry.installed import Registry, default_registry
from facereg.roles import Aligner, Detector, Embedder, Matcher, RoleName
from facereg.types import CheckedImages, Image, check_images

__all__ = ["CHUNK", "Outcome", "Pipeline", "Result"]

CHUNK = 16  # images of one detector call: enough to share its networks' batches, few enough to bound memory
CHUNK_PIXELS = 12_000_000  # of them together: detectors take up to 20 bytes a pixel, a photograph read ahead 10
Outcome: TypeAlias = Result | FaceregError


class Pipeline:
    """Detector, aligner, embedder and, where people are known, matcher, one after another.

    One instance may be shared between threads. Closing it closes its stages, for good. `metrics` counts what it did.
    `candidates` is how many of the closest people a match lists.
    """

    def __init__(
        self, detector: Detector, aligner: Aligner, embedder: Embedder, matcher: Matcher | None = None
    ) -> None:
        self.detector, self.aligner, self.embedder, self.matcher = detector, aligner, embedder, matcher
        self.candidates = 5
        self.metrics = PipelineMetrics(self._retries)
        self._composition: Composition | None = None  # what it was made of, where it can be made again so

    @classmethod
    def create(
        cls,
        *,
        detector: str = DETECTOR,
        aligner: str | None = None,
        embedder: str = EMBEDDER,
        matcher: Matcher | str | None = None,
        threshold: float | None = None,
        runner: str | Mapping[RoleName, str] = "onnx",
        device: str | Mapping[RoleName, str] = "cpu",
        threads: int | Mapping[RoleName, int | None] | None = None,
        weights: Mapping[RoleName, str | Path] | None = None,
        options: Mapping[RoleName, Mapping[str, object]] | None = None,
        registry: Registry | None = None,
    ) -> Pipeline:
        """Return a pipeline of installed models.

        Args:
            detector, embedder: names as in `facereg models`.
            aligner: likewise; None takes the one that the detector states, else `five-point`.
            matcher: holds the known people; a `Gallery` fills one. Or a name, which needs `threshold` and knows nobody
                yet.
            threshold: cosine similarity from which that matcher accepts a match.
            runner, device, threads: where networks run, for all stages or by role, as in
                `{"embedder": "triton://127.0.0.1:8001"}`: a role that is not named has the default; see
                `facereg.networks.opening.open_network`.
            weights: by role, a folder or file that stands in for the plugin's own.
            options: by role, options of the model; see `facereg models NAME`.
        Raises:
            UnknownNameError: if no such model is installed.
            ContractError: if a mapping names something else than the three roles.
        """
        composition = Composition.of(
            names={"detector": detector, "aligner": aligner or "", "embedder": embedder},
            runner=runner,
            device=device,
            threads=threads,
            weights=weights,
            options={role: own for role, own in (options or {}).items() if (role, type(matcher)) != ("matcher", str)},
        )
        if isinstance(matcher, str):
            chosen = MatcherChoice(matcher, threshold, (options or {}).get("matcher", {}))
            return cls.compose(replace(composition, matcher=chosen), registry=registry)
        if matcher is not None and not isinstance(matcher, Matcher):
            raise ContractError(f"matcher: expected a Matcher or a name, got {type(matcher).__name__}")
        if threshold is not None:
            raise ContractError("threshold: expected it with a matcher's name; a matcher that is made has its own")
        return cls.compose(composition, matcher=matcher, registry=registry)

    @classmethod
    def from_file(cls, path: str | Path, *, registry: Registry | None = None) -> Pipeline:
        """Return the pipeline that a TOML file describes; see `Composition.read`.

        Raises:
            ContractError: if the file cannot be read or says something else than a pipeline.
            UnknownNameError: if a model is not installed.
        """
        return cls.compose(Composition.read(path), registry=registry)

    @classmethod
    def compose(
        cls, composition: Composition, *, matcher: Matcher | None = None, registry: Registry | None = None
    ) -> Pipeline:
        """Return the pipeline described, with `matcher`, or else the one described, which knows nobody yet.

        Raises:
            ContractError: if the aligner needs landmarks that the detector does not give.
        """
        again = composition if registry in (None, default_registry()) and matcher is None else None
        registry = registry or default_registry()
        with ExitStack() as made:  # what was made is closed where a later one fails
            detector = made.enter_context(composition.make_detector(registry))
            aligner = made.enter_context(composition.make_aligner(registry))
            embedder = made.enter_context(composition.make_embedder(registry))
            require_landmarks(detector, aligner)
            if matcher is None and composition.matcher is not None:
                matcher = composition.matcher.create(registry)
            made.pop_all()
        pipeline = cls(detector, aligner, embedder, matcher)
        pipeline._composition = again
        return pipeline

    def __reduce__(self) -> tuple[Callable[[Composition], Pipeline], tuple[Composition]]:
        """Pickle what the pipeline was made of: networks are opened anew in the other process.

        Raises:
            ContractError: if it was not made of installed models alone, or its matcher knows people.
        """
        made = self._composition
        if made is None or (self.matcher is not None and (made.matcher is None or len(self.matcher))):
            raise ContractError(
                "a pipeline with stages of its own, or a matcher that knows people, cannot be pickled; send its "
                "Composition, make it there with Pipeline.compose, and fill the matcher there"
            )
        return Pipeline.compose, (made,)

    def run(self, images: Sequence[Image]) -> list[Result]:
        """Return a result for each image, in order; the images may be of any sizes.

        All faces of all images are embedded in full batches.

        Raises:
            ContractError: if an image is no uint8 (H, W, 3) array; no image is worked on then.
            FaceregError: the first image's that failed.
        """
        checked = check_images(images, call="pipeline.run")
        if not checked:
            return []
        # One chunk and one embedding at a time leave nothing to do side by side: no threads then.
        inline = len(checked) <= CHUNK and self.embedder.in_flight == 1
        with closing(self._work(checked, CHUNK, max(len(checked), CHUNK), inline=inline)) as outcomes:
            return [_result(outcome) for outcome in outcomes]

    def stream(
        self, images: Iterable[Image], *, chunk: int = CHUNK, window: int | None = None
    ) -> Generator[Result, None, None]:
        """Yield a result for each image, in order, with bounded memory.

        The stages work side by side, and faces of several chunks share full batches of the embedder. The source is
        read in the thread that takes the results, ahead of them: at most `window` images are on their way, and the
        pixels of at most 2 chunks of them are held (of up to 5 where the detector runs on a server). A chunk ends
        with the image that brings it to CHUNK_PIXELS, so that memory is bounded by pixels, not by pictures. Closing
        the generator ends the work.

        Args:
            chunk: most images of one detector call.
            window: most images read and not yielded; at least `chunk`. By default as many as keep the embedder's
                batches full: `2 * chunk + embedder.in_flight * embedder.batch_size`. For a live source, where a
                result should not wait for later images, pass `chunk=1, window=1`.
        Raises:
            ContractError: if `chunk` or `window` is too small.
            FaceregError: at its place, if an image fails; the results before it were yielded. Images read ahead of
                it are given up: use `outcomes` where work must go on.
            Exception: at its place, what the source raises.
        """
        _check_bounds(chunk, window)
        return self._results(images, chunk, window)

    def outcomes(
        self, images: Iterable[Image], *, chunk: int = CHUNK, window: int | None = None
    ) -> Generator[Outcome, None, None]:
        """Yield, for each image in order, its result or the error that it ended with; as `stream` otherwise.

        No image is lost, comes twice or takes another's error: a call that fails for several images is made again
        for each of them alone, unless the network itself cannot be reached: that is the error of all.

        Raises:
            ContractError: if `chunk` or `window` is too small.
            Exception: at its place, what the source raises. What a plugin raises is its image's error: a PluginError.
        """
        _check_bounds(chunk, window)
        return self._outcomes(images, chunk, window)

    async def astream(
        self, images: AsyncIterable[Image] | Iterable[Image], *, chunk: int = CHUNK, window: int | None = None
    ) -> AsyncGenerator[Result, None]:
        """Yield as `stream`, from a plain or an asynchronous source; the work is done beside the event loop."""
        async with aclosing(self.aoutcomes(images, chunk=chunk, window=window)) as outcomes:
            async for outcome in outcomes:
                yield _result(outcome)

    async def aoutcomes(
        self, images: AsyncIterable[Image] | Iterable[Image], *, chunk: int = CHUNK, window: int | None = None
    ) -> AsyncGenerator[Outcome, None]:
        """Yield as `outcomes`, from a plain or an asynchronous source; the work is done beside the event loop."""
        _check_bounds(chunk, window)
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        source, failure = _asynchronous(images), None

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        flow = self._flow(chunk, window, on_change=wake)
        try:
            for step in flow.steps():
                if step == "read":
                    try:
                        flow.put(await anext(source))
                    except StopAsyncIteration:
                        flow.end()
                    except Exception as error:  # as in _work
                        failure = error
                        flow.end()
                elif step == "give":
                    yield _outcome(flow.take())
                else:
                    await changed.wait()
                    changed.clear()
        finally:
            await source.aclose()
            await asyncio.to_thread(flow.close)
        if failure is not None:
            raise failure

    def _results(self, images: Iterable[Image], chunk: int, window: int | None) -> Generator[Result, None, None]:
        with closing(self._work(images, chunk, window)) as outcomes:
            for outcome in outcomes:
                yield _result(outcome)

    def _outcomes(self, images: Iterable[Image], chunk: int, window: int | None) -> Generator[Outcome, None, None]:
        with closing(self._work(images, chunk, window)) as outcomes:
            for outcome in outcomes:
                yield _outcome(outcome)

    def _work(
        self, images: Iterable[Image], chunk: int, window: int | None, *, inline: bool = False
    ) -> Generator[Result | Exception, None, None]:
        source, failure, checked = iter(images), None, isinstance(images, CheckedImages)
        with self._flow(chunk, window, inline=inline) as flow:
            for step in flow.steps():
                if step == "read":
                    try:
                        # not bound to a local, which would keep the pixels alive
                        flow.put(next(source), checked=checked)
                    except StopIteration:
                        flow.end()
                    except Exception as error:  # the source's: it comes after the outcomes of what it gave
                        failure = error
                        flow.end()
                elif step == "give":
                    yield flow.take()
                else:
                    flow.wait()
        if failure is not None:
            raise failure

    def _flow(
        self,
        chunk: int,
        window: int | None,
        *,
        inline: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> Flow:
        stages = CountedStages(self.detector, self.aligner, self.embedder, self.matcher, self.metrics, self.candidates)
        if window is None:
            window = 2 * chunk + self.embedder.in_flight * self.embedder.batch_size
        return Flow(stages, chunk=chunk, pixels=CHUNK_PIXELS, window=window, inline=inline, on_change=on_change)

    def _retries(self) -> dict[RoleName, int]:
        stages = [stage for stage in (self.detector, self.aligner, self.embedder, self.matcher) if stage is not None]
        return {stage.role: stage.networks.retries for stage in stages}

    def close(self) -> None:
        """Close every stage; closing twice is allowed."""
        for stage in (self.detector, self.aligner, self.embedder, self.matcher):
            if stage is not None:
                stage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _check_bounds(chunk: int, window: int | None) -> None:
    if chunk < 1:
        raise ContractError(f"chunk: expected at least 1, got {chunk}")
    if window is not None and window < chunk:
        raise ContractError(f"window: expected at least chunk={chunk}, got {window}; lower chunk with it")


def _result(outcome: Result | Exception) -> Result:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _outcome(outcome: Result | Exception) -> Outcome:
    if isinstance(outcome, Exception) and not isinstance(outcome, FaceregError):
        raise outcome
    return outcome


async def _asynchronous(images: AsyncIterable[Image] | Iterable[Image]) -> AsyncGenerator[Image, None]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:  # read in a thread of its own, always the same: the event loop goes on while a file is slow
        loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(1, "facereg-read")
        source = iter(images)
        try:
            while given := await loop.run_in_executor(pool, _next, source):
                yield given.pop()  # not bound to a local, which would keep the pixels alive
        finally:
            await asyncio.to_thread(pool.shutdown)


def _next(source: Iterator[Image]) -> list[Image]:
    """Return the next image in a list, none at the end: StopIteration cannot leave a thread."""
    return list(islice(source, 1))
