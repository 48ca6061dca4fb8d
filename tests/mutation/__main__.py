"""Read changed files with every reader and print what became of them; exit status 1 where anything is not as it should.

    python -m tests.mutation                     10,000 cases, a table
    python -m tests.mutation --cases 300 --only gallery
    python -m tests.mutation --only zip --case 17 --keep changed.zip

The readers work in a process apart, with 4 GiB of address space over what their libraries take, 5 s a case.
"""

from __future__ import annotations

import argparse
import json
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from facereg.errors import FaceregError
from tests.mutation.changes import mutated
from tests.mutation.readers import READERS, Reader, UnsoundError

SPACE = 4 << 30  # bytes
LIMIT_S = 5.0
START_S = 60.0  # to import and read the sound file
COLUMNS = ("same", "refused", "other", "crash", "untyped", "hang", "wrong")
FAULTS = COLUMNS[3:]


def changed_file(reader: Reader, sound: bytes, seed: int, case: int) -> bytes:
    """Return the bytes of one case: a function of its numbers alone."""
    return mutated(sound, np.random.default_rng([seed, READERS.index(reader), case]))


def work(names: list[str], seed: int, first: int, cases: int) -> None:
    """Read the cases of each reader, of the first one from `first` on, and say a line of each on stdout."""
    out = sys.stdout
    sys.stdout = sys.stderr
    for name in names:
        reader = next(reader for reader in READERS if reader.name == name)
        with tempfile.TemporaryDirectory() as folder:
            path = reader.make(Path(folder))
            sound, answer = path.read_bytes(), reader.read(path)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + SPACE, resource.RLIM_INFINITY))
            print(json.dumps([None, "ready", ""]), file=out, flush=True)
            for case in range(first, cases):
                content = changed_file(reader, sound, seed, case)
                for beside in path.parent.glob(f"{path.name}?*"):  # a log that SQLite left
                    beside.unlink()
                path.write_bytes(content)
                kind, said = outcome(reader, path, answer, same_bytes=content == sound)
                print(json.dumps([case, kind, said]), file=out, flush=True)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        first = 0


def outcome(reader: Reader, path: Path, answer: object, *, same_bytes: bool) -> tuple[str, str]:
    """Return what became of one file: the name of a column, and a word on it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = reader.read(path)
    except FaceregError as error:
        one_line = len(str(error).splitlines()) == 1 and len(str(error)) < 2000
        return ("refused", "") if one_line else ("untyped", f"not one line: {str(error)[:200]!r}")
    except BaseException as error:  # whatever gets out is what is looked for
        kind = "wrong" if isinstance(error, UnsoundError) else "untyped"
        return kind, f"{type(error).__name__}: {error}"[:200]
    if same_bytes or repr(got) == repr(answer):
        return "same", ""
    return ("wrong", f"got {got!r:.150}") if reader.sealed else ("other", "")


@dataclass
class Row:
    """What became of the cases of one reader: how often each column came, a line for each fault, seconds."""

    reader: Reader
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(readers: Sequence[Reader], seed: int, cases: int) -> Iterator[Row]:
    """Yield a row for each reader; a process that is lost is begun anew after the case that it was lost in."""
    rows = [Row(reader) for reader in readers]
    while rows:
        done = sum(rows[0].counts.values())
        arguments = ["--seed", str(seed), "--first", str(done), "--cases", str(cases)]
        arguments += ["--work", *(row.reader.name for row in rows)]
        with _Child(arguments) as child:
            while rows:
                row, began = rows[0], time.monotonic()
                lost = _count(row, child, cases)
                row.seconds += time.monotonic() - began
                if lost:
                    case = sum(row.counts.values())
                    row.counts[lost] += 1
                    row.faults.append(f"{row.reader.name} {case}: {lost}")
                if sum(row.counts.values()) == cases:
                    yield rows.pop(0)
                if lost:
                    break


def _count(row: Row, child: _Child, cases: int) -> str | None:
    """Count what the child says of one reader; return how it was lost, if it was."""
    if (said := child.line(START_S)) is None or said[1] != "ready":
        raise SystemExit(f"{row.reader.name}: its sound file could not be read; try --work '{row.reader.name}'")
    while sum(row.counts.values()) < cases:
        said = child.line(LIMIT_S)
        if said is None:
            return "hang" if child.alive else "crash"
        row.counts[said[1]] += 1
        if said[1] in FAULTS:
            row.faults.append(f"{row.reader.name} {said[0]}: {said[1]}: {said[2]}")
    return None


class _Child:
    """A process that reads, and what it says."""

    def __init__(self, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "tests.mutation", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=_listen, args=(self._process, self._lines))
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()

    @property
    def alive(self) -> bool:
        return self._listener.is_alive()

    def line(self, seconds: float) -> tuple[int, str, str] | None:
        """Return what it says next, or None where it says nothing in time, or no more."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        return tuple(json.loads(line)) if line else None


def _listen(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert child.stdout is not None
    with child.stdout as stream:
        for line in stream:
            lines.put(line)
    lines.put("")


def main() -> int:
    """Run the cases; return 1 where one of them is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--cases", type=int, default=10_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="name of one reader")
    parser.add_argument("--case", type=int, help="with --keep: write that case's file")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.seed, given.first, given.cases)
        return 0
    chosen = [reader for reader in READERS if given.only in (None, reader.name)]
    if given.keep:
        with tempfile.TemporaryDirectory() as folder:
            sound = chosen[0].make(Path(folder)).read_bytes()
        given.keep.write_bytes(changed_file(chosen[0], sound, given.seed, given.case))
        return 0
    return table(chosen, given.seed, -(-given.cases // len(chosen)))


def table(chosen: list[Reader], seed: int, each: int) -> int:
    """Run and print a row for each reader; return 1 where there is a fault."""
    print(f"{'reader':16}{'cases':>7}" + "".join(f"{name:>9}" for name in COLUMNS) + f"{'s':>7}")
    total: Counter[str] = Counter()
    said: list[str] = []
    for row in run(chosen, seed, each):
        total += row.counts
        said += row.faults
        numbers = "".join(f"{row.counts[name]:9}" for name in COLUMNS)
        print(f"{row.reader.name:16}{each:7}{numbers}{row.seconds:7.0f}", flush=True)
    print(f"{'all':16}{each * len(chosen):7}" + "".join(f"{total[name]:9}" for name in COLUMNS))
    print("\n".join(said))
    return int(any(total[name] for name in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
