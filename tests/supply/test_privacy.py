"""Nothing leaves the machine, and nothing is left in the user's home by what was not asked to write there."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from facereg.images import write_image
from facereg.testing.pictures import photograph
from tests.supply.guarded import UNAVAILABLE

GUARD = Path(__file__).parent / "guarded.py"
LEAVING = "connect,sendto,sendmsg,sendmmsg"
REPORTS_AFTER_S = 9.0  # of a process's life: ONNX Runtime 1.32's first packet, watched without the switch
VARIABLE = "ORT_DISABLE_TELEMETRY"
QUIET = ("CI", "GITHUB_ACTIONS", "TF_BUILD")  # where one of these is set, ONNX Runtime reports nothing anyway
PIPELINE = """
import sys, time
from facereg import Pipeline, read_image
with Pipeline.create(detector="mtcnn", embedder="mobilenetv3-arcface") as pipeline:
    [result] = pipeline.run([read_image(sys.argv[1])])
assert len(result.faces) == len(result.embeddings.vectors) == 1
time.sleep(float(sys.argv[2]))
"""


@cache
def unshared() -> tuple[str, ...]:
    """Return what starts a program in a network namespace without a network; nothing where that is not allowed."""
    words = ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        return ()
    return words


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of one face, at half its size."""
    whole = photograph()
    assert whole is not None, "the pictures of scikit-image are missing"
    path = tmp_path_factory.mktemp("picture") / "person" / "1.png"
    write_image(path, whole[::2, ::2].copy())
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def run(
    *words: object, home: Path, forbidden: str = "socket", variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run python with these arguments: its home is `home`, there is no network, forbidden calls are its death."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "FACEREG_", "MPL"))}
    for name in (VARIABLE, *QUIET):
        kept.pop(name, None)
    folder = home.parent / "work"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [*unshared(), sys.executable, str(GUARD), forbidden, sys.executable, *map(str, words)],
        cwd=folder,
        env=kept | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == UNAVAILABLE:
        pytest.skip("this kernel kills no process at a forbidden call")
    return done


def left(home: Path) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*"))


def test_the_guard_sees_a_socket_of_a_thread(home: Path) -> None:
    code = "import socket, threading; t = threading.Thread(target=socket.socket); t.start(); t.join(); print('alive')"
    done = run("-c", code, home=home)
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, "")


def test_a_pipeline_opens_no_socket_and_leaves_the_home_empty(picture: Path, home: Path) -> None:
    if not unshared():
        pytest.skip("no network namespace of its own is allowed here: a report would leave the machine")
    done = run("-c", PIPELINE, picture, REPORTS_AFTER_S + 3, home=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert left(home) == []


@pytest.mark.parametrize("value", ["", "0", "off", "false"])
def test_reports_are_off_whatever_the_environment_says(value: str, picture: Path, home: Path) -> None:
    done = run("-c", PIPELINE, picture, 0, home=home, variables={VARIABLE: value})
    assert (done.returncode, done.stderr) == (0, "")
    assert left(home) == []


def test_without_the_switch_these_tests_would_see_it(picture: Path, home: Path) -> None:
    if Version(version("onnxruntime")) < Version("1.29"):
        pytest.skip("ONNX Runtime reports from 1.29 on")
    if not unshared():
        pytest.skip("no network namespace of its own is allowed here: a report would leave the machine")
    off = f"import facereg, os; del os.environ[{VARIABLE!r}]\n"
    seen = False
    for seconds in (0, REPORTS_AFTER_S + 3):  # its thread may not have begun when a quick process ends
        done = run("-c", off + PIPELINE, picture, seconds, home=home)
        seen = seen or done.returncode == -signal.SIGSYS or any("onnxruntime" in name for name in left(home))
        if seen:
            break
    assert seen, done.stderr


def test_a_library_imported_too_early_is_told(home: Path) -> None:
    if not unshared():
        pytest.skip("no network namespace of its own is allowed here: a report would leave the machine")
    code = "import onnxruntime, facereg"
    done = run("-c", code, home=home)
    assert "onnxruntime was imported before facereg" in done.stderr
    assert run("-c", code, home=home, variables={VARIABLE: "1"}).stderr == ""


def test_a_served_model_turns_reports_off_by_itself(home: Path) -> None:
    served = home.parent / "served"
    served.mkdir()
    shutil.copy(Path(__file__).parents[2] / "facereg/serving/python_model.py", served / "model.py")
    (served / "triton_python_backend_utils.py").touch()
    code = (
        f"import os, sys; sys.path.insert(0, {str(served)!r}); import model\n"
        "assert not any(name.partition('.')[0] == 'facereg' for name in sys.modules)\n"
        f"assert os.environ[{VARIABLE!r}] == '1'\n"
    )
    done = run("-c", code, home=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert left(home) == []


COMMANDS = {
    "demo": ["demo", "--out", "demo"],
    "detect and draw": ["detect", "PICTURE", "--draw", "drawn", "--json"],
    "verify": ["verify", "PICTURE", "PICTURE"],
    "enroll": ["enroll", "PEOPLE", "--gallery", "g"],
    "pseudo-label": ["data", "pseudo-label", "PICTURE", "--root", "PEOPLE", "--out", "labels.jsonl"],
    "quantize": ["quantize", "embedder", "PICTURE", "--out", "quantized"],
    "build": ["triton", "build", "--out", "repository"],
    "check": ["plugins", "check", "mobilenetv3-arcface"],
    "new": ["plugins", "new", "mine", "--role", "detector", "--out", "out"],
    "models": ["models"],
    "fetch": ["models", "fetch", "yolov5s-face:int8"],
}


def command(words: list[str], picture: Path) -> list[object]:
    stand_for = {"PICTURE": picture, "PEOPLE": picture.parent.parent}
    return ["-m", "facereg", *(stand_for.get(word, word) for word in words)]


@pytest.mark.parametrize("words", COMMANDS.values(), ids=list(COMMANDS))
def test_a_command_sends_nothing_and_leaves_the_home_empty(words: list[str], picture: Path, home: Path) -> None:
    done = run(*command(words, picture), home=home, forbidden=LEAVING)
    assert done.returncode == 0, done.stderr
    assert left(home) == []


def test_pictures_of_curves_leave_the_home_empty(picture: Path, home: Path) -> None:
    temporary = home.parent / "temporary"
    temporary.mkdir()
    run(*command(COMMANDS["pseudo-label"], picture), home=home, forbidden=LEAVING)
    words = ["evaluate", "detection", "--images", "PEOPLE", "--annotations", "labels.jsonl", "--format", "pseudo"]
    done = run(
        *command([*words, "--out", "figures.json"], picture),
        home=home,
        forbidden=LEAVING,
        variables={"TMPDIR": str(temporary)},
    )
    assert done.returncode == 0, done.stderr
    assert (home.parent / "work" / "figures.png").is_file()
    assert left(home) == left(temporary) == []


@pytest.mark.train
@pytest.mark.parametrize(
    "words", [["train", "--list"], ["export", "mtcnn", "--out", "exported"]], ids=["list", "export"]
)
def test_a_command_of_training_leaves_the_home_empty(words: list[str], picture: Path, home: Path) -> None:
    done = run(*command(words, picture), home=home, forbidden="sendmmsg")
    assert done.returncode == 0, done.stderr
    assert left(home) == []


def test_nothing_of_ours_imports_onnx_runtime_before_the_switch() -> None:
    root = Path(__file__).parents[2]
    late = []
    for path in [*root.glob("plugins/*/facereg_*/**/*.py"), *root.glob("benchmarks/*.py")]:
        ours = theirs = 0
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                packages = {name.partition(".")[0] for name in names}
                ours = min(ours or node.lineno, node.lineno) if "facereg" in packages else ours
                theirs = min(theirs or node.lineno, node.lineno) if "onnxruntime" in packages else theirs
        if theirs and not 0 < ours < theirs:
            late.append(path.relative_to(root).as_posix())
    assert late == []
