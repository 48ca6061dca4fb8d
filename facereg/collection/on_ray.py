"""Blocks of files looked at by the workers of a Ray cluster; one process walks the folder and writes the index."""

from __future__ import annotations

import logging
import os
import pickle
import platform
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from facereg.collection.indexing import Look, Looked, look_at
from facereg.collection.store import Index
from facereg.errors import FaceregError, MissingExtraError, RunnerError, SpaceMismatchError, UnreachableError, words_of
from facereg.names import masked
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import Composition, StageChoice

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read as Ray starts, which else reports to its makers
try:
    import ray
    import ray.data
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise MissingExtraError("an index made on Ray needs ray; pip install 'facereg-core[ray]'") from error

LOCAL = "local"  # Ray's own word for a cluster on this machine, which ends with the run
WAVE = 8  # blocks for each CPU in one data set of Ray's, which has no stream without an end
ANSWERS_S = 5.0  # in which a cluster's head takes a connection
TRIES = 3  # of a block that its workers do not survive


@contextmanager
def looking_on_ray(
    address: str, composition: Composition, index: Index, *, notice: Callable[[str], object] = lambda text: None
) -> Iterator[Look]:
    """Yield what has a Ray cluster look at blocks of files, each picture that the index lacks once.

    A worker does what `looking` does in this process; what it finds comes back in the order of the files. The block of
    a worker that is lost is given to another. Files, weights and plugins are the same on all machines, under the same
    paths.

    Args:
        address: HOST:PORT of the cluster's head, called from a machine of the cluster; `local` for one on this machine.
        composition: of the pipeline; networks for which it states no threads have one, and a worker as many CPUs.
        notice: called with a line about a file that was read in part.
    Raises:
        RunnerError: if a worker cannot make the pipeline, or its networks cannot be reached.
        SpaceMismatchError: if a worker's embedder is not that of the index.
        UnreachableError: if no cluster answers, or it gave up; where its head is lost Ray ends this process.
    """
    detector, aligner, embedder = stages = [_elsewhere(choice) for choice in composition.stages]
    made = pickle.dumps(Composition(detector, aligner, embedder))
    _connect(address)
    try:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        lasting = {"max_restarts": -1, "max_task_retries": -1, "num_cpus": 0, "scheduling_strategy": here}
        desk = ray.remote(**lasting)(_Desk).remote(index.path.absolute())
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars, context.execution_options.preserve_order = False, True
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what went wrong is one line of ours
        threads = max(choice.threads or 1 for choice in stages)
        wave = max(1, WAVE * int(ray.cluster_resources().get("CPU", 1)) // threads)

        def look(blocks: Iterable[list[Path]]) -> Iterator[Looked]:
            waiting = iter(blocks)
            while some := [{"block": pickle.dumps(block)} for block in islice(waiting, wave)]:
                rows = ray.data.from_items(some, override_num_blocks=len(some)).map(
                    _looked, fn_args=(made, index.space, desk), num_cpus=threads
                )
                for row in _received(rows, address):
                    found, notices = pickle.loads(row["found"])
                    for line in notices:
                        notice(line)
                    if isinstance(found, FaceregError):
                        raise found
                    yield found

        yield look
    finally:
        ray.shutdown()


class _Desk:
    """What workers ask, on the machine of the process that writes: which pictures the index holds, who tried before."""

    def __init__(self, path: Path) -> None:
        self._index, self._begun = Index.open(path), Counter[bytes]()

    def known(self, sha256: Sequence[str]) -> set[str]:
        return self._index.known(sha256)

    def begin(self, block: bytes) -> int:
        """Return how many workers began with a block before; the default of Ray Data is to try for ever."""
        self._begun[block] += 1
        return self._begun[block] - 1


@cache
def _opened(made: bytes) -> Pipeline:
    """Return the pipeline of a worker, which has many blocks."""
    return Pipeline.compose(pickle.loads(made))


def _looked(row: dict[str, bytes], made: bytes, space: str, desk: Any) -> dict[str, bytes]:
    """Look at a block in a worker; an error of facereg is an answer too, as Ray would wrap it in its own."""
    paths, notices = pickle.loads(row["block"]), list[str]()
    files = f"{len(paths)} files from {paths[0]}"
    found: Looked | FaceregError
    try:
        if lost := ray.get(desk.begin.remote(row["block"])):
            notices.append(f"a Ray worker was lost, and the {files} given to another")
        if lost == TRIES:
            raise RunnerError(f"{TRIES} were lost with the {files}; index these without Ray to see which file ends it")
        pipeline = _opened(made)
        if pipeline.embedder.space != space:
            got = pipeline.embedder.space
            raise SpaceMismatchError(f"expected an embedder of {space!r}, got {got!r}; install the same everywhere")

        def known(sha256: Sequence[str]) -> set[str]:
            held: set[str] = ray.get(desk.known.remote(sha256))
            return held

        found = look_at(pipeline, paths, known=known, notice=notices.append)
    except FaceregError as error:
        kind = SpaceMismatchError if isinstance(error, SpaceMismatchError) else RunnerError
        found = kind(f"a Ray worker on {platform.node()}: {error}")
    return {"found": pickle.dumps((found, notices))}


def _received(rows: ray.data.Dataset, address: str) -> Iterator[dict[str, bytes]]:
    try:
        yield from rows.iter_rows()
    except Exception as error:  # whatever Ray makes of a worker, a machine or a head that is gone
        said = words_of(error).removesuffix(".")
        raise UnreachableError(
            f"Ray at {masked(address)} gave up ({said}); call the same again: it goes on where it was"
        ) from error


def _elsewhere(choice: StageChoice) -> StageChoice:
    """Return a stage as another process makes it: the folder that this one is in means nothing there."""
    weights = None if choice.weights is None else os.path.abspath(choice.weights)
    return replace(choice, weights=weights, threads=choice.threads or 1)


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    expected = f"--ray: expected HOST:PORT of a Ray cluster's head, or '{LOCAL}', got {masked(address)!r}"
    try:
        if address != LOCAL:
            if not host or "/" in host or not port.isdecimal():
                raise UnreachableError(f"{expected}; this machine has to be one of the cluster")
            socket.create_connection((host.strip("[]"), int(port)), ANSWERS_S).close()  # Ray tries for many minutes
        dashboard = False if address == LOCAL else None  # of another cluster it is not ours to say
        ray.init(address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.CRITICAL)
    except FaceregError:
        raise
    except Exception as error:
        raise UnreachableError(
            f"{expected}, where none answers ({words_of(error)}); start one with 'ray start', "
            "and set RAY_AUTH_MODE=token where it has a token"
        ) from error
