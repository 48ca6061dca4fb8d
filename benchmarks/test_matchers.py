"""Matchers of a million generated people (not faces): rates against faiss, recall, opening a gallery, memory.

`make bench-matchers` runs them on one core, one thread on both sides; PEOPLE= changes the number of people. Times are
of the processor, which neighbours change less; those of a wall clock stand beside them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.matching import make_people
from benchmarks.measuring import Keep
from facereg.builtin.exact import CodedIndex
from facereg.builtin.indexed import FlatIndex
from facereg.gallery import Gallery
from facereg.gallery.rows import Row
from facereg.gallery.seals import SIZE, added
from facereg.types import FloatArray

PEOPLE = int(os.environ.get("FACEREG_BENCH_PEOPLE", 1_000_000))
PROBES, K, BATCH, ROUNDS = 1000, 5, 64, 5
COMMAND = f"make bench-matchers PEOPLE={PEOPLE}"
pytestmark = [
    pytest.mark.benchmark(group="matchers"),
    pytest.mark.timeout(0),
    pytest.mark.skipif(os.environ.get("OMP_NUM_THREADS") != "1", reason="run by make bench-matchers"),
]
OPEN = """\
import json, sys, time
start = time.perf_counter()
import numpy as np
from facereg import Embeddings, ExactMatcher, Gallery
from facereg.registry.installed import default_registry
path, probes = sys.argv[1], np.load(sys.argv[2])
with Gallery.open(path, space="generated") as gallery:
    matcher = default_registry().create("exact", role="matcher", threshold=0.5, threads=1)
    gallery.fill(matcher, notice=lambda text: sys.exit(text))
    [match] = matcher.match(Embeddings(probes[:1], "generated"))
took = time.perf_counter() - start
# the most that the process held, in kB; ru_maxrss would count what the process that started it held
[most] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
megabytes = int(most) * 1024 / 1e6
print(json.dumps({
    "label": match.label, "seconds": took, "processor_seconds": time.process_time(), "megabytes": megabytes,
}))
"""


@pytest.fixture(scope="module")
def people() -> tuple[FloatArray, FloatArray]:
    return make_people(PEOPLE, PROBES)


def seconds(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Return the least processor and wall seconds of each of several ways, taken in turn."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: {"processor": min(cpu for cpu, _ in all_), "wall": min(wall for _, wall in all_)}
        for name, all_ in taken.items()
    }


def test_exact_against_faiss_flat(
    benchmark: BenchmarkFixture, keep: Keep, people: tuple[FloatArray, FloatArray]
) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    rows, probes = people
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    ours = {"int8": CodedIndex(rows, 1), "float32": FlatIndex(rows)}
    figures: dict[str, object] = {"people": PEOPLE, "command": COMMAND}
    for name, size, rounds in (("one", 1, 2 * ROUNDS + 1), ("batch", BATCH, 3)):
        given = probes[:size]
        ways: dict[str, Callable[[], object]] = {"faiss": lambda given=given: flat.search(given, K)}  # type: ignore[misc]
        for kind, index in ours.items():
            ways[kind] = lambda index=index, given=given: index.search(given, K)  # type: ignore[misc]
            assert (np.sort(index.search(given, K)) == np.sort(flat.search(given, K)[1])).mean() > 0.999
        if name == "one":
            ways["reading the rows"], ways["reading the codes"] = rows.max, ours["int8"].codes.max  # type: ignore[attr-defined]
        took = seconds(ways, rounds)
        figures[name] = {way: {clock: round(value, 5) for clock, value in each.items()} for way, each in took.items()}
        for kind in ours:
            figures[f"ratio_{name}_{kind}"] = round(took["faiss"]["processor"] / took[kind]["processor"], 2)
        if name == "one":
            share = {kind: took[f"reading the {what}"] for kind, what in (("int8", "codes"), ("float32", "rows"))}
            figures["share_of_reading"] = {
                kind: round(each["processor"] / took[kind]["processor"], 2) for kind, each in share.items()
            }
    benchmark.pedantic(lambda: ours["int8"].search(probes[:1], K), rounds=ROUNDS)  # type: ignore[no-untyped-call]
    keep(f"matchers-exact-{PEOPLE}", figures)


def _enrol(path: Path, rows: FloatArray) -> None:
    """Enrol everybody in one transaction, as `Change.add` writes them, without asking each time who is there."""
    created = "2026-01-01T00:00:00+00:00"

    def written() -> Iterator[tuple[object, ...]]:
        for key, vector in enumerate(rows, 1):
            given = (vector.tobytes(), f"{key}.jpg", f"{key:064x}", created)
            row = Row(key, f"person {key - 1:07}", created, key, *given, b"")
            seal = row.sealed(change.sealer, change.state)
            totals.append(added(totals.pop(), seal))
            yield (key, key, *given, seal)

    totals = [bytes(SIZE)]
    people = ((key, f"person {key - 1:07}", created) for key in range(1, len(rows) + 1))
    with Gallery.open(path, space="generated", create=True) as gallery, gallery._store.writing() as change:
        connection = change.connection
        assert isinstance(connection, sqlite3.Connection)
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", people)
        connection.executemany("INSERT INTO embeddings VALUES (?, ?, ?, ?, ?, ?, ?)", written())
        count = len(rows)
        change.state = replace(change.state, dim=rows.shape[1], people=count, embeddings=count, total=totals[0])


def test_a_gallery_is_opened_and_one_person_identified(
    benchmark: BenchmarkFixture, keep: Keep, people: tuple[FloatArray, FloatArray], tmp_path: Path
) -> None:
    rows, probes = people
    path, asked = tmp_path / "generated.gallery", tmp_path / "probes.npy"
    np.save(asked, probes)
    _enrol(path, rows)

    def opened() -> dict[str, object]:
        said = subprocess.run(
            [sys.executable, "-c", OPEN, str(path), str(asked)], stdout=subprocess.PIPE, check=True, text=True
        ).stdout
        return dict(json.loads(said))

    first = opened()
    later = [opened() for _ in range(3)]
    benchmark.pedantic(opened, rounds=1)  # type: ignore[no-untyped-call]
    best = min(later, key=lambda one: float(str(one["seconds"])))
    assert best["label"] == f"person {int((rows @ probes[0]).argmax()):07}"
    keep(
        f"matchers-gallery-{PEOPLE}",
        {
            "people": PEOPLE,
            "megabytes_of_vectors": round(rows.nbytes / 1e6),
            "first": first,
            "later": best,
            "memory_over_vectors": round(float(str(best["megabytes"])) * 1e6 / rows.nbytes, 2),
            "command": COMMAND,
        },
    )


@pytest.mark.parametrize("kind", ["ivf", "pq", "hnsw"])
def test_faiss_against_exact(
    benchmark: BenchmarkFixture, keep: Keep, people: tuple[FloatArray, FloatArray], kind: Literal["ivf", "pq", "hnsw"]
) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    from facereg_faiss.matcher import FaissMatcher

    rows, probes = people
    with FaissMatcher(threshold=0.5, kind=kind) as matcher:
        start = time.process_time()
        index = matcher._index(rows)
        built = time.process_time() - start
    exact, codes = FlatIndex(rows), CodedIndex(rows, 1)
    nearest = np.concatenate([codes.search(probes[at : at + BATCH], K) for at in range(0, PROBES, BATCH)])

    def found(k: int) -> float:
        """Return the share of the k nearest that are among those that the matcher compares in float32."""
        near = zip(nearest[:, :k], probes, strict=True)
        return float(np.mean([np.isin(closest, index.search(probe[None], k)) for closest, probe in near]))

    took = seconds(
        {
            kind: lambda: [index.search(probe[None], 1) for probe in probes],
            "exact float32": lambda: exact.search(probes[:1], 1),
            "exact int8": lambda: codes.search(probes[:1], 1),
        },
        3,
    )
    benchmark.pedantic(lambda: index.search(probes[:1], 1), rounds=ROUNDS)  # type: ignore[no-untyped-call]
    one = took[kind]["processor"] / PROBES
    keep(
        f"matchers-{kind}-{PEOPLE}",
        {
            "people": PEOPLE,
            "recall_at_1": round(found(1), 4),
            "recall_at_5": round(found(K), 4),
            "probes": PROBES,
            "milliseconds": round(1000 * one, 3),
            "times_exact_float32": round(took["exact float32"]["processor"] / one, 1),
            "times_exact_int8": round(took["exact int8"]["processor"] / one, 1),
            "processor_seconds_to_build": round(built),
            "megabytes": round(sum(array.nbytes for array in index.arrays().values()) / 1e6, 1),
            "command": COMMAND,
        },
    )
