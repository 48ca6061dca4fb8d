"""The processes of a real server report nothing to the maker of ONNX Runtime, with or without our environment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facereg.disk.homes import cache_folder
from facereg.serving.server import TritonServer
from tests.triton.conftest import READY_S, Served


def test_the_processes_of_a_server_leave_the_home_empty(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, repository = tmp_path / "home", tmp_path / "repository"
    home.mkdir()
    shutil.copytree(served.server.repository / "mobilenetv3-arcface", repository / "mobilenetv3-arcface")
    monkeypatch.setenv("FACEREG_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)  # the models turn it off by themselves
    with TritonServer(repository, timeout_s=READY_S):
        assert [path.relative_to(home) for path in home.rglob("*")] == []
