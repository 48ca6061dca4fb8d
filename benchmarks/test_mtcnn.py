"""MTCNN against facenet-pytorch 2.6.0: same weights, same pictures, one thread each, in one run.

The mixed batch is what facenet-pytorch cannot do: it takes pictures of one size, so there it goes one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from facereg.images import find_images, read_image
from facereg.interfaces import Detector
from facereg.registry import Registry
from facereg.types import Image

torch = pytest.importorskip("torch")
facenet_pytorch = pytest.importorskip("facenet_pytorch")
ROUNDS = 5
BEST: dict[str, float] = {}  # seconds of the quickest round: the least disturbed one


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


def measure(benchmark: BenchmarkFixture, name: str, call: Callable[[], object]) -> None:
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    BEST[name] = float(benchmark.stats.stats.min)


@pytest.mark.benchmark(group="one picture at a time")
def test_ours_one_by_one(benchmark: BenchmarkFixture, ours: Detector, images: list[Image]) -> None:
    measure(benchmark, "ours, one", lambda: [ours.detect([image]) for image in images])


@pytest.mark.benchmark(group="one picture at a time")
def test_facenet_pytorch_one_by_one(
    benchmark: BenchmarkFixture, theirs: Callable[[list[Image]], list[object]], images: list[Image]
) -> None:
    measure(benchmark, "theirs", lambda: theirs(images))


@pytest.mark.benchmark(group="sixteen of mixed sizes")
def test_ours_in_a_batch(
    benchmark: BenchmarkFixture,
    ours: Detector,
    images: list[Image],
    keep: Callable[[str, dict[str, object]], None],
) -> None:
    measure(benchmark, "ours, batch", lambda: ours.detect(images))
    if "theirs" in BEST:
        keep(
            "mtcnn-speed",
            {
                "ratio_one": round(BEST["theirs"] / BEST["ours, one"], 2),
                "ratio_batch": round(BEST["theirs"] / BEST["ours, batch"], 2),
                "seconds": {name: round(seconds, 4) for name, seconds in BEST.items()},
                "pictures": len(images),
                "threads": 1,
                "command": "make bench",
            },
        )
