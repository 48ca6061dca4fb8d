"""The tutorial's section on networks, followed as it stands: the plugin keeps the contract."""

from __future__ import annotations

import re
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from facereg.registry.installed import Registry
from facereg.registry.new_plugin import create_plugin
from facereg.testing import run_contract
from tests.docs.pages import FENCED, ROOT


def test_a_plugin_given_a_network_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs/tutorials/first-plugin.md").read_text("utf-8").partition("## Give it a network")[2]
    making, stating, running = (code for _, code in FENCED.findall(text))
    folder = create_plugin("skin-colour", role="detector", out=tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(making, "tutorial", "exec"), {})
    checksum = capsys.readouterr().out.strip()
    package = folder / "facereg_skin_colour"
    (package / "plugin.py").write_text(stating.replace('"..."', repr(checksum)), "utf-8")
    code = (package / "detector.py").read_text("utf-8")
    code = re.sub(
        r"class SkinColourDetector\(.*?or SkinColourDetectorOptions\(\)\n", lambda _: running, code, flags=re.DOTALL
    )
    code = code.replace("cv2.GaussianBlur(image, (0, 0), 2.0)", "self._smooth(image)")
    code = code.replace("FloatArray, Image\n", "FloatArray, Image, Networks\n")
    line = "from facereg_skin_colour.plugin import NETWORK\n"
    code = re.sub("import numpy as np\n", f"import numpy as np\n{line}", code, count=1)
    (package / "detector.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(folder)
    invalidate_caches()
    registry = Registry()
    registry.register(import_module("facereg_skin_colour.plugin"), name="skin-colour")
    outcomes = list(run_contract("skin-colour", registry))
    assert [outcome for outcome in outcomes if not outcome.passed] == []
