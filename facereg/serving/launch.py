"""Which Triton server there is, and the command line that starts it: with nothing open that clients do not need."""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from facereg.errors import ContractError, RunnerError
from facereg.serving.environment import Progress, own_environment

IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"  # server 2.51.0, as the binary that pip installs
Engine = Literal["auto", "path", "container", "pip"]
# The load API runs whatever code is posted to it. In this mode the server has none: it looks at the repository itself.
OWN_MODE = ("--model-control-mode=poll", "--repository-poll-secs=1")
HEADER = "Facereg-Closed"
ONLY_PYTHON = "--model-config-name=python"  # configs/python.pbtxt instead of config.pbtxt
CLOSED = "shared-memory,trace,logging"  # they change the server for all clients, or what they share
FILES = re.compile(r"--[a-z0-9-]*-(cert|key|file|directory)")  # arguments whose value is a path


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
    """A command line that starts a server, and its environment.

    Args:
        variables: of the environment; None takes this process's.
        cleanup: is run after the end, whatever it was.
        needs: what the server reads beside the repository.
        python_backend: folder of the Python backend, where the server has no other; then `python_model.py` runs on it.
    """

    engine: str
    command: list[str]
    variables: dict[str, str] | None = None
    cleanup: list[str] = field(default_factory=list)
    needs: list[Path] = field(default_factory=list)
    python_backend: Path | None = None


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
    command = [binary, *_flags(repository, host, ports), *([ONLY_PYTHON] if only_python else [])]
    return Launch("path", command, needs=[Path(binary)], python_backend=backends / "python" if only_python else None)


def container_launch(program: str, repository: Path, host: str, ports: Ports, *, image: str = IMAGE) -> Launch:
    """Return how to start the container image; the ports of the host alone are ours, and nothing runs as root."""
    name = f"facereg-triton-{ports.http}"
    published = [
        argument
        for ours, theirs in ((ports.http, 8000), (ports.grpc, 8001), (ports.metrics, 8002))
        for argument in ("-p", f"{f'[{host}]' if ':' in host else host}:{ours}:{theirs}")
    ]
    gpus = ["--gpus", "all"] if shutil.which("nvidia-smi") else []
    command = [program, "run", "--rm", "--init", "--name", name, *gpus, "--shm-size=1g", *published]
    command += ["--user", "1000:1000", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    command += ["-e", "ORT_DISABLE_TELEMETRY=1"]  # the other engines have it from this process
    command += ["-v", f"{repository}:/models:ro", image, "tritonserver", "--model-repository=/models"]
    return Launch("container", [*command, *_MODELS], cleanup=[program, "rm", "-f", name])


def pip_launch(repository: Path, host: str, ports: Ports, *, progress: Progress) -> Launch:
    """Return how to start the binary that pip installs; it has only the Python backend."""
    environment = own_environment(progress=progress)
    command = [str(environment.binary), *_flags(repository, host, ports), ONLY_PYTHON, "--allow-gpu-metrics=false"]
    needs = [environment.binary, environment.folder / "python/bin/python3", Path(environment.libraries)]
    return Launch("pip", command, environment.variables, needs=needs, python_backend=environment.backends / "python")


def closed() -> list[str]:
    """Return the arguments that close what clients do not need.

    Triton opens these to whoever sends a header. Nobody can send this one, so it may be seen in the list of processes:
    gRPC refuses capitals in a header's name, HTTP ends a header at a line break; and it is drawn anew each time.
    """
    key = f"{HEADER}={secrets.token_hex(16)}\n{secrets.token_hex(16)}"
    return [f"--http-restricted-api={CLOSED}:{key}", f"--grpc-restricted-protocol={CLOSED}:{key}"]


def refused_argument(arguments: Sequence[str]) -> str | None:
    """Return the argument that would open the load API, if one does."""
    names = ("--model-control-mode", "--load-model")
    return next((text for text in arguments if text.partition("=")[0] in names), None)


def own_arguments(arguments: Sequence[str], engine: str) -> list[str]:
    """Return arguments for tritonserver with paths that hold from any folder.

    Raises:
        ContractError: if one would open the load API.
    """
    refused = refused_argument(arguments)
    if refused is not None:
        raise ContractError(
            f"{refused}: expected no other model control, which lets clients run code on the server; it takes up what "
            "changes in the repository by itself: see 'facereg triton rollout --help'"
        )
    if engine == "container":
        return list(arguments)  # its files are its own
    found, before = [], ""
    for text in arguments:
        name, equals, value = text.partition("=")
        if equals and FILES.fullmatch(name):
            text = f"{name}={Path(value).absolute()}"
        elif FILES.fullmatch(before):
            text = str(Path(text).absolute())
        found.append(text)
        before = text
    return found


def check_ports(host: str, ports: Ports) -> None:
    """Check that nobody listens where the server shall.

    Raises:
        RunnerError: if somebody does, or the address is none of this machine's.
    """
    for name, port in (("http", ports.http), ("grpc", ports.grpc), ("metrics", ports.metrics)):
        try:
            [family, kind, protocol, _, address] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that just ended does not count
                probe.bind(address)
        except OSError as error:
            raise RunnerError(
                f"{host}:{port}: the Triton server cannot listen there: {error.strerror or error}; end what does, or "
                f"choose another --{name}-port (0: a free one) or --host"
            ) from error


_MODELS = [*OWN_MODE, "--disable-auto-complete-config", "--exit-timeout-secs=5"]


def _flags(repository: Path, host: str, ports: Ports) -> list[str]:
    own, grpc = (f"ipv6:[{host}]", f"[{host}]") if ":" in host else (host, host)  # each server has its own spelling
    listening = [
        flag
        for name, address, port in (
            ("http", own, ports.http),
            ("grpc", grpc, ports.grpc),
            ("metrics", own, ports.metrics),
        )
        for flag in (f"--{name}-address={address}", f"--{name}-port={port}")
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
