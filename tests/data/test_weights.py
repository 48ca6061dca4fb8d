"""Weights are brought when they are asked for, and at no other time; the server is on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from facereg.data.weights import FetchedWeights, fetch_weights
from facereg.errors import WeightsError
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import default_registry
from tests.calling import Run, caller
from tests.data.breaking import CONTENT, DIGEST, HALF, Behaviour
from tests.rights import folder_with

NAME, FILE = "mobilenetv3-arcface:brought", f"mobilenetv3-arcface-brought-{DIGEST[:12]}.onnx"
OWN = default_registry().model("mobilenetv3-arcface").networks[0].locate().read_bytes()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACEREG_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def model(home: Path, server: Behaviour) -> ModelSpec:
    """Return an installed model with weights that the server has."""
    add(home, server.address)
    return default_registry().model(NAME)


def add(home: Path, address: str, *, digest: str = DIGEST, size: int = len(CONTENT)) -> None:
    text = f'["{NAME}"]\naddress = "{address}"\nsha256 = "{digest}"\nsize = {size}\nlicence = "ours"\n'
    (home / "weights.toml").write_text(text)


def fetched(model: ModelSpec, attempts: int = 1) -> FetchedWeights:
    [one] = fetch_weights(model, attempts=attempts, pause_s=0)
    return one


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_weights_are_brought_once(model: ModelSpec, server: Behaviour, tmp_path: Path) -> None:
    shown: list[tuple[int, int | None]] = []
    [first] = fetch_weights(model, progress=lambda done, total: shown.append((done, total)))
    kept = tmp_path / "cache/weights" / FILE
    assert first == FetchedWeights("mobilenetv3-arcface-brought", kept, len(CONTENT), DIGEST, brought=True)
    assert kept.read_bytes() == CONTENT
    assert names(kept.parent) == [FILE]
    assert (shown[0], shown[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert not fetched(model).brought
    assert server.ranges == [None]


def test_a_broken_connection_is_gone_on_from_in_a_later_run(model: ModelSpec, server: Behaviour) -> None:
    server.break_after = [HALF]
    with pytest.raises(WeightsError, match=f"broke after {HALF:,} of {len(CONTENT):,} bytes"):
        fetched(model)
    one = fetched(model)
    assert (one.brought, one.resumed, one.path.read_bytes()) == (True, HALF, CONTENT)
    assert server.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:1/x.onnx", "no connection to 127.0.0.1:1 (Connection refused)"),
        ("http://host.invalid/x.onnx", "no connection to host.invalid ("),
    ],
)
def test_without_a_network_one_line_says_at_once_what_to_put_where(
    address: str, reason: str, home: Path, run: Run, tmp_path: Path
) -> None:
    add(home, address)
    began = time.monotonic()
    called = run("models", "fetch", NAME)
    assert time.monotonic() - began < 10, "five attempts with pauses take 15 s and more"
    assert (called.status, called.out) == (1, "")
    [line] = called.err.splitlines()
    assert line.startswith("facereg: mobilenetv3-arcface:brought: ")
    assert reason in line
    put = f"put {address} ({len(CONTENT):,} bytes, sha256 {DIGEST}) at {tmp_path / 'cache/weights' / FILE}"
    assert line.endswith(f"; without a network, {put}")
    assert "Max retries" not in line


def test_a_connection_that_was_made_is_tried_again(home: Path, server: Behaviour) -> None:
    add(home, server.address)
    server.break_after = [HALF, HALF]
    assert fetched(default_registry().model(NAME), attempts=3).path.read_bytes() == CONTENT


def test_other_bytes_than_were_stated_are_refused(model: ModelSpec, server: Behaviour, tmp_path: Path) -> None:
    server.content = CONTENT[::-1]
    with pytest.raises(WeightsError, match=f"mobilenetv3-arcface:brought: .*expected {DIGEST} but got"):
        fetched(model)
    assert names(tmp_path / "cache/weights") == []


def test_more_bytes_than_were_stated_are_refused(home: Path, server: Behaviour, tmp_path: Path) -> None:
    add(home, server.address, size=1000)
    with pytest.raises(WeightsError, match="expected at most 1,000 bytes, got a file of 256,000"):
        fetched(default_registry().model(NAME))
    assert names(tmp_path / "cache/weights") == []


def test_without_a_network_one_line_says_what_to_put_where(home: Path, tmp_path: Path, run: Run) -> None:
    add(home, "http://127.0.0.1:1/nobody-listens.onnx")
    called = run("models", "fetch", NAME)
    place = tmp_path / "cache/weights" / FILE
    assert called.status == 1
    assert f"put http://127.0.0.1:1/nobody-listens.onnx (256,000 bytes, sha256 {DIGEST}) at {place}" in called.error
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(CONTENT)
    assert run("models", "fetch", NAME, "--json").document["brought"] is False


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: Path) -> Run:
    return caller(monkeypatch, capfd, home)


def test_opening_a_model_brings_nothing(model: ModelSpec, server: Behaviour, tmp_path: Path) -> None:
    with default_registry().create(NAME, role="embedder") as embedder:
        words = f"run 'facereg models fetch {NAME}', or put .* at {tmp_path}/cache/weights/{FILE}$"
        with pytest.raises(WeightsError, match=words):
            embedder.space  # noqa: B018
    assert server.ranges == []


def test_what_was_brought_runs_and_is_of_the_space_of_its_file(home: Path, server: Behaviour, run: Run) -> None:
    [own] = default_registry().model("mobilenetv3-arcface").networks
    add(home, server.address, digest=str(own.sha256), size=len(OWN))
    server.content = OWN
    called = run("models", "fetch", NAME, "--json")
    assert (called.document["brought"], called.document["bytes"], called.err) == (True, len(OWN), "")
    create = default_registry().create
    with create(NAME, role="embedder") as mine, create("mobilenetv3-arcface", role="embedder") as theirs:
        assert mine.space == theirs.space
    [shown] = [line for line in run("models", "--json").lines if line["name"] == NAME]
    [weights] = cast("list[dict[str, object]]", shown["weights"])
    assert (shown["licence"], weights["place"], weights["path"]) == ("ours", "cache", called.document["file"])
    assert f"in the cache: {called.document['file']}" in run("models", "mobilenetv3-arcface").out


def test_what_was_damaged_in_the_cache_is_brought_again(model: ModelSpec, server: Behaviour) -> None:
    path = fetched(model).path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=f"wrong checksum, .*; bring it again with 'facereg models fetch {NAME}'"):
        model.networks[0].locate()
    one = fetched(model)
    assert (one.brought, path.read_bytes()) == (True, CONTENT)


def test_a_cache_that_cannot_be_written_is_read(
    model: ModelSpec, server: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder_with(0o755) as folder:
        monkeypatch.setenv("FACEREG_CACHE", str(folder))
        folder.chmod(0o555)
        with pytest.raises(WeightsError, match=r"cannot be written \(Permission denied\); set FACEREG_CACHE to a fold"):
            fetched(model)
        folder.chmod(0o755)
        kept = fetched(model).path
        kept.parent.chmod(0o555)
        folder.chmod(0o555)
        assert (fetched(model).path, model.networks[0].locate()) == (kept, kept)
        kept.parent.chmod(0o755)
    assert server.ranges == [None]


def test_two_processes_at_once_bring_it_once(model: ModelSpec, server: Behaviour) -> None:
    server.pause_s = 2.0  # the other has started by then
    words = [sys.executable, "-m", "facereg", "models", "fetch", NAME]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ}) for _ in range(2)]
    said = sorted(one.communicate(timeout=120)[0].split(":")[0] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert said == ["mobilenetv3-arcface-brought brought", "mobilenetv3-arcface-brought is here"]
    assert server.ranges == [None]


def test_the_weights_of_a_plugin_are_brought_from_nowhere(run: Run) -> None:
    called = run("models", "fetch", "yolov5s-face:int8", "--json")
    assert (called.status, called.document["brought"]) == (0, False)
    assert "no weights ship with facereg_ssd" in run("models", "fetch", "ssd300-vgg16").error
    assert "expected a model with networks" in run("models", "fetch", "exact").error
