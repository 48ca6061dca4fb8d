"""Dead processes of models are replaced by the one who serves, while other models go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import RunnerError
from facereg.networks.triton.runner import TritonRunner
from facereg.registry.installed import default_registry
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer
from facereg.serving.versions import version_folders
from tests.triton.conftest import READY_S, Served

RNET, ONET = (
    next(spec for model in default_registry().models() for spec in model.networks if spec.name == name)
    for name in ("mtcnn-rnet", "mtcnn-onet")
)
SOON_S = 60.0  # on a machine that is busy with something else


@pytest.fixture
def watched(tmp_path: Path, served: Served) -> Iterator[tuple[TritonServer, list[str]]]:
    said: list[str] = []
    build_repository(tmp_path, registry=default_registry(), models=["mtcnn"])
    with TritonServer(tmp_path, timeout_s=READY_S, progress=said.append) as server:
        said.clear()
        yield server, said


def kill_processes(repository: Path, network: str) -> int:
    """Kill the processes that serve a network, as the kernel does where memory is short."""
    killed = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"triton_python_backend_stub") and str(repository / network).encode() in words[1]:
            os.kill(int(folder.name), signal.SIGKILL)
            killed += 1
    return killed


def zeros(side: int) -> dict[str, np.ndarray]:
    return {"images": np.zeros((1, 3, side, side), np.float32)}


def test_a_dead_model_is_back_soon_and_the_others_never_went(watched: tuple[TritonServer, list[str]]) -> None:
    server, said = watched
    time.sleep(1.5)  # it looks twice a second
    with TritonRunner(RNET, server.address) as dead, TritonRunner(ONET, server.address) as alive:
        wanted = dead.infer(zeros(24))["boxes"]
        for times in (1, 2):
            assert kill_processes(server.repository, RNET.name) == 1
            until = time.monotonic() + SOON_S
            while True:
                alive.infer(zeros(48))
                try:
                    np.testing.assert_array_equal(dead.infer(zeros(24))["boxes"], wanted)
                    break
                except RunnerError:
                    assert time.monotonic() < until
            while server.mended < times:
                time.sleep(0.1)
            time.sleep(1.5)
            assert server.mended == times  # one mend for one death
    [version] = version_folders(server.repository / RNET.name)
    assert said == [f"{RNET.name}: version {version}: its process was dead; the server loads it anew"] * 2


def test_a_model_that_cannot_be_mended_is_said_once(
    watched: tuple[TritonServer, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    server, said = watched
    time.sleep(1.5)
    monkeypatch.setattr("facereg.serving.mending.os.utime", refuse)
    kill_processes(server.repository, RNET.name)
    time.sleep(5.0)
    [line] = said
    assert "its process is dead, and" in line
    assert "cannot be touched to have it loaded anew: Permission denied; let the user" in line
    assert server.mended == 0
