"""The composer: images in, names out. The only module that knows all four roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import numpy as np

from facereg.errors import ContractError
from facereg.interfaces import Aligner, Detector, Embedder, Matcher, RoleName
from facereg.registry import Registry, default_registry
from facereg.types import Embeddings, Faces, Image, Matches

CHUNK = 16  # images worked on together: enough to fill an embedder's batch, few enough to bound memory


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was found in one image; row i of each is the same face. `matches` is None without a matcher."""

    faces: Faces
    embeddings: Embeddings
    matches: Matches | None


class Pipeline:
    """Detector, aligner, embedder and, where people are known, matcher, one after another.

    One instance may be shared between threads. Closing it closes its stages.
    """

    def __init__(
        self, detector: Detector, aligner: Aligner, embedder: Embedder, matcher: Matcher | None = None
    ) -> None:
        self.detector, self.aligner, self.embedder, self.matcher = detector, aligner, embedder, matcher

    @classmethod
    def create(
        cls,
        *,
        detector: str = "mtcnn",
        aligner: str = "five-point",
        embedder: str = "mobilenetv3-arcface",
        matcher: Matcher | None = None,
        runner: str = "onnx",
        device: str = "cpu",
        threads: int | None = None,
        weights: Mapping[RoleName, str | Path] | None = None,
        options: Mapping[RoleName, Mapping[str, object]] | None = None,
        registry: Registry | None = None,
    ) -> Pipeline:
        """Return a pipeline of installed models.

        Args:
            detector, aligner, embedder: names as in `facereg models`.
            matcher: holds the known people; a `Gallery` makes one.
            runner, device, threads: where networks run; see `facereg.runners.opening.open_network`.
            weights: by role, a folder or file that stands in for the plugin's own.
            options: by role, options of the model's factory.
        Raises:
            UnknownNameError: if no such model is installed.
        """
        registry = registry or default_registry()
        names: dict[RoleName, str] = {"detector": detector, "aligner": aligner, "embedder": embedder}
        weights, options = weights or {}, options or {}
        for given in (*weights, *options):
            if given not in names:
                raise ContractError(f"weights, options: expected one of {', '.join(names)}, got {given!r}")
        with ExitStack() as made:  # what was made is closed where a later one fails
            stages = [
                made.enter_context(
                    registry.create(
                        name,
                        role=role,
                        runner=runner,
                        device=device,
                        threads=threads,
                        weights=weights.get(role),
                        **options.get(role, {}),
                    )
                )
                for role, name in names.items()
            ]
            made.pop_all()
        return cls(cast(Detector, stages[0]), cast(Aligner, stages[1]), cast(Embedder, stages[2]), matcher)

    def run(self, images: Sequence[Image]) -> list[Result]:
        """Return a result for each image, in order; the images may be of any sizes.

        All faces of all images are embedded in full batches.

        Raises:
            ContractError: if an image is no uint8 (H, W, 3) array.
        """
        found = self.detector.detect(images)
        crops = self.aligner.align(images, found, size=self.embedder.crop_size)
        embeddings = self.embedder.embed(crops)
        ends = np.cumsum(crops.counts, dtype=np.int64)
        results = []
        for faces, count, end in zip(found, crops.counts, ends, strict=True):
            own = embeddings[int(end) - count : int(end)]
            results.append(Result(faces, own, None if self.matcher is None else self.matcher.match(own)))
        return results

    def stream(self, images: Iterable[Image], *, chunk: int = CHUNK) -> Iterator[Result]:
        """Yield a result for each image, in order, holding at most `chunk` images.

        Raises:
            ContractError: if `chunk` is less than 1, or as `run`.
        """
        if chunk < 1:
            raise ContractError(f"chunk: expected at least 1, got {chunk}")
        source = iter(images)
        while batch := list(islice(source, chunk)):
            yield from self.run(batch)

    async def astream(
        self, images: AsyncIterable[Image] | Iterable[Image], *, chunk: int = CHUNK
    ) -> AsyncIterator[Result]:
        """Yield as `stream`, from a plain or an asynchronous source; the work is done beside the event loop."""
        if chunk < 1:
            raise ContractError(f"chunk: expected at least 1, got {chunk}")
        batch: list[Image] = []
        async for image in _asynchronous(images):
            batch.append(image)
            if len(batch) == chunk:
                for result in await asyncio.to_thread(self.run, batch):
                    yield result
                batch = []
        for result in await asyncio.to_thread(self.run, batch):
            yield result

    def close(self) -> None:
        """Close every stage; closing twice is allowed."""
        for stage in (self.detector, self.aligner, self.embedder, self.matcher):
            if stage is not None:
                stage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _asynchronous(images: AsyncIterable[Image] | Iterable[Image]) -> AsyncIterator[Image]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image
