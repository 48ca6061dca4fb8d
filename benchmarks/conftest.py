"""Where benchmarks leave their figures, and the server that some ask."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measuring import MODEL, Keep
from facereg.errors import WeightsError
from facereg.registry.installed import default_registry
from facereg.serving.repository import build_repository
from facereg.serving.server import TritonServer


@pytest.fixture
def keep() -> Keep:
    """Write figures to NAME.json in the folder that FACEREG_RESULTS names, if it names one."""

    def write(name: str, figures: dict[str, object]) -> None:
        folder = os.environ.get("FACEREG_RESULTS")
        if folder:
            Path(folder, f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A real server on this machine that holds the detector's and the embedder's networks."""
    repository = tmp_path_factory.mktemp("repository")
    try:
        build_repository(repository, registry=default_registry(), models=["mtcnn", MODEL])
    except WeightsError as error:
        pytest.skip(str(error))
    with TritonServer(repository) as running:
        yield running
