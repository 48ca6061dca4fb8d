"""Finding and starting a server: command lines, the environment that pip makes, the command that serves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from facereg.errors import ContractError, DeviceError, RunnerError
from facereg.registry.installed import default_registry
from facereg.serving import environment, launch, server
from facereg.serving.account import chosen_account
from facereg.serving.config import ServingOptions
from facereg.serving.environment import Interpreter, own_environment
from facereg.serving.launch import Ports, container_launch, find_launch, own_arguments, path_launch
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer
from facereg.serving.versions import version_folders
from tests.triton.conftest import READY_S, Served
from tests.triton.third_party import third_party_registry, write_colours

PORTS = Ports(9000, 9001, 9002)


def quiet(_: str) -> None:
    pass


def test_the_container_is_started_by_its_documented_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = container_launch("docker", Path("/srv/models"), "127.0.0.1", PORTS, image="tritonserver:test")
    assert " ".join(found.command) == (
        "docker run --rm --init --name facereg-triton-9000 --shm-size=1g "
        "-p 127.0.0.1:9000:8000 -p 127.0.0.1:9001:8001 -p 127.0.0.1:9002:8002 "
        "--user 1000:1000 --cap-drop=ALL --security-opt=no-new-privileges "
        "-e ORT_DISABLE_TELEMETRY=1 -v /srv/models:/models:ro tritonserver:test tritonserver "
        "--model-repository=/models --model-control-mode=poll --repository-poll-secs=1 "
        "--disable-auto-complete-config --exit-timeout-secs=5"
    )
    assert found.cleanup == ["docker", "rm", "-f", "facereg-triton-9000"]


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
    monkeypatch.setattr(launch, "_container_program", lambda: program)
    made = environment.Environment(tmp_path, "/lib")
    monkeypatch.setattr(launch, "own_environment", lambda progress: made)
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
        folder.mkdir(exist_ok=True)

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


def part_of(served: Served, network: str, folder: Path) -> Path:
    """Copy one network of the server's repository; return the folder of its version."""
    shutil.copytree(served.server.repository / network, folder / network)
    [version] = version_folders(folder / network).values()
    return version


def test_a_repository_that_is_none_is_one_line(tmp_path: Path) -> None:
    file, loop = tmp_path / "file", tmp_path / "loop"
    file.touch()
    loop.symlink_to(loop)
    for path, message in ((file, "cannot be read: Not a directory"), (tmp_path / "nowhere", "no network is there")):
        with pytest.raises(RunnerError, match=message):
            TritonServer(path).start()
    with pytest.raises(RunnerError, match="cannot be"):
        TritonServer(loop).start()


@pytest.mark.parametrize(
    ("host", "http", "grpc", "address"),
    [
        ("::1", "ipv6:[::1]", "[::1]", "triton://[::1]:9001"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0", "triton://127.0.0.1:9001"),
    ],
    ids=["ipv6", "all"],
)
def test_a_host_is_spelled_as_each_part_of_the_server_reads_it(
    tmp_path: Path, host: str, http: str, grpc: str, address: str
) -> None:
    command = path_launch(installed(tmp_path), Path("/srv/models"), host, PORTS).command
    wanted = {f"--http-address={http}", f"--grpc-address={grpc}", f"--metrics-address={http}"}
    assert wanted <= set(command)
    assert TritonServer("/srv/models", host=host, ports=PORTS).address == address


def test_a_user_is_not_silently_left_out_of_a_container(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_container_program", lambda: "docker")
    with pytest.raises(RunnerError, match="user 'nobody': the container runs as its own user, 1000"):
        TritonServer(served.server.repository, engine="container", user="nobody").start()


def test_a_network_that_was_altered_is_not_served(served: Served, tmp_path: Path) -> None:
    version = part_of(served, "mtcnn-rnet", tmp_path)
    with (version / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RunnerError, match=f"expected the weights of version {version.name}, found those of .* altered"):
        TritonServer(tmp_path, timeout_s=READY_S).start()


def test_the_server_itself_refuses_a_network_that_was_altered(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (part_of(served, "mtcnn-rnet", tmp_path) / "model.onnx").open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(server, "check_repository", lambda _: None)
    with pytest.raises(
        RunnerError, match="ended before it was ready, with status 1: .*expected the weights of version"
    ):
        TritonServer(tmp_path, timeout_s=READY_S).start()


def test_nothing_may_lie_beside_the_weights(served: Served, tmp_path: Path) -> None:
    version = part_of(served, "mtcnn-rnet", tmp_path)
    (version / "numpy.py").write_text("raise SystemExit", "utf-8")
    with pytest.raises(RunnerError, match=r"expected model.onnx alone, found numpy.py"):
        TritonServer(tmp_path).start()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"gpus": (0,), "tensorrt": "fp16"}, "TensorRT"), ({"gpus": (0,)}, "a GPU"), ({"device": "gpu"}, "a GPU")],
    ids=["tensorrt", "gpu", "device"],
)
def test_a_server_on_the_processor_refuses_what_was_built_for_a_gpu(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], wanted: str
) -> None:
    build_repository(tmp_path, registry=default_registry(), models=["mtcnn"], options=ServingOptions(**options))
    with pytest.raises(DeviceError, match=f"mtcnn-onet: built for {wanted}, and the server found here"):
        TritonServer(tmp_path, engine="pip").start()
    monkeypatch.setattr(server, "check_processor", lambda _: None)  # and by itself the server would not run it either
    with pytest.raises(RunnerError, match="ended before it was ready"):
        TritonServer(tmp_path, engine="pip", timeout_s=READY_S).start()


def test_taken_ports_are_one_line_and_nobody_elses_server_is_called_ready(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = served.server.ports
    with pytest.raises(RunnerError, match=f"127.0.0.1:{ports.http}: .*cannot listen there: Address already in use"):
        TritonServer(served.server.repository, ports=ports).start()
    monkeypatch.setattr(server, "check_ports", lambda *_: None)  # taken in between: the other one answers
    with pytest.raises(RunnerError, match="ended before it was ready"):
        TritonServer(served.server.repository, ports=ports, timeout_s=READY_S).start()


def test_the_command_on_taken_ports_prints_no_ready(served: Served) -> None:
    ports = ["--http-port", "0", "--grpc-port", str(served.server.ports.grpc), "--metrics-port", "0"]
    repository = ["--repository", str(served.server.repository)]
    done = subprocess.run(
        [sys.executable, "-m", "facereg", "triton", "serve", *repository, *ports, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Address already in use" in done.stderr.splitlines()[-1]


def test_the_cause_shown_is_that_of_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = script_server(tmp_path, "echo 'error: what happened now'; exit 3", monkeypatch)
    log = tmp_path / "server.log"
    log.write_text("error: what happened last week\n", "utf-8")
    with pytest.raises(RunnerError, match="with status 3: error: what happened now$"):
        TritonServer(repository, engine="path", log=log).start()
    assert log.read_text("utf-8").splitlines() == ["error: what happened last week", "error: what happened now"]


def script_server(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a shell script on PATH as the server; return a repository for it."""
    binary = folder / "server/bin/tritonserver"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binary.parent}:/usr/bin:/bin")
    repository = folder / "repository"
    weights = write_colours(folder / "mine.onnx")
    build_repository(repository, registry=third_party_registry(), weights={"mean-colour": weights})
    return repository


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_starts_the_server_as_nobody_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for their owner alone
        folder = Path(name)
        folder.chmod(0o755)
        script = f"id -un >{folder}/user; pwd >{folder}/cwd; env >{folder}/env; exit 1"
        repository = script_server(folder, script, monkeypatch)
        for file in ("user", "cwd", "env"):
            (folder / file).touch()
            (folder / file).chmod(0o666)
        monkeypatch.setenv("PYTHONPATH", "/somewhere")
        with pytest.raises(RunnerError, match="with status 1"):
            TritonServer(repository, engine="path", progress=said.append).start()
        assert (folder / "user").read_text("utf-8") == "nobody\n"
        assert "/facereg-triton-" in (folder / "cwd").read_text("utf-8")
        assert "PYTHONPATH" not in (folder / "env").read_text("utf-8")
        assert said[-1].endswith("as nobody")
        (folder / "mine.onnx").parent.chmod(0o700)
        with pytest.raises(RunnerError, match="with status 1"):
            TritonServer(repository, engine="path", progress=said.append).start()
        assert any("the server runs as root: user 'nobody' cannot read" in line for line in said)
        assert (folder / "user").read_text("utf-8") == "root\n"
        with pytest.raises(RunnerError, match="user 'nobody' cannot read"):
            TritonServer(repository, engine="path", user="nobody").start()
    with pytest.raises(RunnerError, match="user 'nosuchuser': not on this machine"):
        chosen_account("nosuchuser", [])


@pytest.mark.parametrize("argument", ["--model-control-mode=explicit", "--model-control-mode", "--load-model=*"])
def test_the_load_api_cannot_be_opened_by_an_argument(argument: str) -> None:
    with pytest.raises(ContractError, match="expected no other model control"):
        own_arguments([argument], "path")


def test_files_named_in_arguments_hold_from_the_servers_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("server.pem", "1"):
        Path(name).touch()
    given = ["--grpc-server-cert=server.pem", "--grpc-server-key", "server.pem", "--log-verbose=1", "--log-file=new"]
    wanted = [f"--grpc-server-cert={tmp_path}/server.pem", "--grpc-server-key", f"{tmp_path}/server.pem"]
    assert own_arguments(given, "pip") == [*wanted, "--log-verbose=1", f"--log-file={tmp_path}/new"]
    assert own_arguments(given, "container") == given


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
