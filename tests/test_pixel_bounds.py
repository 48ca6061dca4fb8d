"""Memory of a pipeline bounded by pixels; boxes in the file's pixels where a huge JPEG was read at reduced size."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import facereg.pipeline.composer
from facereg.builtin.alignment import FivePointAligner
from facereg.decoding import decoder
from facereg.errors import ImageError
from facereg.images import image_size, read_image, read_picture
from facereg.pipeline.composer import CHUNK, Pipeline
from facereg.pipeline.files import run_files
from facereg.types import Faces, Image
from tests.calling import Run
from tests.fakes import SIDE, PaintedDetector, PaintedEmbedder, picture

PIXELS = 4 * SIDE * SIDE  # of a chunk, in these tests


class Counting(PaintedDetector):
    """Keeps the pixels of each call, and of all images of the test that are alive during it."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[weakref.ref[Image]] = []
        self.pixels: list[int] = []
        self.alive: list[int] = []

    def watched(self, image: Image) -> Image:
        self.references.append(weakref.ref(image))
        return image

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        self.pixels.append(sum(image[:, :, 0].size for image in images))
        alive = [image for reference in self.references if (image := reference()) is not None]
        self.alive.append(sum(image[:, :, 0].size for image in alive))
        return super()._detect(images)


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facereg.pipeline.composer, "CHUNK_PIXELS", PIXELS)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("people", [1, 2, 4, 9], ids=lambda people: f"{people} squares a picture")
def test_a_chunk_ends_with_the_picture_that_fills_it(people: int) -> None:
    detector = Counting()
    pipeline = Pipeline(detector, FivePointAligner(), PaintedEmbedder())
    each = range(people)
    results = list(pipeline.stream(detector.watched(picture(*each)) for _ in range(20)))
    assert [len(result.faces) for result in results] == [people] * 20
    largest = SIDE * SIDE * people
    assert max(detector.pixels) < PIXELS + largest
    # the chunk that is worked on, the one that is filled, and the picture just made
    assert max(detector.alive) <= 2 * (PIXELS + largest) + largest
    if people == 1:
        assert detector.calls == [4] * 5  # full by pixels, not by CHUNK


@pytest.mark.usefixtures("bounded")
def test_a_run_of_large_pictures_is_cut_into_calls_and_complete() -> None:
    detector = Counting()
    pipeline = Pipeline(detector, FivePointAligner(), PaintedEmbedder())
    images = [picture(1, 2, 3), picture(), picture(*range(8)), picture(4)]
    assert [len(result.faces) for result in pipeline.run(images)] == [3, 0, 8, 1]
    assert detector.calls == [2, 1, 1]


def test_small_pictures_share_a_call_as_before() -> None:
    detector = Counting()
    pipeline = Pipeline(detector, FivePointAligner(), PaintedEmbedder())
    list(pipeline.stream(picture(1) for _ in range(2 * CHUNK)))
    assert detector.calls == [CHUNK, CHUNK]


# Reduced decoding, with the limit of pixels made small.


def painted_jpeg(orientation: int = 1, *, progressive: bool = False) -> bytes:
    """Return a JPEG of 1,000 x 333 px, upright, with two people of 224 px beside one another from (0, 0) on."""
    upright = np.zeros((333, 1000, 3), np.uint8)
    large = np.asarray(Pillow.fromarray(picture(1, 2)).resize((448, 224), Pillow.Resampling.NEAREST))
    upright[:224, :448] = large
    stored = {1: upright, 3: upright[::-1, ::-1], 6: np.rot90(upright, 1), 8: np.rot90(upright, -1)}[orientation]
    exif, stream = Pillow.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Pillow.fromarray(np.ascontiguousarray(stored)).save(stream, "JPEG", quality=95, exif=exif, progressive=progressive)
    return stream.getvalue()


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_PIXELS", 100_000)  # 1,000 x 333 is decoded as 500 x 167


@pytest.mark.usefixtures("halved")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_of_a_reduced_picture_come_back_to_the_files_pixels(orientation: int) -> None:
    found = read_picture(painted_jpeg(orientation))
    assert (found.image.shape, found.reduction, found.width, found.height) == ((167, 500, 3), 2, 1000, 333)
    assert image_size(painted_jpeg(orientation)) == (1000, 333)
    # where a square of the file begins and ends in the reduced picture, by its colours; 1 px of the file's 2 is doubt
    bright = found.image.max(2) > 20
    columns, rows = np.flatnonzero(bright.any(0)), np.flatnonzero(bright.any(1))
    box = np.array([[columns[0], rows[0], columns[-1], rows[-1]]], np.float32)
    edges = Faces(box, np.ones(1, np.float32), np.zeros((1, 0, 2), np.float32))
    assert np.abs(found.in_file(edges).boxes[0] - [0, 0, 447, 223]).max() <= 1.5
    back = found.in_image(found.in_file(edges))
    assert back.boxes == pytest.approx(edges.boxes, abs=1e-3)  # float32


@pytest.mark.usefixtures("halved")
@pytest.mark.parametrize(("orientation", "top"), [(6, 0.5), (8, -0.5)])
def test_the_command_line_gives_boxes_in_the_files_pixels(
    orientation: int, top: float, painted: list[str], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "large.jpg").write_bytes(painted_jpeg(orientation))
    called = run("detect", tmp_path / "large.jpg", "--json", "--draw", tmp_path / "drawn", *painted[:2])
    assert called.status == 0
    boxes = [face["box"] for face in called.lines[0]["faces"]]  # type: ignore[attr-defined]
    # squares of 112 px from 0 to 111 in the reduced picture, whose pixels' centres lie at 0.5, 2.5 ... in the file; of
    # 333 columns the last pair is half a pair, and comes first where the picture is turned so
    assert boxes == [[0.5, top, 222.5, top + 222], [224.5, top, 446.5, top + 222]]
    [drawn] = (tmp_path / "drawn").iterdir()
    assert read_image(drawn).shape == (167, 500, 3)


@pytest.mark.usefixtures("halved")
def test_files_through_a_pipeline_give_boxes_in_the_files_pixels(tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Pillow.fromarray(picture(1)).save(small)
    (tmp_path / "large.jpg").write_bytes(painted_jpeg())
    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
    outcomes = dict(run_files(pipeline, [small, tmp_path / "large.jpg"]))
    sizes = []
    for outcome in outcomes.values():
        assert not isinstance(outcome, ImageError)
        sizes.append(outcome.faces.boxes.max())
    assert sizes == [111, 446.5]  # (223 + 0.5) * 2 - 0.5 of the file


@pytest.mark.usefixtures("halved")
def test_what_is_not_to_be_reduced_is_refused() -> None:
    with pytest.raises(ImageError, match="at most 100,000 pixels, got 1,000 x 333; make it smaller first"):
        read_image(painted_jpeg(), whole=True)
    with pytest.raises(ImageError, match="at most 100,000 pixels"):
        read_image(painted_jpeg(progressive=True))  # its decoder holds the whole picture's coefficients


def test_pages_after_the_first_are_told_of(painted: list[str], run: Run, tmp_path: Path) -> None:
    first, second = Pillow.fromarray(picture(1)), Pillow.fromarray(picture(2, 3))
    first.save(tmp_path / "scan.tif", save_all=True, append_images=[second])
    called = run("detect", tmp_path / "scan.tif", "--json", *painted[:2])
    assert len(called.lines[0]["faces"]) == 1  # type: ignore[arg-type]
    assert "scan.tif: holds several frames or pages; the first is read" in called.err


STREAMED = """
import sys
from pathlib import Path
from facereg.builtin.alignment import FivePointAligner
from facereg.pipeline.files import run_files
from facereg.pipeline.composer import Pipeline
from tests.fakes import PaintedDetector, PaintedEmbedder
pipeline = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
print(sum(len(result.faces) for _, result in run_files(pipeline, [Path(sys.argv[1])] * 20)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kB there")
def test_twenty_photographs_of_8_megapixels_take_the_memory_of_a_few(tmp_path: Path) -> None:
    large = np.zeros((2000, 4000, 3), np.uint8)
    large[:SIDE, : 2 * SIDE] = picture(1, 2)
    Pillow.fromarray(large).save(tmp_path / "large.jpg")
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True)"
    measure += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    words = [sys.executable, "-c", measure, sys.executable, "-c", STREAMED, str(tmp_path / "large.jpg")]
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(words, capture_output=True, check=True, cwd=root, env={**os.environ, "PYTHONPATH": path})
    faces, kilobytes = map(int, done.stdout.split())
    assert faces == 40
    # the interpreter, 100; two calls of two pictures at most, 96; one being decoded, 56. Counted in pictures: 800
    assert kilobytes / 1024 < 350


def test_two_scans_compared_are_said_to_be_read_in_part(painted: list[str], run: Run, tmp_path: Path) -> None:
    first, second = Pillow.fromarray(picture(1)), Pillow.fromarray(picture(2))
    first.save(tmp_path / "scan.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "photo.png")
    called = run("verify", tmp_path / "scan.tif", tmp_path / "photo.png", "--threshold", "0.9", "--json", *painted)
    assert called.status == 0
    assert called.err.count("holds several frames or pages; the first is read") == 1
