"""Counts by stage, Prometheus text that its own parser accepts, and spans."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from facereg.builtin.alignment import FivePointAligner
from facereg.builtin.exact import ExactMatcher
from facereg.errors import RunnerError
from facereg.networks.runner import Networks, Runner
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.metrics import Histogram
from facereg.types import FloatArray
from tests.fakes import PaintedDetector, PaintedEmbedder, picture

ROOT = Path(__file__).parents[2]
SPEC = NetworkSpec("echo", (TensorSpec("x", "float32", (None,)),), (TensorSpec("y", "float32", (None,)),), "none", "n")


class FailingEmbedder(PaintedEmbedder):
    """Fails on every batch."""

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        raise RunnerError("the network failed")


class Distant(Runner):
    """As a runner on a server states itself."""

    def _infer(self, inputs: object) -> dict[str, npt.NDArray[np.float32]]:
        raise AssertionError


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder(), ExactMatcher(threshold=0.5))


def test_a_bound_belongs_to_its_own_step() -> None:
    held = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 2.0, 3.0, 9.0):
        held.add(value)
    assert held.as_dict() == {"1": 2, "2": 3, "4": 4, "+Inf": 5}
    assert held.total == 15.5


def test_images_faces_and_batches_are_counted_by_stage(pipeline: Pipeline) -> None:
    pipeline.run([picture(1, 2, 3), picture(), picture(4, 5, 6)])  # six faces in batches of four
    counts = json.loads(json.dumps(pipeline.metrics.as_dict()))
    assert (counts["images"], counts["faces"], counts["failed"]) == (3, 6, {})
    stages = counts["stages"]
    assert {role: stage["calls"] for role, stage in stages.items()} == {
        "detector": 1,
        "aligner": 1,
        "embedder": 2,
        "matcher": 3,  # an image at a time
    }
    assert {role: stage["items"] for role, stage in stages.items()} == {
        "detector": 3,
        "aligner": 3,
        "embedder": 6,
        "matcher": 6,
    }
    assert stages["embedder"]["batch_size"]["2"] == 1
    assert stages["embedder"]["batch_size"]["4"] == 2
    assert sum(stage["errors"] for stage in stages.values()) == 0
    assert stages["detector"]["latency_s"]["+Inf"] == 1
    assert stages["detector"]["seconds"] > 0


def test_failed_images_are_counted_by_error_and_calls_by_stage() -> None:
    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), FailingEmbedder())
    images = [picture(1), picture(2), picture(), np.zeros(3, np.uint8)]  # the last is no image
    assert len(list(pipeline.outcomes(images))) == 4
    counts = pipeline.metrics.as_dict()
    assert counts["failed"] == {"RunnerError": 2, "ContractError": 1}
    assert counts["images"] == 1
    text = pipeline.metrics.as_prometheus()
    assert 'facereg_stage_errors_total{stage="embedder"} 3\n' in text  # the batch of two, then each face alone
    assert 'facereg_failed_images_total{error="RunnerError"} 2\n' in text


def test_retries_of_closed_runners_are_kept() -> None:
    runner = Distant(SPEC, fingerprint="1")
    embedder = PaintedEmbedder()
    embedder.networks = Networks([SPEC], lambda spec: runner, in_flight=3)
    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), embedder)
    assert embedder.in_flight == 3
    assert pipeline.detector.in_flight == 1
    assert embedder.networks[SPEC.name] is runner  # opened: asking how many calls to make opens nothing
    runner.retries = 2
    assert 'facereg_network_retries_total{stage="embedder"} 2\n' in pipeline.metrics.as_prometheus()
    pipeline.close()
    assert embedder.networks.retries == 2


def test_prometheus_reads_the_text(pipeline: Pipeline) -> None:
    pipeline.run([picture(1, 2), picture(3)])
    families = {family.name: family for family in text_string_to_metric_families(pipeline.metrics.as_prometheus())}
    assert {name: family.type for name, family in families.items()} == {
        "facereg_images": "counter",
        "facereg_faces": "counter",
        "facereg_failed_images": "counter",
        "facereg_stage_errors": "counter",
        "facereg_network_retries": "counter",
        "facereg_stage_seconds": "histogram",
        "facereg_stage_batch_size": "histogram",
    }
    [images] = families["facereg_images"].samples
    assert (images.name, images.value) == ("facereg_images_total", 2)
    sizes = {
        sample.labels["le"]: sample.value
        for sample in families["facereg_stage_batch_size"].samples
        if sample.labels["stage"] == "embedder" and sample.name.endswith("_bucket")
    }
    assert [sizes[bound] for bound in ("2", "4", "+Inf")] == [0, 1, 1]  # one batch of three faces


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The spans of this process; a provider can be set once only."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_each_stage_call_is_a_span_under_the_callers(pipeline: Pipeline, exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    with trace.get_tracer("test").start_as_current_span("request") as request:
        list(pipeline.stream([picture(1), picture(2, 3)], chunk=2))
    spans = {span.name: span for span in exporter.get_finished_spans() if span.name != "request"}
    assert set(spans) == {"facereg.detector", "facereg.aligner", "facereg.embedder", "facereg.matcher"}
    assert dict(spans["facereg.embedder"].attributes or {}) == {
        "facereg.stage": "embedder",
        "facereg.model": "PaintedEmbedder",
        "facereg.batch_size": 3,
    }
    for span in spans.values():
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id


def test_a_failed_call_marks_its_span(exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    list(Pipeline(PaintedDetector(), FivePointAligner(), FailingEmbedder()).outcomes([picture(1)]))
    [span] = [span for span in exporter.get_finished_spans() if span.name == "facereg.embedder"]
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.events[0].name == "exception"


def test_without_opentelemetry_a_pipeline_works() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from facereg.pipeline import metrics as observability
assert observability._TRACER is None
from facereg.builtin.alignment import FivePointAligner
from facereg.pipeline.composer import Pipeline
from tests.fakes import PaintedDetector, PaintedEmbedder, picture
pipeline = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
pipeline.run([picture(1)])
print(pipeline.metrics.as_dict()["faces"])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
