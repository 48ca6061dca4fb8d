"""Find a Triton server and run it: one on PATH, the container image, or the binary that pip installs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from facereg.errors import RunnerError
from facereg.serving.environment import Progress, own_environment

IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"  # server 2.51.0, as the binary that pip installs
STOP_S = 15.0  # the server has 5 s for requests in flight, then some to unload
GONE_S = 2.0  # for killed processes; a process that nobody reaps stays longer, but holds nothing
Engine = Literal["auto", "path", "container", "pip"]
# Ends the server when whoever started it is gone, however that came about: the pipe on stdin closes then.
KEEPER = """
import os, signal, subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def end(*_):
    if server.poll() is None:
        server.terminate()
def watch():
    while os.read(0, 64):
        pass
    end()
    try:
        server.wait(12)
    except subprocess.TimeoutExpired:
        server.kill()
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=watch, daemon=True).start()
status = server.wait()
os._exit(status if status >= 0 else 128 - status)
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    @classmethod
    def free(cls) -> Ports:
        """Return three ports that nobody uses now."""
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            for each in (first, second, third):
                each.bind(("127.0.0.1", 0))
            return cls(*(each.getsockname()[1] for each in (first, second, third)))


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line that starts a server, and its environment."""

    engine: str
    command: list[str]
    variables: dict[str, str] | None = None
    cleanup: list[str] = field(default_factory=list)  # run after the end, whatever it was


class TritonServer:
    """A server over one repository, ready when the block begins and gone when it ends.

    Args:
        repository: as `build_repository` wrote it.
        host: address to listen on; other machines reach the server only where you name one of theirs.
        ports: where to listen; None takes free ones.
        engine: `path` (a tritonserver on PATH), `container` (docker or podman), `pip` (see environment.py), or
            `auto`: the first of these that is there.
        image: of the container.
        arguments: for tritonserver, after ours, as they are; files that they name are those the server sees.
        log: file for what the server says; None keeps it for error messages only.
        timeout_s: to become ready.
        progress: is told each step.
    Raises:
        RunnerError: if no server can be found, or it does not become ready; the message has what it said last.
    """

    def __init__(
        self,
        repository: str | Path,
        *,
        host: str = "127.0.0.1",
        ports: Ports | None = None,
        engine: Engine = "auto",
        image: str = IMAGE,
        arguments: Sequence[str] = (),
        log: Path | None = None,
        timeout_s: float = 120.0,
        progress: Progress = lambda _: None,
    ) -> None:
        self.repository = Path(repository).resolve()
        self.host, self.engine, self.image, self.timeout_s = host, engine, image, timeout_s
        self.ports, self.arguments = ports or Ports.free(), tuple(arguments)
        self._log, self._progress = log, progress
        self._launch: Launch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._said: Path | None = None

    @property
    def address(self) -> str:
        """The runner setting for gRPC."""
        return f"triton://{_reachable(self.host)}:{self.ports.grpc}"

    @property
    def http_address(self) -> str:
        """The runner setting for HTTP."""
        return f"triton+http://{_reachable(self.host)}:{self.ports.http}"

    @property
    def metrics_address(self) -> str:
        """Where Prometheus reads."""
        return f"http://{_reachable(self.host)}:{self.ports.metrics}/metrics"

    @property
    def launch(self) -> Launch:
        """The command line in use; the first call finds the server, and makes its environment where it must."""
        if self._launch is None:
            found = find_launch(
                self.repository, self.host, self.ports, self.engine, image=self.image, progress=self._progress
            )
            self._launch = replace(found, command=[*found.command, *self.arguments])
        return self._launch

    def start(self) -> None:
        """Start the server and wait until every model is ready."""
        if not any(self.repository.glob("*/1/model.onnx")):
            raise RunnerError(f"{self.repository}: no network is there; run 'facereg triton build' first")
        launch = self.launch
        self._progress(f"starting {launch.command[0]}")
        self._said = self._log or Path(tempfile.mkstemp(prefix="facereg-triton-", suffix=".log")[1])
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", KEEPER, *launch.command],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                env=launch.variables,
                start_new_session=True,  # a Ctrl-C in the terminal reaches us first
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + self.timeout_s
        url = f"http://{_reachable(self.host)}:{self.ports.http}/v2/health/ready"
        while True:
            if self.ended:
                status = None if self._process is None else self._process.returncode
                raise RunnerError(
                    f"the Triton server ended before it was ready, with status {status}: {self._last_words()}"
                )
            with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # refused until it listens
                if answer.status == 200:
                    return
            if time.monotonic() > until:
                raise RunnerError(f"the Triton server was not ready after {self.timeout_s:g} s: {self._last_words()}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        lines = self._said.read_text("utf-8", "replace").splitlines() if self._said is not None else []
        errors = [line for line in lines if line.startswith("E") or "error" in line.lower() or "failed" in line.lower()]
        return " | ".join((errors or lines or ["it said nothing"])[:3])[:1000]

    @property
    def ended(self) -> bool:
        """Whether the server is not running."""
        return self._process is None or self._process.poll() is not None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until the server ends; return its exit status, or None where the time is over first."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End the server: requests in flight have a few seconds. Stopping twice is allowed."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()  # the keeper ends the server
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            _end_group(process)  # what may be left of the server's own processes
            if self.launch.cleanup:
                subprocess.run(self.launch.cleanup, capture_output=True, check=False)
        if self._log is None and self._said is not None:
            self._said.unlink(missing_ok=True)
            self._said = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_launch(
    repository: Path, host: str, ports: Ports, engine: Engine, *, image: str = IMAGE, progress: Progress
) -> Launch:
    """Return how to start a server here.

    Raises:
        RunnerError: if the engine asked for is not there, or, for `auto`, none is.
    """
    on_path = shutil.which("tritonserver") if engine in ("auto", "path") else None
    if on_path is not None:
        return path_launch(on_path, repository, host, ports)
    if engine == "path":
        raise RunnerError("no tritonserver on PATH; use another engine: container, pip")
    if engine in ("auto", "container"):
        program = _container_program()
        if program is not None:
            return container_launch(program, repository, host, ports, image=image)
        if engine == "container":
            raise RunnerError("neither docker nor podman answers here; start its service, or use engine 'pip'")
    return pip_launch(repository, host, ports, progress=progress)


def path_launch(binary: str, repository: Path, host: str, ports: Ports) -> Launch:
    """Return how to start a server that is installed: with the ONNX Runtime backend where it has one."""
    backends = Path(binary).resolve().parent.parent / "backends"
    only_python = backends.is_dir() and not (backends / "onnxruntime").is_dir()
    flags = _flags(repository, host, ports)
    return Launch("path", [binary, *flags, *(["--model-config-name=python"] if only_python else [])])


def container_launch(program: str, repository: Path, host: str, ports: Ports, *, image: str = IMAGE) -> Launch:
    """Return how to start the container image, as its documentation has it; the ports of the host alone are ours."""
    name = f"facereg-triton-{ports.http}"
    published = [
        argument
        for ours, theirs in ((ports.http, 8000), (ports.grpc, 8001), (ports.metrics, 8002))
        for argument in ("-p", f"{host}:{ours}:{theirs}")
    ]
    gpus = ["--gpus", "all"] if shutil.which("nvidia-smi") else []
    command = [program, "run", "--rm", "--init", "--name", name, *gpus, "--shm-size=1g", *published]
    command += ["-e", "ORT_DISABLE_TELEMETRY=1"]  # the other engines have it from this process
    command += ["-v", f"{repository}:/models:ro", image, "tritonserver", "--model-repository=/models"]
    return Launch("container", [*command, *_MODELS], cleanup=[program, "rm", "-f", name])


def pip_launch(repository: Path, host: str, ports: Ports, *, progress: Progress) -> Launch:
    """Return how to start the binary that pip installs; it has only the Python backend."""
    environment = own_environment(progress=progress)
    flags = _flags(repository, host, ports)
    only_python = ["--model-config-name=python", f"--backend-directory={environment.backends}"]
    command = [str(environment.binary), *flags, *only_python, "--allow-gpu-metrics=false"]
    return Launch("pip", command, environment.variables)


_MODELS = ["--model-control-mode=explicit", "--load-model=*", "--disable-auto-complete-config", "--exit-timeout-secs=5"]


def _flags(repository: Path, host: str, ports: Ports) -> list[str]:
    listening = [
        flag
        for name, port in (("http", ports.http), ("grpc", ports.grpc), ("metrics", ports.metrics))
        for flag in (f"--{name}-address={host}", f"--{name}-port={port}")
    ]
    return [f"--model-repository={repository}", *listening, *_MODELS]


def _container_program() -> str | None:
    """Return docker or podman, if its service answers."""
    for name in ("docker", "podman"):
        program = shutil.which(name)
        if program is not None:
            try:
                answer = subprocess.run([program, "info"], capture_output=True, timeout=20, check=False)
            except subprocess.TimeoutExpired:
                continue
            if answer.returncode == 0:
                return program
    return None


def _reachable(host: str) -> str:
    """Return an address of this machine at which a server that listens on `host` answers."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _end_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a group of processes, and wait until it is gone: until then its ports are taken."""
    until = time.monotonic() + GONE_S
    with suppress(ProcessLookupError):  # nobody is left
        while time.monotonic() < until:
            os.killpg(leader.pid, signal.SIGKILL)
            leader.wait()
            time.sleep(0.01)
