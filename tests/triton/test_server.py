"""Finding and starting a server: command lines, the environment that pip makes, the command that serves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facereg.errors import RunnerError
from facereg.serving import environment, server
from facereg.serving.environment import Interpreter, own_environment
from facereg.serving.server import Ports, TritonServer, container_launch, find_launch, path_launch
from tests.triton.conftest import READY_S, Served

PORTS = Ports(9000, 9001, 9002)


def quiet(_: str) -> None:
    pass


def test_the_container_is_started_by_its_documented_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    launch = container_launch("docker", Path("/srv/models"), "127.0.0.1", PORTS, image="tritonserver:test")
    assert " ".join(launch.command) == (
        "docker run --rm --init --name facereg-triton-9000 --shm-size=1g "
        "-p 127.0.0.1:9000:8000 -p 127.0.0.1:9001:8001 -p 127.0.0.1:9002:8002 "
        "-e ORT_DISABLE_TELEMETRY=1 -v /srv/models:/models:ro tritonserver:test tritonserver "
        "--model-repository=/models --model-control-mode=explicit --load-model=* --disable-auto-complete-config "
        "--exit-timeout-secs=5"
    )
    assert launch.cleanup == ["docker", "rm", "-f", "facereg-triton-9000"]


def test_the_container_gets_the_gpus_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    command = container_launch("docker", Path("/srv/models"), "0.0.0.0", PORTS).command
    assert command[command.index("--gpus") + 1] == "all"
    assert "0.0.0.0:9001:8001" in command


def installed(folder: Path, *backends: str) -> str:
    """Lay out a server as an installation does; return its binary."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tritonserver").touch()
    for name in backends:
        (folder / "backends" / name).mkdir(parents=True)
    return str(folder / "bin/tritonserver")


@pytest.mark.parametrize(
    ("backends", "python_only"), [(("onnxruntime", "python"), False), (("python",), True)], ids=["full", "python only"]
)
def test_a_server_on_path_runs_onnx_where_it_can(tmp_path: Path, backends: tuple[str, ...], python_only: bool) -> None:
    command = path_launch(installed(tmp_path, *backends), Path("/srv/models"), "127.0.0.1", PORTS).command
    assert ("--model-config-name=python" in command) == python_only
    assert {"--model-repository=/srv/models", "--http-address=127.0.0.1", "--grpc-port=9001"} <= set(command)
    assert {"--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1", "--metrics-port=9002"} <= set(command)


def test_auto_takes_path_then_container_then_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary: str | None = installed(tmp_path)
    program: str | None = "/usr/bin/podman"
    monkeypatch.setattr("shutil.which", lambda name: binary if name == "tritonserver" else None)
    monkeypatch.setattr(server, "_container_program", lambda: program)
    made = environment.Environment(tmp_path, "/lib")
    monkeypatch.setattr(server, "own_environment", lambda progress: made)
    found = []
    for _ in range(3):
        found.append(find_launch(tmp_path, "127.0.0.1", PORTS, "auto", progress=quiet).engine)
        binary, program = None, program if binary else None
    assert found == ["path", "container", "pip"]


def test_an_engine_that_was_asked_for_and_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RunnerError, match="no tritonserver on PATH"):
        find_launch(Path("/srv"), "127.0.0.1", PORTS, "path", progress=quiet)
    with pytest.raises(RunnerError, match="neither docker nor podman"):
        find_launch(Path("/srv"), "127.0.0.1", PORTS, "container", progress=quiet)


def test_an_environment_that_could_not_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def fail_at_last(command: list[str]) -> None:
        calls.append(command)
        Path(command[-1]).mkdir(parents=True) if command[-1].endswith("python") else None
        if "--target" in command:
            raise RunnerError("no space")

    monkeypatch.setattr(environment, "find_interpreter", lambda: Interpreter("python3", "3.11", "/lib"))
    monkeypatch.setattr(environment, "_run", fail_at_last)
    said: list[str] = []
    with pytest.raises(RunnerError, match="no space"):
        own_environment(tmp_path, progress=said.append)
    assert len(calls) == len(said) == 3
    assert all("--require-hashes" in call and "--only-binary=:all:" in call for call in calls[1:])
    assert [call[-1] for call in calls[1:]] == [str(environment.RUNTIME_PINS), str(environment.CARRIER_PINS)]
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(folder: Path, *_: object) -> None:
        made.append(folder)
        folder.mkdir()

    monkeypatch.setattr(environment, "find_interpreter", lambda: Interpreter("python3", "3.11", "/lib"))
    monkeypatch.setattr(environment, "_make", make)
    first, second = own_environment(tmp_path), own_environment(tmp_path)
    assert len(made) == 1
    assert first == second
    assert first.folder.is_dir()


def test_pip_that_fails_is_one_line() -> None:
    with pytest.raises(RunnerError, match="could not be made: .* failed: .*No module named nonsense"):
        environment._run([sys.executable, "-m", "nonsense", "install"])


def test_an_empty_repository_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="no network is there; run 'facereg triton build' first"):
        TritonServer(tmp_path).start()


def test_a_network_that_was_altered_is_not_served(served: Served, tmp_path: Path) -> None:
    source = served.server.repository / "mtcnn-rnet"
    for name in ("config.pbtxt", "configs/python.pbtxt", "1/model.py", "1/model.onnx"):
        (tmp_path / "mtcnn-rnet" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mtcnn-rnet" / name).write_bytes((source / name).read_bytes())
    with (tmp_path / "mtcnn-rnet/1/model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RunnerError, match="ended before it was ready, with status 1: .*expected sha256"):
        TritonServer(tmp_path, timeout_s=READY_S).start()


def test_the_command_serves_checks_and_ends_on_sigterm(served: Served) -> None:
    facereg = [sys.executable, "-m", "facereg", "triton"]
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    repository = ["--repository", str(served.server.repository), "--timeout", str(READY_S)]
    with subprocess.Popen([*facereg, "serve", *repository, *ports, "--json"], stdout=subprocess.PIPE) as serving:
        assert serving.stdout is not None
        ready = json.loads(serving.stdout.readline())
        assert ready["state"] == "ready"
        assert all(ready[name].rpartition("//")[2].startswith("127.0.0.1:") for name in ("grpc", "http", "metrics"))
        checked = subprocess.run(
            [*facereg, "check", "--runner", ready["grpc"], "--model", "mtcnn", "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    assert checked.returncode == 0, checked.stderr
    entries = [json.loads(line) for line in checked.stdout.splitlines()]
    assert [(entry["name"], entry["state"]) for entry in entries] == [
        ("mtcnn-pnet", "passed"),
        ("mtcnn-rnet", "passed"),
        ("mtcnn-onet", "passed"),
    ]
    gone = subprocess.run(
        [*facereg, "check", "--runner", ready["grpc"], "--model", "mtcnn", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert gone.returncode == 1
    assert all(json.loads(line)["state"] == "failed" for line in gone.stdout.splitlines())
