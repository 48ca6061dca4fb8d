"""Images through the stages, side by side: the detector works on the next while the faces of the last are embedded.

One thread drives a `Flow`: it puts images in and takes outcomes out, in order; the flow tells it when there is room,
and so bounds memory. Stages run in threads of the flow, which end when it is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Condition
from typing import Literal, Self, TypeAlias

import numpy as np

from facereg.errors import ContractError
from facereg.pipeline.failures import NO_NETWORK, error_of_image, try_each_alone
from facereg.pipeline.stages import CountedStages, Result
from facereg.pipeline.waiting import Item, Part, WaitingCrops
from facereg.types import CheckedImages, Embeddings, Image, check_image

Step: TypeAlias = Literal["read", "give", "wait"]
DETECTIONS = 4  # calls of a remote detector at once: each holds a chunk of whole images


class Flow:
    """Images on their way through the stages.

    A call that fails for several images is made again for each of them alone, so that an error is that of one image
    and the others get their results; except where the network itself cannot be reached or opened: then all of them
    get that error. Where that, or a deadline that passes, shows itself while images are tried alone, those that are
    left get that error too: a call costs no more than two deadlines.

    Args:
        stages: what to run.
        chunk: most images of one detector call.
        pixels: of the images of a call together, after which no further one joins it: memory is bounded by pixels,
            whatever the pictures' sizes.
        window: most images that were put and not taken.
        inline: run the stages in the thread that calls `put` and `end`.
        on_change: called from any thread when there may be another step than `wait`.
    """

    def __init__(
        self,
        stages: CountedStages,
        *,
        chunk: int,
        pixels: int,
        window: int,
        inline: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._stages, self._chunk, self._pixels, self._window = stages, chunk, pixels, window
        self._on_change = on_change
        self._detections = min(stages.detector.in_flight, DETECTIONS)
        self._embeddings = stages.embedder.in_flight
        self._detector_pool = None if inline else ThreadPoolExecutor(self._detections, "facereg-detect")
        self._embedder_pool = None if inline else ThreadPoolExecutor(self._embeddings, "facereg-embed")
        self._changed = Condition()  # guards all below
        self._items: deque[Item] = deque()  # put and not taken, in order
        self._filling: list[Item] = []  # the chunk being put together: good images only
        self._admitted = 0  # images put since that chunk began, bad ones too
        self._put = 0  # images put in all
        self._held = 0  # images whose pixels are held
        self._held_pixels = self._filling_pixels = 0  # of those, and of the chunk being put together
        self._finding = 0  # chunks with the detector
        self._crops = WaitingCrops()
        self._embedding = 0  # batches with the embedder
        self._workers = 0  # threads that embed
        self._ended = self._closed = False
        self._broken: BaseException | None = None  # a fault of this module; no image's own

    # What the driving thread calls.

    def steps(self) -> Iterator[Step]:
        """Yield what to do next until all is done: `read` (put or end), `give` (take) or `wait`.

        In the long run one image is read for each outcome given: the stages are kept busy, and an outcome that is
        there waits for one image at most.
        """
        fed = False
        while True:
            with self._changed:
                ready, room, pending = self._is_ready(), self._has_room(), bool(self._items)
            if room and not (fed and ready):
                fed = True
                yield "read"
            elif ready:
                fed = False
                yield "give"
            elif pending:
                yield "wait"
            else:
                return

    def put(self, image: Image, *, checked: bool = False) -> None:
        """Put the next image in; one that is no image keeps its place and gets its error."""
        item = Item(image, self._put)
        try:
            if not checked:
                check_image(image, name=f"images[{self._put}]")
        except ContractError as error:
            item.image, item.outcome = None, error
            self._stages.metrics.count_failure(error)
        with self._changed:
            self._put += 1
            self._admitted += 1
            self._items.append(item)
            if item.image is not None:
                self._held += 1
                self._held_pixels += item.pixels
                self._filling_pixels += item.pixels
                self._filling.append(item)
            full = self._admitted == self._chunk or self._filling_pixels >= self._pixels
        if full:
            self._submit()

    def end(self) -> None:
        """End the input: no image comes any more."""
        self._submit(last=True)
        self._start_embedding()

    def take(self) -> Result | Exception:
        """Return the outcome of the next image; it is there."""
        with self._changed:
            outcome = self._items.popleft().outcome
        assert outcome is not None  # the step said so
        self._start_embedding()
        return outcome

    def wait(self) -> None:
        """Wait until there is something else to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_ready() or self._has_room())

    def close(self) -> None:
        """Give up what is on its way; wait for the calls being made, and end the threads."""
        with self._changed:
            self._closed = True
            self._crops.clear()
            self._tell()
        for pool in (self._detector_pool, self._embedder_pool):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # With the lock held.

    def _is_ready(self) -> bool:
        if self._broken is not None:
            raise self._broken
        return bool(self._items) and self._items[0].outcome is not None

    def _has_room(self) -> bool:
        if self._ended:
            return False
        if self._admitted:  # the chunk begun may be filled
            return True
        chunks = self._detections + 1  # one is filled while the others are worked on
        within = self._held + self._chunk <= chunks * self._chunk
        within &= self._held_pixels + self._pixels <= chunks * self._pixels
        return len(self._items) + self._chunk <= self._window and within

    def _batch_is_due(self) -> bool:
        """Return whether to embed: a full batch, or what there is when no further face can come before it is taken."""
        if self._closed or not self._crops:
            return False
        if len(self._crops) >= self._stages.embedder.batch_size:
            return True
        if self._finding:
            return False
        stuck = self._embedding == 0 and self._items[0].outcome is None and not self._has_room()
        return self._ended or stuck

    def _tell(self) -> None:
        self._changed.notify_all()
        self._on_change()

    # Detector and aligner.

    def _submit(self, *, last: bool = False) -> None:
        """Give the chunk put together to the detector."""
        with self._changed:
            chunk, self._filling, self._admitted, self._filling_pixels = self._filling, [], 0, 0
            self._finding += bool(chunk)
            self._ended |= last
        if chunk:
            self._run(self._detector_pool, partial(self._find_chunk, chunk))

    def _find_chunk(self, chunk: list[Item]) -> None:
        self._find(chunk)
        with self._changed:
            self._finding -= 1
            self._tell()
        self._start_embedding()

    def _find(self, items: list[Item]) -> Exception | None:
        """Find the faces of some images and queue their crops; return the error that was that of all, if any."""
        if self._closed:
            return None
        try:
            found, crops = self._stages.find(CheckedImages(item.image for item in items if item.image is not None))
        except Exception as error:  # a plugin may raise anything: it is the image's outcome
            if len(items) == 1 or isinstance(error, NO_NETWORK):
                self._fail(items, error)
                return error
            try_each_alone(items, self._find, self._fail)
            return None
        self._release(items)
        start = first = 0
        for item, faces, count in zip(items, found, crops.counts, strict=True):
            item.faces, item.missing = faces, count
            mine = crops.refused[first : first + len(faces)]
            item.refused = mine if any(mine) else ()
            first += len(faces)
            item.points = crops.landmarks[start : start + count]
            if count:
                item.vectors = np.empty((count, self._stages.embedder.dim), np.float32)
                with self._changed:
                    self._crops.add(item, crops.pixels[start : start + count])
            else:
                self._finish(item)
            start += count
        return None

    def _fail(self, items: list[Item], error: Exception) -> None:
        """End images whose faces were not found."""
        self._release(items)
        for item in items:
            self._settle(item, error)

    def _release(self, items: list[Item]) -> None:
        with self._changed:
            self._held_pixels -= sum(item.pixels for item in items)
            for item in items:
                item.image = None
            self._held -= len(items)

    # Embedder and matcher.

    def _start_embedding(self) -> None:
        """Start threads for the batches that are due, as many as the embedder takes at once."""
        with self._changed:
            due = max(len(self._crops) // self._stages.embedder.batch_size, 1) if self._batch_is_due() else 0
            started = min(due, self._embeddings - self._workers)
            self._workers += started
        for _ in range(started):
            self._run(self._embedder_pool, self._embed_batches)

    def _embed_batches(self) -> None:
        while batch := self._next_batch():
            self._embed(batch)
            with self._changed:
                self._embedding -= 1

    def _next_batch(self) -> list[Part]:
        """Take a batch from the queue; none where none is due, and the thread is counted out."""
        with self._changed:
            if self._closed or not self._batch_is_due():
                self._workers -= 1
                return []
            self._embedding += 1
            return self._crops.take(self._stages.embedder.batch_size)

    def _embed(self, batch: list[Part]) -> Exception | None:
        """Embed the crops of some images, finish those that are complete; return an error as `_find` does."""
        try:
            embeddings = self._stages.embed(np.concatenate([part.pixels for part in batch]))
        except Exception as error:  # a plugin may raise anything: it is the images' outcome
            if len(batch) == 1 or isinstance(error, NO_NETWORK):
                self._fail_parts(batch, error)
                return error
            try_each_alone(batch, self._embed, self._fail_parts)
            return None
        row = 0
        for part in batch:
            count = len(part.pixels)
            vectors = part.item.vectors
            assert vectors is not None  # made when its crops were queued
            vectors[part.row : part.row + count] = embeddings.vectors[row : row + count]
            row += count
            with self._changed:
                part.item.missing -= count
                complete = part.item.missing == 0
            if complete:
                self._finish(part.item)
        return None

    def _fail_parts(self, batch: list[Part], error: Exception) -> None:
        for part in batch:
            self._settle(part.item, error)

    def _finish(self, item: Item) -> None:
        """Match the faces of an image that is embedded."""
        vectors = np.empty((0, self._stages.embedder.dim), np.float32) if item.vectors is None else item.vectors
        try:
            own = Embeddings(vectors, self._stages.embedder.space)
            assert item.faces is not None  # found before its crops were queued
            outcome: Result | Exception = Result(item.faces, own, self._stages.match(own), item.refused, item.points)
        except Exception as error:  # a plugin may raise anything: it is the image's outcome
            outcome = error
        self._settle(item, outcome)

    def _settle(self, item: Item, outcome: Result | Exception) -> None:
        with self._changed:
            if item.outcome is not None:  # an image whose faces fill several batches has failed already
                return
            if not isinstance(outcome, Result):
                outcome = error_of_image(outcome, item.number)
                self._crops.drop(item)
            item.outcome = outcome
            self._tell()
        if isinstance(outcome, Result):
            self._stages.metrics.count_image(len(outcome.faces))
        else:
            self._stages.metrics.count_failure(outcome)

    # Threads.

    def _run(self, pool: ThreadPoolExecutor | None, work: Callable[[], None]) -> None:
        if pool is None:
            work()
        else:
            pool.submit(copy_context().run, self._guarded, work)  # so that spans have the caller's for a parent

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # without this the driving thread would wait for ever
            with self._changed:
                self._broken = error
                self._tell()
