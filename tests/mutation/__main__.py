"""Read changed files with every reader and print what became of them; exit status 1 where anything is not as it should.

    python -m tests.mutation                     10,000 cases, a table
    python -m tests.mutation --cases 300 --only gallery
    python -m tests.mutation --only zip --case 17 --keep changed.zip

Each reader works in a process of its own, with 4 GiB of address space over what its libraries take, 5 s a case.
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
from pathlib import Path

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


def work(reader: Reader, seed: int, first: int, cases: int) -> None:
    """Read the cases from `first` on, and say a line of each on stdout."""
    out = sys.stdout
    sys.stdout = sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        path = reader.make(Path(folder))
        sound, answer = path.read_bytes(), reader.read(path)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + SPACE, taken + SPACE))
        print("ready", file=out, flush=True)
        for case in range(first, cases):
            content = changed_file(reader, sound, seed, case)
            for beside in path.parent.glob(f"{path.name}?*"):  # a log that SQLite left
                beside.unlink()
            path.write_bytes(content)
            kind, said = outcome(reader, path, answer, same_bytes=content == sound)
            print(json.dumps([case, kind, said]), file=out, flush=True)


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


def run(reader: Reader, seed: int, cases: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Return how often each column came, and a line for each fault; a process that is lost is begun anew."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    while first < cases:
        arguments = [sys.executable, "-m", "tests.mutation", "--work", reader.name, "--seed", str(seed)]
        arguments += ["--first", str(first), "--cases", str(cases)]
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines: queue.Queue[str] = queue.Queue()
        listener = threading.Thread(target=_listen, args=(child, lines))
        listener.start()
        lost, ready = "", False
        while first < cases:
            try:
                line = lines.get(timeout=LIMIT_S if ready else START_S)
            except queue.Empty:
                lost = "hang"
                break
            if not line:
                lost = "crash"
                break
            if not ready:
                ready = True
                continue
            case, kind, said = json.loads(line)
            counts[kind] += 1
            first = case + 1
            if kind in FAULTS:
                faults.append(f"{reader.name} {case}: {kind}: {said}")
        child.kill()
        child.wait()
        listener.join()
        if lost:
            if not ready:
                raise SystemExit(f"{reader.name}: its sound file could not be read; try --work '{reader.name}'")
            counts[lost] += 1
            faults.append(f"{reader.name} {first}: {lost}: status {child.returncode}")
            first += 1
    return counts, faults


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
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(next(reader for reader in READERS if reader.name == given.work), given.seed, given.first, given.cases)
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
    for reader in chosen:
        began = time.monotonic()
        counts, faults = run(reader, seed, each)
        total += counts
        said += faults
        row = "".join(f"{counts[name]:9}" for name in COLUMNS)
        print(f"{reader.name:16}{each:7}{row}{time.monotonic() - began:7.0f}", flush=True)
    print(f"{'all':16}{each * len(chosen):7}" + "".join(f"{total[name]:9}" for name in COLUMNS))
    print("\n".join(said))
    return int(any(total[name] for name in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
