"""Small files that others wrote: nothing waits, nothing fills the memory, nothing is nested too deep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facereg.disk.reading import MAX_DEPTH, open_file, parse_json, parse_toml, read_text
from facereg.errors import ContractError, DatasetError

DEEP = 50_000


def read(path: Path, limit: int = 100) -> str:
    return read_text(path, expected="a list", limit=limit)


def test_text_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffÉva 1\n".encode())
    assert read(tmp_path / "list.txt") == "Éva 1\n"


@pytest.mark.skipif(os.name != "posix", reason="files of POSIX")
@pytest.mark.parametrize(("name", "got"), [("folder", "a folder"), ("pipe", "a pipe"), ("zero", "a device")])
def test_what_is_no_file_is_refused_at_once(name: str, got: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match=f"expected a list, got {got}"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"x" * 101, "at most 100 bytes"), (b"a\xff", "UTF-8, got other bytes at 1"), (None, "is missing")],
    ids=["long", "latin", "missing"],
)
def test_a_file_that_is_too_long_no_text_or_missing_is_named(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        read(tmp_path / "list.txt")


def test_a_name_that_is_none_is_an_error_of_the_class_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        open_file(Path(f"{tmp_path}/a\0b"), expected="a list", error=ContractError)


@pytest.mark.parametrize("text", ["[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP])
def test_json_nested_deep_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match=f"nested more than {MAX_DEPTH} deep"):
        parse_json(text, place="here", expected="rows")


@pytest.mark.parametrize(
    "text", ["a = " + "[" * DEEP + "]" * DEEP, ".".join("a" * DEEP) + " = 1", "b = {" + ".".join("a" * 99) + " = 1}"]
)
def test_toml_nested_deep_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match=f"nested more than {MAX_DEPTH} deep"):
        parse_toml(text, place="here", expected="tables")


@pytest.mark.parametrize("text", ["{", "NaN", "[Infinity]", "", "1" * 5000])
def test_what_is_no_json_is_named(text: str) -> None:
    with pytest.raises(DatasetError, match="here: expected rows in JSON"):
        parse_json(text, place="here", expected="rows")
