"""A collection indexed by the workers of a Ray cluster: what one process finds, whichever worker is killed."""

from __future__ import annotations

import json
import os
import pickle
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from facereg.collection.store import Index
from facereg.errors import FaceregError
from facereg.pipeline.composition import Composition
from tests.calling import Run
from tests.collection.test_indexing import CHILD, content, held

pytest.importorskip("ray")
from facereg.collection.on_ray import _looked

# the cluster listens on this machine alone, so it needs no token
ENVIRONMENT = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
ON_RAY = """
import sys
from facereg.collection import Index, index_folder
from facereg.collection.on_ray import looking_on_ray
from facereg.pipeline.composition import Composition, StageChoice
folder, out, space, address = sys.argv[1:]
stages = StageChoice("detector", "aligned"), StageChoice("aligner", ""), StageChoice("embedder", "mobilenetv3-arcface",
    options={"flip": False})
with Index.open(out, space=space, create=True) as index:
    with looking_on_ray(address, Composition(*stages), index, notice=lambda line: print(line, file=sys.stderr)) as look:
        index_folder(index, folder, look, block=20)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, int]]:
    """Start a Ray of three workers on this machine; yield its address and the number of its session."""
    folder = mkdtemp(prefix="ray-")  # a path of pytest's is too long for Ray's sockets
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["start", "--head", "--block", "--num-cpus=3", "--node-ip-address=127.0.0.1", f"--port={port}"]
    words += ["--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir={folder}"]
    command = [sys.executable, "-m", "ray.scripts.scripts", *words]
    for _ in range(5):  # Ray gives its own processes 15 s to start, which a busy machine may not have
        with open(f"{folder}/said", "wb") as said:
            head = subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, stdout=said, stderr=said)
        while head.poll() is None and b"block forever" not in Path(folder, "said").read_bytes():
            time.sleep(0.2)
        if head.poll() is None:
            break
    else:
        pytest.fail(Path(folder, "said").read_text())
    yield f"127.0.0.1:{port}", head.pid
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    rmtree(folder, ignore_errors=True)


def workers(session: int) -> list[int]:
    """Return the processes of a cluster that look at files now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"_looked" in (process / "cmdline").read_bytes() and os.getsid(int(process.name)) == session:
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.long
def test_a_worker_killed_in_the_middle_changes_nothing(
    tmp_path: Path, face_data: Path, cluster: tuple[str, int]
) -> None:
    folder, whole, often = tmp_path / "crops", tmp_path / "whole.index", tmp_path / "often.index"
    for crop in sorted((face_data / "celeba-faces112").glob("*/*.jpg"))[:300]:
        link = folder / crop.parent.name / crop.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(crop)
    subprocess.run([sys.executable, "-c", CHILD, folder, whole, "20"], check=True)
    with Index.open(whole) as undisturbed:
        command: list[str | Path] = [sys.executable, "-c", ON_RAY, folder, often, undisturbed.space, cluster[0]]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as child:
            while held(often) < 60 and child.poll() is None:
                time.sleep(0.01)
            while not (at_work := workers(cluster[1])) and child.poll() is None:
                time.sleep(0.01)  # each is between two blocks
            assert held(often) < 300
            os.kill(at_work[0], signal.SIGKILL)
            said = child.communicate()[1]
        assert child.returncode == 0, said
        assert "a Ray worker was lost, and the 20 files from" in said
        with Index.open(often) as index:
            assert index.counts() == undisturbed.counts()
            assert content(index) == content(undisturbed)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.long
def test_the_command_says_the_same_on_ray(tmp_path: Path, face_data: Path, cluster: tuple[str, int]) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    crops = sorted((face_data / "celeba-faces112").glob("*/*.jpg"))[:5]
    for name, crop in zip("xabcde", [crops[0], *crops], strict=True):
        (folder / f"{crop.stem}{name}.jpg").symlink_to(crop)
    (folder / "bad.png").write_bytes(b"no picture")
    said = []
    for name, more in (("here", ()), ("ray", ("--ray", cluster[0])), ("ray", ("--ray", cluster[0]))):
        words = ["index", str(folder), "--out", str(tmp_path / name), "--detector", "aligned", "--json", *more]
        done = subprocess.run(
            [sys.executable, "-m", "facereg", *words], env=ENVIRONMENT, capture_output=True, text=True, cwd=folder
        )
        assert done.returncode == 1, done.stderr
        lines = [line for line in done.stderr.splitlines() if "indexing: " not in line]  # which tell of time
        assert len(lines) == 2, done.stderr  # the bad picture, and the tally
        said.append(json.loads(done.stdout) | {"out": ""})
    assert said[1] == said[0]
    assert (said[2]["held"], said[2]["indexed"]) == (said[0]["indexed"], 0)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("somewhere", "expected HOST:PORT of a Ray cluster's head, or 'local', got 'somewhere'"),
        ("ray://127.0.0.1:10001", "this machine has to be one of the cluster"),
        ("127.0.0.1:1", "where none answers ([Errno 111] Connection refused); start one with 'ray start'"),
        ("user:secret@127.0.0.1:1", "got 'user:***@127.0.0.1:1'"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(
    tmp_path: Path, run: Run, painted: list[str], address: str, words: str
) -> None:
    called = run("index", tmp_path, "--out", tmp_path / "out.index", "--ray", address, *painted)
    assert called.status == 1
    assert words in called.error
    assert "secret" not in called.error


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (  # what is left unset would be on
            "import facereg.collection.on_ray; from ray._common.usage.usage_lib import usage_stats_enabled; "
            "print(usage_stats_enabled())",
            "False",
        ),
        (
            "import sys; sys.modules['ray'] = None\n"
            "try:\n    import facereg.collection.on_ray\nexcept ImportError as error:\n    print(error)",
            "an index made on Ray needs ray; pip install 'facereg-core[ray]'",
        ),
    ],
    ids=["reports of use are off", "ray is missing"],
)
def test_before_ray_starts(code: str, said: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


class Desk:
    """Answers as the actor does; `ray.get` is left out."""

    def __init__(self, begun: int) -> None:
        self.begin = self.known = self
        self.begun = begun

    def remote(self, asked: object) -> object:
        return self.begun


@pytest.mark.parametrize(
    ("begun", "words"),
    [
        (3, "3 were lost with the 2 files from a.jpg; index these without Ray to see which file ends it"),
        (0, "expected an embedder of 'other:1', got"),
    ],
)
def test_a_worker_says_why_it_cannot_look(monkeypatch: pytest.MonkeyPatch, begun: int, words: str) -> None:
    monkeypatch.setattr("ray.get", lambda answer: answer)
    row = {"block": pickle.dumps([Path("a.jpg"), Path("b.jpg")])}
    found, notices = pickle.loads(_looked(row, pickle.dumps(Composition()), "other:1", Desk(begun))["found"])
    assert isinstance(found, FaceregError)
    assert f"a Ray worker on {platform.node()}: {words}" in str(found)
    assert len(notices) == (begun > 0)
