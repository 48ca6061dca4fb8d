"""New weights beside old ones on a running server, and out again; clients of the others notice nothing."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from facereg.disk.replacing import file_sha256
from facereg.errors import ModelMissingError, ModelNotReadyError, RunnerError
from facereg.networks.spec import weights_version
from facereg.networks.triton.runner import TritonRunner
from facereg.registry.installed import default_registry
from facereg.serving.repository import build_repository
from facereg.serving.rollout import roll_back, roll_out
from facereg.serving.server import TritonServer
from facereg.serving.versions import retire, version_folders
from tests.calling import Run
from tests.triton.conftest import READY_S, Served
from tests.triton.third_party import COLOURS, third_party_registry, write_colours

GREY = {"images": np.full((1, 2, 2, 3), 8, np.uint8)}
MODEL = "mean-colour"


@pytest.fixture
def files(tmp_path: Path) -> dict[float, Path]:
    return {gain: write_colours(tmp_path / f"{gain}.onnx", gain=gain) for gain in (1.0, 2.0)}


@pytest.fixture
def repository(tmp_path: Path, files: dict[float, Path]) -> Path:
    build_repository(tmp_path / "served", registry=third_party_registry(), weights={MODEL: files[1.0]})
    return tmp_path / "served"


@pytest.fixture
def running(repository: Path, served: Served) -> Iterator[TritonServer]:
    with TritonServer(repository, timeout_s=READY_S) as server:
        yield server


def number(file: Path) -> int:
    return weights_version(file_sha256(file))


def address_of(server: TritonServer, file: Path) -> str:
    return f"{server.address}?version={number(file)}"


class Client(threading.Thread):
    """Asks without a pause until it is told to stop; remembers every answer."""

    def __init__(self, runner: TritonRunner) -> None:
        super().__init__()
        self.runner, self.ended, self.answers = runner, threading.Event(), list[object]()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.answers.append(float(self.runner.infer(GREY)["embedding"][0, 0]))
            except Exception as error:  # what must not come: the test looks
                self.answers.append(error)

    def stop(self) -> list[object]:
        self.ended.set()
        self.join()
        return self.answers


def test_weights_are_rolled_out_and_back_under_a_client_that_never_waits(
    running: TritonServer, files: dict[float, Path]
) -> None:
    repository, registry = running.repository, third_party_registry()
    with TritonRunner(COLOURS, address_of(running, files[1.0])) as old:
        client = Client(old)
        client.start()
        [entry] = roll_out(
            repository,
            registry=registry,
            models=[MODEL],
            weights={MODEL: files[2.0]},
            address=address_of(running, files[2.0]),
        )
        assert (entry.version, set(entry.versions)) == (number(files[2.0]), {number(file) for file in files.values()})
        with TritonRunner(COLOURS, address_of(running, files[2.0])) as new:
            assert new.infer(GREY)["embedding"][0, 0] == 16.0
        gone = roll_back(repository, registry=registry, models=[MODEL], weights={MODEL: files[2.0]})
        assert gone == [(COLOURS.name, number(files[2.0]))]
        wait_until_gone(address_of(running, files[2.0]))
        answers = client.stop()
    assert set(answers) == {8.0}
    assert len(answers) > 100


def wait_until_gone(address: str) -> None:
    for _ in range(200):
        try:
            TritonRunner(COLOURS, address).close()
        except (ModelMissingError, ModelNotReadyError):
            return
    pytest.fail("the version is still served")


def test_a_server_that_has_other_weights_refuses_those_of_a_client(
    repository: Path, files: dict[float, Path], served: Served
) -> None:
    with (
        TritonServer(repository, timeout_s=READY_S) as server,
        TritonRunner(COLOURS, address_of(server, files[1.0])) as runner,
    ):
        runner.infer(GREY)
        server.stop()
        shutil.rmtree(repository)
        build_repository(repository, registry=third_party_registry(), weights={MODEL: files[2.0]})
        server.start()
        with pytest.raises(RunnerError, match="version"):
            runner.infer(GREY)


def test_weights_that_a_server_cannot_take_up_are_one_error_and_the_old_stay(
    running: TritonServer, files: dict[float, Path]
) -> None:
    broken = running.repository / COLOURS.name / str(number(files[2.0]))
    with TritonRunner(COLOURS, address_of(running, files[1.0])) as runner:
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"not those of this number")
        time.sleep(3.0)  # it looks each second
        with pytest.raises((ModelMissingError, ModelNotReadyError)):
            TritonRunner(COLOURS, address_of(running, files[2.0]))
        assert runner.infer(GREY)["embedding"][0, 0] == 8.0


def test_another_server_never_takes_them_up(repository: Path, files: dict[float, Path], served: Served) -> None:
    rolled = roll_out(
        repository,
        registry=third_party_registry(),
        models=[MODEL],
        weights={MODEL: files[2.0]},
        address=address_of(served.server, files[2.0]),
        timeout_s=1.0,
    )
    with pytest.raises(RunnerError, match="the server did not take them up in 1 s.*it must serve this repository"):
        list(rolled)


def test_weights_with_other_tensors_cannot_lie_beside(tmp_path: Path, repository: Path) -> None:
    other = tmp_path / "other.onnx"
    model = onnx.load(tmp_path / "1.0.onnx")
    model.graph.output[0].name = model.graph.node[2].output[0] = "colours"
    onnx.save(model, str(other))
    with pytest.raises(RunnerError, match=r"config.pbtxt: states other tensors than the new weights have"):
        list(roll_out(repository, registry=third_party_registry(), models=[MODEL], weights={MODEL: other}))
    assert len(version_folders(repository / COLOURS.name)) == 1


def test_the_last_version_and_one_that_is_not_there_are_not_retired(repository: Path, files: dict[float, Path]) -> None:
    registry, only = third_party_registry(), number(files[1.0])
    with pytest.raises(RunnerError, match=f"version {only} is the only one, and clients would have none"):
        roll_back(repository, registry=registry, models=[MODEL], weights={MODEL: files[1.0]})
    with pytest.raises(RunnerError, match=f"no version 7; it has: {only}"):
        retire(repository, COLOURS.name, 7)
    with pytest.raises(RunnerError, match="no version 7; it has: none"):
        retire(repository, "../served/" + COLOURS.name, 7)
    assert set(version_folders(repository / COLOURS.name)) == {only}


def test_rolling_out_twice_changes_nothing(repository: Path, files: dict[float, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    [entry] = roll_out(repository, registry=third_party_registry(), models=[MODEL], weights={MODEL: files[1.0]})
    assert entry.versions == (number(files[1.0]),)
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before


def test_the_commands_roll_out_and_retire(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, (spec,) = tmp_path / "repository", default_registry().model("mobilenetv3-arcface").networks
    other = tmp_path / "other.onnx"
    network = onnx.load(spec.locate())
    network.doc_string = "trained again"
    onnx.save(network, str(other))
    options = ["--repository", str(folder), "--weights", f"mobilenetv3-arcface={other}", "--json"]
    assert run("triton", "build", "--out", str(folder), "--model", "mobilenetv3-arcface").status == 0
    assert spec.sha256 is not None
    ours, theirs = weights_version(spec.sha256), number(other)
    rolled = run("triton", "rollout", *options)
    assert rolled.status == 0, rolled.err
    assert json.loads(rolled.out)["version"] == theirs
    assert json.loads(rolled.out)["versions"] == sorted([ours, theirs])
    back = run("triton", "retire", *options)
    assert json.loads(back.out) == {"name": spec.name, "version": theirs, "state": "retired"}
    last = run("triton", "retire", "--repository", str(folder), "--version", f"{spec.name}={ours}")
    assert (last.status, "is the only one" in last.err) == (1, True)
    assert set(version_folders(folder / spec.name)) == {ours}


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollout"],
        ["retire"],
        ["retire", "--version", "7"],
        ["retire", "--version", "net=x"],
        ["rollout", "--weights", "a"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_status_2(run: Run, arguments: list[str]) -> None:
    assert run("triton", *arguments).status == 2
