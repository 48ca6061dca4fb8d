"""Names that others wrote stay inside the folder they are meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from facereg.disk.paths import inside
from facereg.errors import ContractError


@pytest.mark.parametrize("name", ["a.txt", "event/a.txt", "a..b.txt", "été/ü.txt", "event\\a.txt", "./a.txt", "a b"])
def test_a_name_lies_in_the_folder(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name) == tmp_path / name.replace("\\", "/")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a/..",
        "..\\a",
        "\\a",
        "C:\\a",
        "C:a",
        "\\\\server\\share\\a",
        "a\0b",
        "a\nb",
        "a\x1b[2Jb",
        "x" * 256,
        "é" * 128,
        "/".join(["x" * 200] * 6),
        "\ud800",
    ],
)
def test_a_name_that_leads_out_or_is_none_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError) as refused:
        inside(tmp_path / "out", name)
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["link/a.txt", "file", "loop/a"])
def test_a_link_that_is_there_does_not_lead_out(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    (out / "file").symlink_to(tmp_path / "elsewhere")
    (out / "loop").symlink_to("loop")
    with pytest.raises(ContractError):
        inside(out, name)
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_within_the_folder_and_a_folder_that_is_a_link_serve(tmp_path: Path) -> None:
    (tmp_path / "real" / "event").mkdir(parents=True)
    (tmp_path / "out").symlink_to("real")
    (tmp_path / "real" / "again").symlink_to("event")
    assert inside(tmp_path / "out", "again/a.txt") == tmp_path / "out" / "again" / "a.txt"
