"""Detectors lead to the same person: their landmarks are near enough for the embedder."""

from __future__ import annotations

import pytest

from facereg import Pipeline
from facereg.testing.pictures import photograph


def test_a_face_found_by_two_detectors_is_one_person() -> None:
    image = photograph()
    if image is None:
        pytest.skip("the photograph needs scikit-image")
    vectors = []
    for name in ("yolov5s-face", "mtcnn"):
        with Pipeline.create(detector=name) as pipeline:
            [result] = pipeline.run([image])
        vectors.append(result.embeddings.vectors[0])  # faces come best first
    assert float(vectors[0] @ vectors[1]) > 0.7
