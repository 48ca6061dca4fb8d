"""MTCNN against facenet-pytorch 2.6.0: same weights, same pictures, one thread each, in one run, in turn.

The mixed batch is what facenet-pytorch cannot do: it takes pictures of one size, so there it goes one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measuring import TURNS, best
from facereg.folders.walking import find_images
from facereg.images import read_image
from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.types import Image

torch = pytest.importorskip("torch")
facenet_pytorch = pytest.importorskip("facenet_pytorch")


@pytest.fixture(scope="module")
def images(face_data: Path) -> list[Image]:
    crowds = find_images([face_data / "faces-in-crowds" / "images"])[::75][:8]
    portraits = find_images([face_data / "celeba-wild" / "identities"])[::100][:8]
    mixed = [path for pair in zip(crowds, portraits, strict=True) for path in pair]
    return [read_image(path) for path in mixed]


@pytest.fixture(scope="module")
def ours(reference_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    from facereg_mtcnn.publish import convert_published

    folder = tmp_path_factory.mktemp("published")
    convert_published(reference_weights, folder)
    with Registry.load().create("mtcnn", role="detector", weights=folder, threads=1) as detector:
        assert isinstance(detector, Detector)
        yield detector


@pytest.fixture(scope="module")
def theirs() -> Callable[[list[Image]], list[object]]:
    torch.set_num_threads(1)
    peer = facenet_pytorch.MTCNN(keep_all=True)

    def detect(images: list[Image]) -> list[object]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [peer.detect(image, landmarks=True) for image in images]

    return detect


@pytest.mark.benchmark(group="mtcnn")
def test_mtcnn_against_facenet_pytorch(
    benchmark: BenchmarkFixture,
    ours: Detector,
    theirs: Callable[[list[Image]], list[object]],
    images: list[Image],
    keep: Callable[[str, dict[str, object]], None],
) -> None:
    ways: dict[str, Callable[[], int]] = {
        "ours, one": lambda: len([ours.detect([image]) for image in images]),
        "ours, batch": lambda: len(ours.detect(images)),
        "theirs": lambda: len(theirs(images)),
    }
    for way in ways.values():  # warm
        way()
    rates = benchmark.pedantic(best, args=(ways,), kwargs={"rounds": TURNS}, rounds=1)  # type: ignore[no-untyped-call]
    figures = {
        "ratio_one": round(rates["ours, one"] / rates["theirs"], 2),
        "ratio_batch": round(rates["ours, batch"] / rates["theirs"], 2),
        "pictures_per_second": {name: round(value, 2) for name, value in rates.items()},
        "pictures": len(images),
        "threads": 1,
        "command": "make bench",
    }
    benchmark.extra_info.update(figures)
    keep("mtcnn-speed", figures)
