"""One real Triton server for all tests here, over every network whose weights are there."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from facereg.registry.installed import default_registry
from facereg.serving.config import ServingOptions
from facereg.serving.repository import Built, build_repository
from facereg.serving.server import TritonServer
from tests.triton.third_party import third_party_registry, write_colours, write_embedder, write_landmarks

READY_S = 600.0  # on a machine that is busy with something else
WITHOUT_WEIGHTS = ("inceptionv2-triplet", "vgg16-online-triplet")  # served as thin networks of the same tensors
MAX_BATCH = 24  # less than R-Net's 64 and O-Net's 32, so that requests are split


@dataclass(frozen=True)
class Served:
    """A server, what it serves and from which files."""

    server: TritonServer
    built: list[Built]
    weights: dict[str, str | Path]
    colours: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the server that pip installs runs on Linux x86_64")
    repository = tmp_path_factory.mktemp("repository")
    options = ServingOptions(max_batch=MAX_BATCH)
    weights: dict[str, str | Path] = {}
    public = os.environ.get("FACEREG_WEIGHTS")
    if public and (yunet := Path(public, "yunet_n_dynamic.onnx")).is_file():
        weights["yunet"] = yunet
    weights["onnx-landmarks"] = write_landmarks(tmp_path_factory.mktemp("landmarks") / "landmarks.onnx")
    thin = tmp_path_factory.mktemp("embedders")
    for name in WITHOUT_WEIGHTS:
        [spec] = default_registry().model(name).networks
        weights[name] = write_embedder(spec, thin / spec.file)
    built = build_repository(repository, registry=default_registry(), weights=weights, options=options)
    colours = write_colours(tmp_path_factory.mktemp("third-party") / "colours.onnx")
    build_repository(repository, registry=third_party_registry(), weights={"mean-colour": colours}, options=options)
    with TritonServer(repository, timeout_s=READY_S) as server:
        yield Served(server, built, weights, colours)
