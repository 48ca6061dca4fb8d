"""`facereg identify` names the same people whether the networks run here or on the real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.images import read_image, write_image
from facereg.testing.pictures import photograph
from tests.calling import caller
from tests.triton.conftest import Served


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder with a known person, altered, and a stranger; `people` beside it has the one to enrol."""
    known = photograph()
    matplotlib = pytest.importorskip("matplotlib")
    assert known is not None
    stranger = read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    folder, people = tmp_path / "pictures", tmp_path / "people" / "Eileen Collins"
    folder.mkdir()
    people.mkdir(parents=True)
    write_image(people / "1.png", known)
    write_image(folder / "mirrored.png", np.ascontiguousarray(known[:, ::-1]))
    write_image(folder / "dark.png", (known * 0.5).astype(np.uint8))
    write_image(folder / "stranger.png", stranger)
    return folder


@pytest.mark.parametrize("detector", ["here", "served"])
def test_identify_gives_the_same_names_on_a_server(
    served: Served,
    pictures: Path,
    detector: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    run, gallery = caller(monkeypatch, capfd, tmp_path / "home"), tmp_path / "team.gallery"
    assert run("enroll", pictures.parent / "people", "--gallery", gallery).status == 0
    runners = ["--runner", served.server.address, *(["--runner", "detector=onnx"] if detector == "here" else [])]
    words = ["identify", pictures, "--gallery", gallery, "--json"]
    mine, theirs = run(*words), run(*words, *runners)
    assert (mine.status, theirs.status) == (0, 0), theirs.err
    assert {line["label"] for line in mine.lines} == {"Eileen Collins", None}
    assert len(theirs.lines) == len(mine.lines)
    for one, other in zip(mine.lines, theirs.lines, strict=True):
        for key in ("image", "label", "accepted"):
            assert other[key] == one[key]
        assert other["box"] == pytest.approx(one["box"], abs=0.1)  # px
        assert other["similarity"] == pytest.approx(one["similarity"], abs=1e-3)  # a box that moves moves its crop
