"""Every detector that finds landmarks leads to the same person."""

from __future__ import annotations

import pytest

from facereg import Pipeline
from facereg.testing.pictures import photograph


@pytest.mark.parametrize("detector", ["yolov5s-face"])
def test_a_face_found_by_another_detector_is_the_same_person(detector: str) -> None:
    image = photograph()
    if image is None:
        pytest.skip("the photograph needs scikit-image")
    vectors = []
    for name in (detector, "mtcnn"):
        with Pipeline.create(detector=name) as pipeline:
            [result] = pipeline.run([image])
        vectors.append(result.embeddings.vectors[int(result.faces.scores.argmax())])
    assert float(vectors[0] @ vectors[1]) > 0.7
