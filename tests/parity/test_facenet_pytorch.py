"""With the published weights ours finds the faces that facenet-pytorch 2.6.0 finds, on 200 real pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facereg.folders.walking import find_images
from facereg.geometry import box_overlap
from facereg.images import read_image
from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.types import FloatArray, Image

pytest.importorskip("torch")
facenet_pytorch = pytest.importorskip("facenet_pytorch")
pytestmark = [pytest.mark.data, pytest.mark.weights, pytest.mark.train]
PICTURES = 200


@pytest.fixture(scope="module")
def pictures(face_data: Path) -> list[Path]:
    crowds = find_images([face_data / "faces-in-crowds" / "images"])
    portraits = find_images([face_data / "celeba-wild" / "identities"])
    return [*crowds[:: len(crowds) // 100][:100], *portraits[:: len(portraits) // 100][:100]]


@pytest.fixture(scope="module")
def ours(reference_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    from facereg_mtcnn.publish import convert_published

    folder = tmp_path_factory.mktemp("published")
    convert_published(reference_weights, folder)
    with Registry.load().create("mtcnn", role="detector", weights=folder) as detector:
        assert isinstance(detector, Detector)
        yield detector


def theirs(image: Image, peer: object) -> tuple[FloatArray, FloatArray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own use of torch and NumPy
        boxes, _, points = peer.detect(image, landmarks=True)  # type: ignore[attr-defined]
    if boxes is None:
        return np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32)
    return boxes.astype(np.float32), points.astype(np.float32)


def test_the_same_faces_on_real_pictures(pictures: list[Path], ours: Detector) -> None:
    assert len(pictures) == PICTURES
    peer = facenet_pytorch.MTCNN(keep_all=True)
    faces = 0
    for start in range(0, PICTURES, 16):
        images = [read_image(path) for path in pictures[start : start + 16]]
        for path, image, found in zip(pictures[start:], images, ours.detect(images), strict=False):
            boxes, points = theirs(image, peer)
            assert len(found) == len(boxes), path.name
            faces += len(boxes)
            if len(boxes) == 0:
                continue
            overlap = box_overlap(found.boxes, boxes)
            partner = overlap.argmax(1)
            assert len(set(partner.tolist())) == len(boxes), path.name
            assert overlap.max(1).min() >= 0.99, path.name
            assert np.abs(found.landmarks - points[partner]).max() <= 0.5, path.name
    assert faces > 300
