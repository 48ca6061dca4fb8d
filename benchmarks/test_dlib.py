"""Points of one face: `adnet-68` against dlib's 68-point predictor, alone and after detection, in one run, in turn.

dlib's predictor starts from the box of dlib's detector (HOG), ours from that of the default pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import cv2
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import Keep, best
from facereg import Aligner, Detector, Faces, Image, Pipeline, read_image
from facereg.data.points import read_points

dlib = pytest.importorskip("dlib")
PREDICTOR = "face_recognition_models/models/shape_predictor_68_face_landmarks.dat"
FACES = 12  # pictures in which both find one


@pytest.fixture(scope="module")
def ours() -> Iterator[tuple[Detector, Aligner]]:
    with Pipeline.create(threads=1) as pipeline:
        yield pipeline.detector, pipeline.aligner


@pytest.fixture(scope="module")
def theirs() -> tuple[Callable[..., object], Callable[..., object]]:
    try:
        file = distribution("face-recognition-models").locate_file(PREDICTOR)
    except PackageNotFoundError as error:
        pytest.skip(f"{error}; make .venv/dlib.installed")
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(file))


@pytest.mark.benchmark(group="dlib")
def test_points_of_one_face_against_dlib(
    benchmark: BenchmarkFixture,
    keep: Keep,
    face_data: Path,
    ours: tuple[Detector, Aligner],
    theirs: tuple[Callable[..., object], Callable[..., object]],
) -> None:
    cv2.setNumThreads(1)
    (detector, aligner), (find, place) = ours, theirs
    folder = face_data / "landmarks-68pt"
    pictures: list[tuple[Image, Faces, object]] = []
    for item in read_points("68pt", folder / "dev_68pt.txt", folder / "images")[::10]:
        image = read_image(item.path)
        [faces], boxes = detector.detect([image]), find(image)
        if len(faces) and len(boxes) and len(pictures) < FACES:  # type: ignore[arg-type]
            pictures.append((image, faces[:1], boxes[0]))  # type: ignore[index]

    def each(work: Callable[[Image, Faces, object], object]) -> int:
        for picture in pictures:
            work(*picture)
        return len(pictures)

    def detected(image: Image) -> Faces:
        return detector.detect([image])[0][:1]

    works: dict[str, Callable[[Image, Faces, object], object]] = {
        "adnet-68": lambda image, faces, box: aligner.align([image], [faces], size=112),
        "dlib": lambda image, faces, box: place(image, box),
        "adnet-68, found": lambda image, faces, box: aligner.align([image], [detected(image)], size=112),
        "dlib, found": lambda image, faces, box: place(image, find(image)[0]),  # type: ignore[index]
    }
    ways: dict[str, Callable[[], int]] = {name: partial(each, work) for name, work in works.items()}
    rates = benchmark.pedantic(best, args=(ways,), rounds=1)  # type: ignore[no-untyped-call]
    keep(
        "dlib-speed",
        {
            "times_as_long": round(rates["dlib"] / rates["adnet-68"], 1),
            "times_as_long_with_detection": round(rates["dlib, found"] / rates["adnet-68, found"], 2),
            "milliseconds": {name: round(1000 / rate, 1) for name, rate in rates.items()},
            "faces": len(pictures),
            "threads": 1,
            "command": "make bench",
        },
    )
