"""A picture may come from a path, a pipe, a device, memory or an open file; each gives it or one line, in time."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pytest

from facereg.decoding import source
from facereg.errors import ContractError, ImageError
from facereg.images import image_size, read_image
from tests.calling import Run
from tests.decoding.kinds import COLOURS, of
from tests.fakes import picture


@pytest.fixture
def content() -> bytes:
    return of(COLOURS, "PNG")


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(content)
    return tmp_path / "a.png"


def test_paths_bytes_and_open_files_give_the_same(content: bytes, path: Path) -> None:
    with path.open("rb") as stream, path.open("rb", buffering=0) as raw:
        sources = [path, str(path), content, bytearray(content), memoryview(content), io.BytesIO(content), stream, raw]
        for each in sources:
            assert np.array_equal(read_image(cast(BinaryIO, each)), COLOURS)
    assert image_size(content) == (64, 48)


def test_an_open_file_is_read_from_where_it_stands_and_left_open(content: bytes) -> None:
    stream = io.BytesIO(b"header" + content)
    stream.seek(6)
    assert np.array_equal(read_image(stream), COLOURS)
    assert not stream.closed


@pytest.mark.parametrize("given", [None, 3, ["a.png"], object()], ids=["None", "number", "list", "object"])
def test_what_is_no_source_is_named(given: object) -> None:
    with pytest.raises(ContractError, match="expected a path, bytes or an open binary file, got"):
        read_image(given)  # type: ignore[arg-type]


def test_a_file_opened_as_text_is_named() -> None:
    with pytest.raises(ContractError, match="expected a file opened in binary mode, got text; open it with 'rb'"):
        read_image(io.StringIO("text"))  # type: ignore[arg-type]


class Failing(io.RawIOBase):
    """A stream that breaks as streams over a network do."""

    def read(self, size: int = -1) -> bytes:
        raise RuntimeError("connection\nlost")


def test_whatever_a_stream_raises_is_one_line_of_it() -> None:
    with pytest.raises(ImageError, match="open file: expected a picture, cannot be read .connection lost.; open it"):
        read_image(cast(BinaryIO, Failing()))
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ImageError, match="closed"):
        read_image(closed)


def write_later(pipe: Path, parts: list[bytes]) -> threading.Thread:
    """Write `parts` with pauses; a reader that gives up, or never comes, ends it without a word."""

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), pipe.open("wb", buffering=0) as stream:
            for part in parts:
                stream.write(part)
                time.sleep(0.05)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path / "pipe.png"


def test_a_pipe_that_is_written_in_parts_is_read(content: bytes, pipe: Path) -> None:
    writer = write_later(pipe, [content[:10], content[10:500], content[500:]])
    assert np.array_equal(read_image(pipe), COLOURS)
    writer.join()


def test_a_pipe_that_nobody_writes_to_is_given_up(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SILENCE_S", 0.2)
    with pytest.raises(ImageError, match="got no byte or no end in 0 s; check what writes to the pipe"):
        read_image(pipe)


def test_a_pipe_that_only_drips_is_given_up(pipe: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PIPE_S", 0.2)
    write_later(pipe, [content[place : place + 1] for place in range(8)])
    with pytest.raises(ImageError, match="got no byte or no end in"):
        read_image(pipe)


@pytest.mark.parametrize(
    ("device", "words"),
    [("/dev/zero", "another kind"), ("/dev/null", "0 bytes"), ("/dev/urandom", "another kind"), ("/", "folder")],
)
def test_devices_and_folders_are_no_pictures(device: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_image(device)


class Endless(io.RawIOBase):
    """A picture that never ends."""

    def __init__(self, start: bytes) -> None:
        self.parts: Iterator[bytes] = iter([start])
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return next(self.parts, bytes(size))


def test_an_endless_picture_ends_at_the_limit(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 5_000_000)
    endless = Endless(content)
    with pytest.raises(ImageError, match="expected at most 5,000,000 bytes, got more"):
        read_image(cast(BinaryIO, endless))
    assert endless.given < 8_000_000


def test_a_longer_file_is_refused_before_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 100)
    for each in (path, path.read_bytes()):
        with pytest.raises(ImageError, match="expected at most 100 bytes, got more"):
            read_image(each)


@pytest.mark.parametrize("name", ["a\0b.png", "\udcff.png", "x" * 300 + ".png"], ids=["NUL", "not UTF-8", "long"])
def test_odd_names_are_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        read_image(tmp_path / name)


def test_the_command_line_reads_its_standard_input(tmp_path: Path) -> None:
    content = of(picture(1, 2), "PNG")
    script = "from facereg.images import read_image; print(read_image('/dev/stdin').shape)"
    done = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["(112,", "224,", "3)"]


def test_a_pipe_in_a_command_is_detected_in(pipe: Path, painted: list[str], run: Run) -> None:
    writer = write_later(pipe, [of(picture(1, 2), "PNG")])
    called = run("detect", pipe, "--json", *painted[:2])
    writer.join()
    assert len(called.lines[0]["faces"]) == 2  # type: ignore[arg-type]
