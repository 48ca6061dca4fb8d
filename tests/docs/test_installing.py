"""READMEs whose commands name no detector install the packages of the default stages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facereg.pipeline.composition import DETECTOR, EMBEDDER

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?:sh|console)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORK = re.compile(r"facereg (?:verify|enroll|identify|embed|detect) .*")


@pytest.mark.parametrize("readme", sorted(ROOT.glob("plugins/*/README.md")), ids=lambda path: path.parent.name)
def test_what_a_readme_installs_is_all_that_its_commands_need(readme: Path) -> None:
    for block in BLOCK.findall(readme.read_text(encoding="utf-8")):
        commands = WORK.findall(block)
        if "pip install 'facereg-core" not in block or not commands:
            continue
        if not all("--detector" in command for command in commands):
            assert DETECTOR.startswith("yolov5")
            assert "facereg-yolov5 facereg-adnet" in block
        if not all("--embedder" in command for command in commands):
            assert EMBEDDER.startswith("mobilenetv3")
            assert "facereg-mobilenetv3" in block
