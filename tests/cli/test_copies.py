"""Drawn copies: none over another, none outside the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facereg.cli.copies import Copies
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
