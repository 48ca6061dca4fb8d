"""The command, as people call it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from facereg import write_image
from typer.testing import CliRunner

from facereg_new_name.commands import app


def test_the_colour_of_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    write_image(picture, np.full((8, 8, 3), (200, 10, 0), np.uint8))
    done = CliRunner().invoke(app, [str(picture), "--json"])
    assert json.loads(done.stdout) == {"image": str(picture), "colour": [200, 10, 0]}
