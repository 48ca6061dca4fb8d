"""Requests while the real server is killed, a model's process is killed and the server hangs: none wrong, none lost."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import RunnerError
from facereg.networks.opening import open_network
from facereg.networks.runner import Tensor
from facereg.networks.triton.runner import TritonRunner
from facereg.registry.installed import default_registry
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer

[RNET] = [spec for model in default_registry().models() for spec in model.networks if spec.name == "mtcnn-rnet"]
THREADS = 4
TIMEOUT_S = 2.0
READY_S = 600.0  # on a machine that is busy with something else


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TritonServer]:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the server that pip installs runs on Linux x86_64")
    build_repository(tmp_path, registry=default_registry(), models=["mtcnn"])
    for name in ("mtcnn-pnet", "mtcnn-onet"):  # one model is enough to kill, and is back sooner
        shutil.rmtree(tmp_path / name)
    with TritonServer(tmp_path, timeout_s=READY_S) as running:
        yield running


def processes(repository: Path, program: str) -> list[int]:
    """Return the processes of a program that work on a repository."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(command[0].decode()).name == program and any(str(repository).encode() in part for part in command):
            found.append(int(folder.name))
    return found


def kill_server(server: TritonServer) -> None:
    """Kill the server as the kernel would, and start it anew on the same ports."""
    for process in processes(server.repository, "tritonserver"):
        os.kill(process, signal.SIGKILL)
    server.stop()
    server.start()


def kill_model(server: TritonServer) -> None:
    for process in processes(server.repository, "triton_python_backend_stub"):
        os.kill(process, signal.SIGKILL)


def hang(server: TritonServer) -> None:
    """Stop the server's clock for longer than a request may take."""
    for process in processes(server.repository, "tritonserver"):
        os.kill(process, signal.SIGSTOP)
    time.sleep(TIMEOUT_S + 0.5)
    for process in processes(server.repository, "tritonserver"):
        os.kill(process, signal.SIGCONT)


class Load:
    """Requests of several threads, each with rows that only it asks for, and what came of every one."""

    def __init__(self, runner: TritonRunner, count: int) -> None:
        self.runner, self.count = runner, count
        rng = np.random.default_rng(0)
        self.pixels: Tensor = rng.uniform(0, 255, (RNET.max_batch, 3, 24, 24)).astype(np.float32)
        with open_network(RNET, threads=1) as here:
            self.wanted = here.infer({"images": self.pixels})
        self.outcomes: list[str] = []
        self._next = iter(range(count))
        self._lock = threading.Lock()

    def work(self) -> None:
        while True:
            with self._lock:
                number = next(self._next, None)
            if number is None:
                return
            rows = np.arange(number, number + 1 + number % 3) % len(self.pixels)
            try:
                found = self.runner.infer({"images": self.pixels[rows]})
            except RunnerError as error:
                outcome = type(error).__name__
                time.sleep(0.5)  # as a client does that will try again: a server that is gone fails calls at once
            except BaseException as error:  # what must not come: the test counts it
                outcome = f"untyped {type(error).__name__}: {error}"
            else:
                near = all(
                    found[name].shape == wanted[rows].shape and np.allclose(found[name], wanted[rows], 1e-4, 1e-5)
                    for name, wanted in self.wanted.items()
                )
                outcome = "right" if near else "wrong"
            with self._lock:
                self.outcomes.append(outcome)

    def run(self, faults: list[Callable[[], None]]) -> Counter[str]:
        """Make all requests; each fault strikes when its share of them is done."""
        threads = [threading.Thread(target=self.work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for number, fault in enumerate(faults, 1):
            while len(self.outcomes) < self.count * number // (len(faults) + 1):
                time.sleep(0.002)
            fault()
        for thread in threads:
            thread.join()
        return Counter(self.outcomes)


def strike(server: TritonServer, count: int) -> Counter[str]:
    with TritonRunner(RNET, f"{server.address}?timeout_s={TIMEOUT_S}", sha256=RNET.sha256) as runner:
        load = Load(runner, count)
        faults: list[Callable[[], None]] = [
            lambda: kill_server(server),
            lambda: kill_model(server),
            lambda: kill_server(server),
            lambda: hang(server),
            lambda: kill_model(server),
            lambda: kill_server(server),
        ]
        outcomes = load.run(faults)
        assert server.mended >= 1
        last = runner.infer({"images": load.pixels[:1]})  # the connection has outlived all of it
        np.testing.assert_allclose(last["boxes"], load.wanted["boxes"][:1], rtol=1e-4, atol=1e-5)
    print(dict(outcomes))  # noqa: T201  (shown with -s)
    return outcomes


def assert_sound(outcomes: Counter[str], count: int) -> None:
    typed = {"right", "UnreachableError", "DeadlineError", "DeadModelError", "ModelNotReadyError", "ServerFaultError"}
    assert outcomes.total() == count
    assert not {name: times for name, times in outcomes.items() if name not in typed}, outcomes
    assert outcomes["DeadlineError"] >= 1, outcomes  # the hang was noticed
    assert outcomes["right"] >= count * 0.5, outcomes  # a slow machine is longer without its server


def test_every_request_ends_in_a_right_answer_or_one_typed_error(server: TritonServer) -> None:
    assert_sound(strike(server, 2_000), 2_000)


@pytest.mark.slow
def test_20000_requests_end_in_right_answers_or_typed_errors(server: TritonServer) -> None:
    assert_sound(strike(server, 20_000), 20_000)


def test_a_server_that_is_gone_is_a_typed_error_within_the_time(server: TritonServer) -> None:
    with TritonRunner(RNET, f"{server.address}?timeout_s=2") as runner:
        server.stop()
        with pytest.raises(RunnerError, match="no Triton server answers"):
            runner.infer({"images": np.zeros((1, 3, 24, 24), np.float32)})
        assert runner.retries >= 1


def test_nothing_of_a_killed_server_is_left(server: TritonServer) -> None:
    for process in processes(server.repository, "tritonserver"):
        os.kill(process, signal.SIGKILL)
    server.stop()
    assert not processes(server.repository, "tritonserver")
    assert not processes(server.repository, "triton_python_backend_stub")


def test_the_server_does_not_outlive_the_process_that_started_it(
    server: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = (
        "import time\n"
        "from facereg.serving.server import TritonServer\n"
        f"with TritonServer({str(server.repository)!r}, timeout_s={READY_S}) as server:\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    server.stop()
    folder = tmp_path_factory.mktemp("temporary")
    variables = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=variables) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert processes(server.repository, "tritonserver")
        assert list(folder.glob("facereg-triton-*"))
        parent.kill()
    until = time.monotonic() + 60
    while list(folder.glob("facereg-triton-*")) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes(server.repository, "tritonserver")
    assert not list(folder.glob("facereg-triton-*"))
