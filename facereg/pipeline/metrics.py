"""What a pipeline did: images, faces, times and batch sizes by stage; and OpenTelemetry spans where that is installed.

The counts are kept always: a stage call costs one lock and two additions to a histogram. They are read as a dict or
as Prometheus text. Spans need the extra [otel] and a tracer provider of the program's; without either they do nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import accumulate
from threading import Lock
from time import perf_counter
from typing import get_args

from facereg.roles import RoleName, Stage

try:
    from opentelemetry import trace
except ImportError:  # the extra [otel] is not installed
    _TRACER = None
else:
    _TRACER = trace.get_tracer("facereg")

# Prometheus' usual steps for latencies, from 1 ms
LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Histogram:
    """How many values fell at or below each bound, and their sum. Not locked by itself."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last is above every bound
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def as_dict(self) -> dict[str, int]:
        """Return the number of values at or below each bound, as Prometheus counts them; the last is all."""
        names = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        return dict(zip(names, accumulate(self.counts), strict=True))


class _StageCounts:
    def __init__(self) -> None:
        self.seconds = Histogram(LATENCIES_S)
        self.batches = Histogram(BATCH_SIZES)
        self.errors = 0


class PipelineMetrics:
    """Counts since the pipeline was made; safe to share between threads.

    Args:
        retries: gives, by role, how many network calls were made again.
    """

    def __init__(self, retries: Callable[[], Mapping[RoleName, int]] = dict) -> None:
        self._retries = retries
        self._lock = Lock()
        self._stages = {role: _StageCounts() for role in get_args(RoleName)}
        self._images = self._faces = 0
        self._failed: Counter[str] = Counter()  # by the error's class

    @contextmanager
    def call(self, stage: Stage, size: int) -> Iterator[None]:
        """Time one call of a stage on `size` images (detector, aligner) or faces (embedder, matcher)."""
        counts, failed, began = self._stages[stage.role], True, perf_counter()
        try:
            with _span(stage, size):
                yield
            failed = False
        finally:
            seconds = perf_counter() - began
            with self._lock:
                counts.seconds.add(seconds)
                counts.batches.add(size)
                counts.errors += failed

    def count_image(self, faces: int) -> None:
        """Count an image that got its result."""
        with self._lock:
            self._images += 1
            self._faces += faces

    def count_failure(self, error: BaseException) -> None:
        """Count an image that got an error."""
        with self._lock:
            self._failed[type(error).__name__] += 1

    def as_dict(self) -> dict[str, object]:
        """Return the counts, ready for JSON.

        Keys: `images` and `faces` with a result, `failed` images by error class, and `stages` by role: `calls`,
        `errors`, `retries`, `items` (images, or faces for embedder and matcher), `seconds` in all, and how many
        calls took at most so long (`latency_s`) or so many items (`batch_size`).
        """
        retries = self._retries()
        with self._lock:
            return {
                "images": self._images,
                "faces": self._faces,
                "failed": dict(self._failed),
                "stages": {
                    role: {
                        "calls": sum(counts.seconds.counts),
                        "errors": counts.errors,
                        "retries": retries.get(role, 0),
                        "items": int(counts.batches.total),
                        "seconds": counts.seconds.total,
                        "latency_s": counts.seconds.as_dict(),
                        "batch_size": counts.batches.as_dict(),
                    }
                    for role, counts in self._stages.items()
                },
            }

    def as_prometheus(self) -> str:
        """Return the counts in Prometheus' text format 0.0.4, for the answer to a scrape."""
        retries = self._retries()
        with self._lock:
            lines = [
                *_counter("images", "Images with a result.", {"": self._images}),
                *_counter("faces", "Faces embedded.", {"": self._faces}),
                *_counter(
                    "failed_images",
                    "Images with an error.",
                    {f'{{error="{name}"}}': count for name, count in sorted(self._failed.items())},
                ),
                *_counter("stage_errors", "Stage calls that failed.", self._by_stage(lambda role, held: held.errors)),
                *_counter(
                    "network_retries",
                    "Network calls made again.",
                    self._by_stage(lambda role, held: retries.get(role, 0)),
                ),
                *_histograms("stage_seconds", "Time of a stage call.", self._parts(lambda held: held.seconds)),
                *_histograms(
                    "stage_batch_size", "Images or faces of a stage call.", self._parts(lambda held: held.batches)
                ),
            ]
        return "\n".join(lines) + "\n"

    def _by_stage(self, value: Callable[[RoleName, _StageCounts], int]) -> dict[str, int]:
        return {f'{{stage="{role}"}}': value(role, counts) for role, counts in self._stages.items()}

    def _parts(self, part: Callable[[_StageCounts], Histogram]) -> dict[RoleName, Histogram]:
        return {role: part(counts) for role, counts in self._stages.items()}


def _span(stage: Stage, size: int) -> AbstractContextManager[object]:
    if _TRACER is None:
        return nullcontext()
    return _TRACER.start_as_current_span(
        f"facereg.{stage.role}",
        attributes={
            "facereg.stage": stage.role,
            "facereg.model": type(stage).__name__,
            "facereg.batch_size": size,
        },
    )


def _counter(name: str, meaning: str, values: Mapping[str, int]) -> list[str]:
    head = [f"# HELP facereg_{name}_total {meaning}", f"# TYPE facereg_{name}_total counter"]
    return head + [f"facereg_{name}_total{labels} {value}" for labels, value in values.items()]


def _histograms(name: str, meaning: str, parts: Mapping[RoleName, Histogram]) -> list[str]:
    lines = [f"# HELP facereg_{name} {meaning}", f"# TYPE facereg_{name} histogram"]
    for role, held in parts.items():
        counted = held.as_dict()
        lines += [f'facereg_{name}_bucket{{stage="{role}",le="{bound}"}} {n}' for bound, n in counted.items()]
        lines.append(f'facereg_{name}_sum{{stage="{role}"}} {held.total:.9g}')
        lines.append(f'facereg_{name}_count{{stage="{role}"}} {counted["+Inf"]}')
    return lines
