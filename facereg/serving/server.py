"""A Triton server that runs as long as a block: closed to all but inference, in a folder and with rights of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import Self

from facereg.errors import RunnerError
from facereg.serving import keeper
from facereg.serving.account import Account, chosen_account
from facereg.serving.config import PYTHON
from facereg.serving.environment import Progress
from facereg.serving.launch import IMAGE, Engine, Launch, Ports, check_ports, closed, find_launch, own_arguments
from facereg.serving.mending import Mender
from facereg.serving.versions import check_processor, check_repository

STOP_S = 15.0  # the server has 5 s for requests in flight, then some to unload
GONE_S = 2.0  # for killed processes; a process that nobody reaps stays longer, but holds nothing
TAIL = 65536  # bytes of what the server said last
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is here: no proxy is asked
NOISE = "CudaDriverHelper has not been initialized"  # said as an error wherever there is no GPU


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
        user: as whom the server runs, where root starts it; None takes `nobody` if it can read what is needed, and
            says so where it cannot.
        log: file for what the server says, added to its end; None keeps it for error messages only.
        timeout_s: to become ready.
        progress: is told each step, and when the process of a model was dead and is replaced.
    Raises:
        ContractError: if an argument would open the load API.
        RunnerError: if no server can be found, or it does not become ready; the message has what it said last.
        DeviceError: if the repository was built for a GPU and the server has none.
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
        user: str | None = None,
        log: Path | None = None,
        timeout_s: float = 120.0,
        progress: Progress = lambda _: None,
    ) -> None:
        self.repository = Path(os.path.realpath(repository))  # a loop of links is told when it is read
        self.host, self.engine, self.image, self.timeout_s = host, engine, image, timeout_s
        self.ports, self.arguments = ports or Ports.free(), tuple(arguments)
        self._user = user
        self._log, self._progress = log, progress
        self._launch: Launch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None  # the server's own
        self._said, self._from = log, 0  # what it says, and where this run's begins
        self._mender: Mender | None = None
        self._mended = 0  # of earlier starts

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
    def mended(self) -> int:
        """How many times a dead process of a model was replaced, over all starts."""
        return self._mended + (0 if self._mender is None else self._mender.mended)

    @property
    def launch(self) -> Launch:
        """The command line in use; the first call finds the server, and makes its environment where it must."""
        if self._launch is None:
            found = find_launch(
                self.repository, self.host, self.ports, self.engine, image=self.image, progress=self._progress
            )
            arguments = [*closed(), *own_arguments(self.arguments, found.engine)]
            self._launch = replace(found, command=[*found.command, *arguments])
        return self._launch

    def start(self) -> None:
        """Start the server and wait until every model is ready."""
        check_repository(self.repository)
        launch = self.launch
        if launch.python_backend is not None:
            check_processor(self.repository)
        account = self._account(launch)
        check_ports(self.host, self.ports)
        self._progress(f"starting {launch.command[0]}{f' as {account.name}' if account else ''}")
        name = f"facereg-{secrets.token_hex(8)}"
        try:
            self._open(launch, account, name)
            self._wait_until_ready(name)
        except OSError as error:
            self.stop()
            raise RunnerError(
                f"the Triton server could not be started: {error.filename or launch.command[0]}: "
                f"{error.strerror or error}; check the rights and the space on the disk"
            ) from error
        except BaseException:
            self.stop()
            raise
        if launch.python_backend is not None and self._process is not None:
            self._mender = Mender(self._process.pid, self.repository, self._progress)
            self._mender.start()

    def _account(self, launch: Launch) -> Account | None:
        if launch.engine == "container":
            if self._user is not None:
                raise RunnerError(f"user {self._user!r}: the container runs as its own user, 1000; leave --user out")
            return None
        needed = [*launch.needs, self.repository, *self.repository.rglob("*")]
        account, reason = chosen_account(self._user, needed)
        if reason:
            self._progress(f"the server runs as root: {reason}")
        return account

    def _open(self, launch: Launch, account: Account | None, name: str) -> None:
        """Start the process, in a folder of its own: models' processes import what lies where they were started."""
        self._folder = Path(tempfile.mkdtemp(prefix="facereg-triton-"))
        command, work = [*launch.command, f"--id={name}"], self._folder / "work"
        work.mkdir()
        if launch.python_backend is not None:
            command.append(f"--backend-directory={_own_backends(self._folder / 'backends', launch.python_backend)}")
        variables = {name: value for name, value in (launch.variables or os.environ).items() if name[:6] != "PYTHON"}
        if account is not None:
            variables["HOME"] = str(work)
            for folder in (self._folder, *(path for path in self._folder.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
        self._said = self._log or self._folder / "said.log"
        with self._said.open("ab") as said:
            self._from = said.seek(0, os.SEEK_END)
            rights = f"{account.uid}:{account.gid}" if account is not None else ":"
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, rights, str(self._folder), *command],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                cwd=work,
                env=variables,
                start_new_session=True,  # a Ctrl-C in the terminal reaches us first
            )

    def _wait_until_ready(self, name: str) -> None:
        """Wait until the server of that name is ready: on ports that are taken, another one would answer."""
        until = time.monotonic() + self.timeout_s
        url = f"http://{_reachable(self.host)}:{self.ports.http}/v2"
        while True:
            if self.ended:
                status = None if self._process is None else self._process.returncode
                raise RunnerError(
                    f"the Triton server ended before it was ready, with status {status}: {self.last_words()}"
                )
            if _name_at(url) == name and _answers(f"{url}/health/ready"):
                return
            if time.monotonic() > until:
                raise RunnerError(f"the Triton server was not ready after {self.timeout_s:g} s: {self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        """Return what this run of the server said of what went wrong, on one line."""
        text = ""
        with suppress(OSError, TypeError), open(self._said, "rb") as said:  # type: ignore[arg-type]
            said.seek(max(self._from, said.seek(0, os.SEEK_END) - TAIL))
            text = said.read().decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if NOISE not in line]
        errors = [line for line in lines if line.startswith("E") or "error" in line.lower() or "failed" in line.lower()]
        return " | ".join((errors or lines[-3:] or ["it said nothing"])[:3])[:1000]

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
        mender, self._mender = self._mender, None
        if mender is not None:
            mender.stop()
            self._mended += mender.mended
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()  # the keeper ends the server
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            _end_group(process)  # what may be left of the server's own processes
            if self.launch.cleanup:
                subprocess.run(self.launch.cleanup, capture_output=True, check=False)
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()


def _own_backends(folder: Path, python_backend: Path) -> Path:
    """Make a folder of backends: Triton's for Python, and over it ours, the one model of all networks.

    Copies, not links: Triton refuses a backend whose files lie elsewhere.
    """
    shutil.copytree(python_backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / PYTHON).mkdir()
    text = (resources.files("facereg.serving") / "python_model.py").read_bytes()
    (folder / PYTHON / "model.py").write_bytes(text)
    return folder


def _name_at(url: str) -> str:
    """Return the name of the server there, or nothing where none answers."""
    with suppress(OSError, ValueError, HTTPException), DIRECT.open(url, timeout=2) as answer:
        document = json.load(answer)
        return str(document.get("name", "")) if isinstance(document, dict) else ""
    return ""


def _answers(url: str) -> bool:
    with suppress(OSError, HTTPException), DIRECT.open(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def _reachable(host: str) -> str:
    """Return an address of this machine at which a server that listens on `host` answers."""
    found = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{found}]" if ":" in found else found


def _end_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a group of processes, and wait until it is gone: until then its ports are taken."""
    until = time.monotonic() + GONE_S
    with suppress(ProcessLookupError):  # nobody is left
        while time.monotonic() < until:
            os.killpg(leader.pid, signal.SIGKILL)
            leader.wait()
            time.sleep(0.01)
