"""stdout that is full, closed or of another encoding, and Ctrl-C: one line or none, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facereg.names import shown
from tests.calling import Run
from tests.kinds import painted

FACEREG = [sys.executable, "-m", "facereg"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "FACEREG_HOME": os.devnull, **more}


@pytest.mark.parametrize("words", [["models"], ["models", "--json"], ["--help"], ["--version"], ["detect", "--help"]])
def test_a_full_disk_under_stdout_is_one_line(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*FACEREG, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("facereg: stdout: cannot be written (No space left on device); make room")


@pytest.mark.parametrize("words", [["models"], ["models", "--json"], ["--help"]])
def test_a_reader_that_has_gone_gets_no_complaint(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([*FACEREG, *words], stdout=writing, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_closed_stdout_is_no_error() -> None:
    command = f'"{sys.executable}" -m facereg models >&-'
    ended = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, env=environment())
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16"])
def test_a_name_is_written_whatever_the_encoding_of_stdout(encoding: str) -> None:
    name = "caf\udce9 \U0001f600 Zo\u00eb \x1b[31m\u202e\n"
    script = "import sys; from facereg.cli.streams import *\nwith plain_streams(): say(sys.argv[1]); print('end')"
    env = environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0", LC_ALL="C.UTF-8")
    ended = subprocess.run([sys.executable, "-c", script, name], capture_output=True, env=env, check=True)
    escaped = shown(name).encode(encoding, "backslashreplace").decode(encoding)
    assert ended.stdout.decode(encoding).splitlines() == [escaped, "end"]
    assert b"\x1b" not in ended.stdout


def test_a_batch_goes_on_past_a_name_that_the_terminal_lacks(tmp_path: Path) -> None:
    for name in ("a.png", "caf\udce9.png", "\U0001f600.png", "z.png"):
        painted(tmp_path / name)  # without a face
    script = (
        "import sys; from tests.calling import painted_options; from facereg.cli import main\n"
        "sys.argv += painted_options()[:2]; main()"
    )
    env = environment(PYTHONIOENCODING="latin-1:strict", PYTHONUTF8="0")
    ended = subprocess.run(
        [sys.executable, "-c", script, "detect", str(tmp_path)], capture_output=True, env=env, check=True
    )
    assert [line.rsplit(b"/")[-1] for line in ended.stdout.splitlines()] == [
        b"a.png: 0 faces",
        b"caf\\udce9.png: 0 faces",
        b"z.png: 0 faces",
        b"\\U0001f600.png: 0 faces",
    ]


@pytest.mark.parametrize("after_s", [0.5, 0.8, 1.2, 2.0, 6.0])
def test_an_interruption_is_told_and_ends_with_130_while_starting_too(after_s: float, tmp_path: Path) -> None:
    script = (
        "import time, sys; from facereg.cli import main; sys.stderr.write('here\\n'); sys.stderr.flush()\n"
        "sys.argv = ['facereg', 'detect', sys.argv[1]]; main()"
    )
    os.mkfifo(tmp_path / "waits")  # the command never ends by itself
    # python leaves SIGINT ignored where it was started so, as jobs in the background of a shell are
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + script
    started = subprocess.Popen(
        [sys.executable, "-c", begin, str(tmp_path / "waits")], stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert started.stderr is not None
    assert started.stderr.readline() == "here\n"
    time.sleep(after_s - 0.5)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert said.strip() == "facereg: interrupted; what is at work ends first, a second interruption does not wait"


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000], ids=["name", "path"])
def test_a_path_too_long_is_said(run: Run, name: str) -> None:
    called = run("detect", name, name)
    assert called.status == 1
    first, *_, last = called.err.splitlines()
    assert first.endswith("its path is longer than the system takes (4,096 bytes); move it up")
    assert last.endswith("failed")


def test_what_no_module_names_is_one_line(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def mute() -> None:
        raise MuteError

    def unreachable() -> None:
        raise OSError(5, "Input/output error", "disk/a.jpg")

    monkeypatch.setattr("facereg.cli._run", mute)
    assert run().error.startswith(
        "facereg: unexpected MuteError (its message cannot be printed); set FACEREG_TRACEBACK"
    )
    monkeypatch.setattr("facereg.cli._run", unreachable)
    assert run().error == "facereg: disk/a.jpg: cannot be used (Input/output error); check the path"

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facereg.cli._run", full)
    assert run().error == "facereg: a file: cannot be written (No space left on device); make room, then call it again"


class MuteError(BaseException):
    def __str__(self) -> str:
        raise MuteError
