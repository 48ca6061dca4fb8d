"""Drawn copies: none over another, none outside the folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from facereg.cli.copies import Copies
from facereg.disk import replacing
from facereg.errors import ImageError
from facereg.gallery import Gallery
from facereg.pipeline import tables
from facereg.types import Faces
from tests import kinds
from tests.calling import Run


def copies_of(folder: Path, pictures: list[Path], named: list[Path]) -> list[str]:
    copies = Copies(folder, named)
    return [str(copies.of(picture).relative_to(folder)) for picture in pictures]


def test_copies_keep_their_relative_path_and_ending(tmp_path: Path) -> None:
    names = ["a/1.jpg", "b/1.jpg", "b/1.png", "b/1.gif", "b/1.gif.jpg", "c", "c.jpg"]
    pictures = [tmp_path / "in" / name for name in names]
    (tmp_path / "in").mkdir()
    got = copies_of(tmp_path / "out", pictures, [tmp_path / "in"])
    assert got[:4] == ["a/1.jpg", "b/1.jpg", "b/1.png", "b/1.gif.jpg"]
    assert len(set(got)) == len(names)
    assert [Path(name).suffix for name in got] == [".jpg", ".jpg", ".png", ".jpg", ".jpg", ".jpg", ".jpg"]


def test_pictures_of_several_folders_are_kept_apart(tmp_path: Path) -> None:
    pictures = [tmp_path / "x" / "1.jpg", tmp_path / "y" / "1.jpg"]
    assert copies_of(tmp_path / "out", pictures, pictures) == ["x/1.jpg", "y/1.jpg"]
    assert copies_of(tmp_path / "out", pictures[:1] * 2, pictures[:1]) == ["1.jpg", "1.jpg"]


@pytest.mark.parametrize(
    "name",
    ["..\\..\\x.jpg", "\x1b[2J.jpg", "two\nlines.jpg", "C:x.jpg", "x" * 251 + ".jpg", "caf\udce9.jpg", "a\u202eb"],
)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    [copy] = copies_of(tmp_path / "out", [tmp_path / name], [tmp_path])
    assert os.path.normpath(copy) == copy
    assert ".." not in Path(copy).parts
    assert not os.path.isabs(copy)
    assert copy.isprintable() or "\udce9" in copy
    assert len(os.fsencode(Path(copy).name)) <= 250


def test_a_link_in_the_folder_for_copies_leads_nobody_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(outside)
    (tmp_path / "in").mkdir()
    [copy] = copies_of(tmp_path / "out", [tmp_path / "in" / "sub" / "1.jpg"], [tmp_path / "in"])
    assert "/" not in copy


def test_two_pictures_of_one_name_are_both_drawn(painted: list[str], run: Run, tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/1.gif"):
        _one(tmp_path / "in" / name)
    assert run("detect", tmp_path / "in", "--draw", tmp_path / "out", *painted[:2]).status == 0
    drawn = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert drawn == ["a/1.png", "b/1.gif.jpg", "b/1.png"]


def _one(path: Path) -> None:
    kinds.painted(path, 1)


def test_what_cannot_be_drawn_has_failed_and_the_others_are_done(
    painted: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "2", "3"):
        _one(tmp_path / "in" / f"{name}.png")

    def full(path: Path, content: bytes, *, private: bool) -> None:
        if path.name == "2.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(replacing, "write_atomically", full)
    Gallery.open(tmp_path / "g", space="painted-colours:1", create=True).close()
    gallery = ("--gallery", tmp_path / "g", "--threshold", "0.9", *painted)
    for words, done in ((("detect", *painted[:2]), "found"), (("identify", *gallery), "named")):
        called = run(words[0], tmp_path / "in", "--draw", tmp_path / "out", *words[1:])
        assert called.status == 1
        lines = called.err.splitlines()
        assert lines[-1] == "facereg: 3 entries: 2 done, 0 skipped, 1 failed"
        [failed] = [line for line in lines[:-1] if "drawn" in line]
        assert failed.startswith(f"facereg: {tmp_path}/in/2.png: {done}, not drawn: {tmp_path}/out/2.png: cannot be")
        assert f"{tmp_path}/in/3.png" in called.out


@pytest.mark.parametrize("words", [("detect", "--draw"), ("embed", "--out")])
def test_a_place_for_results_that_cannot_be_written_is_found_before_the_work(
    words: tuple[str, str], painted: list[str], run: Run, tmp_path: Path
) -> None:
    _one(tmp_path / "1.png")
    (tmp_path / "file").touch()
    called = run(words[0], tmp_path / "1.png", words[1], tmp_path / "file" / "out", *painted[:2])
    assert (called.status, called.out) == (1, "")
    assert called.err.count("\n") == 1
    assert "; " in called.err


def test_embed_counts_a_picture_that_has_gone_meanwhile(
    painted: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "2"):
        _one(tmp_path / "in" / f"{name}.png")

    def gone(path: Path, faces: Faces) -> int:
        if path.name == "1.png":
            raise ImageError(path, "no such file; check the path")
        return 0

    monkeypatch.setattr(tables, "main_face_of", gone)
    called = run("embed", tmp_path / "in", "--out", tmp_path / "o.npz", "--json", *painted)
    assert (called.status, called.document["images"]) == (1, 1)
    with np.load(tmp_path / "o.npz") as held:
        assert held["images"].tolist() == [str(tmp_path / "in" / "2.png")] * len(held["vectors"])


@pytest.mark.parametrize("out", [".", "./", "link", "sub/.."])
@pytest.mark.parametrize("command", ["detect", "embed"])
def test_no_output_replaces_a_picture_that_is_read(
    painted: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, out: str
) -> None:
    _one(tmp_path / "1.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "1.png").read_bytes()
    options = {"detect": ["--draw", out], "embed": ["--out", os.path.join(out, "1.png")]}
    done = run(command, "1.png", *options[command], *painted)
    assert (done.status, (tmp_path / "1.png").read_bytes()) == (2, before)
    assert "which would replace 1.png; name another" in done.err


def test_a_file_in_the_place_of_the_folder_for_copies_is_named(painted: list[str], run: Run, tmp_path: Path) -> None:
    _one(tmp_path / "1.png")
    called = run("detect", tmp_path / "1.png", "--draw", tmp_path / "1.png", *painted[:2])
    assert (called.status, called.out) == (1, "")
    assert called.error == f"facereg: {tmp_path}/1.png: expected a folder to write into, got a file; name another"
