"""The pictures of figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the [app] extra is not installed")

from matplotlib import pyplot

from facereg.errors import FaceregError
from facereg.evaluation.plots import save_figure
from tests.disks import filled, small_disk


def test_a_disk_that_is_full_leaves_the_picture_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        pyplot.plot([1, 2])
        save_figure(disk / "a.png")
        before = (disk / "a.png").read_bytes()
        assert before.startswith(b"\x89PNG")
        pyplot.plot([2, 1])
        with filled(disk), pytest.raises(FaceregError, match=r"a.png: cannot be written \(No space left on device\)"):
            save_figure(disk / "a.png")
        assert (disk / "a.png").read_bytes() == before
        assert os.listdir(disk) == ["a.png"]
