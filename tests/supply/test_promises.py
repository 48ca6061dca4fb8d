"""SECURITY.md: each promise names a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def promises() -> list[list[str]]:
    text = (ROOT / "SECURITY.md").read_text("utf-8").partition("\n## Promises\n")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:40])
def test_a_promise_names_tests_that_are_there(row: list[str]) -> None:
    assert len(row) == 3
    named = re.findall(r"`([^`]+\.py)::(test_\w+)`", row[2])
    assert named
    for file, test in named:
        functions = ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
        assert test in {node.name for node in functions if isinstance(node, ast.FunctionDef)}, f"{file}::{test}"


def test_there_are_promises_and_what_is_not_protected_is_said() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert len(promises()) > 9
    for word in ("Liveness", "not encrypted at rest", "Report a weakness"):
        assert word in text
