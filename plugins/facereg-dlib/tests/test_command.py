"""`facereg dlib-convert`: what it cannot turn is one line, and nothing is written over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from facereg_dlib import commands
from facereg_dlib.plugin import PUBLISHED
from typer.testing import CliRunner

from facereg import WeightsError


def convert(*words: object) -> None:
    CliRunner().invoke(commands.app, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.parametrize("by", ["name", "link", "default"])
def test_the_file_that_is_read_is_never_written_over(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, link = tmp_path / "net.dat", tmp_path / "link.onnx"
    file.write_bytes(b"weights")
    link.symlink_to(file)
    monkeypatch.setattr(type(PUBLISHED), "_place", lambda self: file)
    with pytest.raises(WeightsError, match="^--out: expected another file than the one that is read, got .*; name ano"):
        convert(*([] if by == "default" else [file]), "--out", link if by == "link" else file)
    assert file.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "net.dat: expected dlib_face_.*.dat with sha256 55533b28a958..., got e3b0c44298fc... in 0 bytes; copy"),
        (bytes(commands.MOST + 1), "net.dat: expected dlib_face_.* of at most .* got more; is it the right"),
    ],
    ids=["empty", "too large"],
)
def test_a_file_of_something_else_is_one_line(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "net.dat").write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        convert(tmp_path / "net.dat", "--out", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PUBLISHED", replace(PUBLISHED, distribution="no-such-models"))
    with pytest.raises(WeightsError, match="^dlib-convert: .* no-such-models .*, which is not installed; pip inst"):
        convert("--out", tmp_path / "net.onnx")
