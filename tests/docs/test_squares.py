"""The table of how detectors' boxes lie says what their plugins state."""

from __future__ import annotations

import re

from facereg.registry.installed import default_registry
from tests.docs.pages import ROOT


def test_the_table_of_squares_says_what_the_plugins_state() -> None:
    text = (ROOT / "docs/how-to/align-by-a-landmark-network.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([0-9.]+) \| ([0-9.]+) \| [0-9., ]+ \| [0-9,]+ \|$", text, re.MULTILINE)
    shown = {name: (float(factor), float(shift)) for name, factor, shift in rows}
    stated = {spec.name: spec.square for spec in default_registry().models("detector") if spec.square is not None}
    assert shown == stated
