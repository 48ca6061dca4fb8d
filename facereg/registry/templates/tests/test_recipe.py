"""The recipe, on pictures whose colours are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from facereg import ContractError, write_image

from facereg_new_name.recipe import run


def test_the_colours_of_two_pictures(tmp_path: Path) -> None:
    for level in (100, 200):
        write_image(tmp_path / "pictures" / f"{level}.png", np.full((8, 8, 3), level, np.uint8))
    run([tmp_path / "pictures"], tmp_path / "out", False, {})
    assert json.loads((tmp_path / "out/colours.json").read_text("utf-8")) == {
        "mean": [150.0] * 3,
        "deviation": [50.0] * 3,
    }


def test_no_data_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="pass --data DIR"):
        run([], tmp_path, False, {})
