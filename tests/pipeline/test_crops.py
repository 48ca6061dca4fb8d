"""An embedder states its crop: size and template; the pipeline cuts faces so, whoever found them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.geometry import TEMPLATE_112, similarity_from_points, transform_points
from facereg.pipeline.composer import Pipeline
from facereg.types import Crops, Faces, FloatArray, Image
from tests.fakes import PaintedDetector, PaintedEmbedder, picture

# Closer to the middle than ArcFace's, and of another form: eyes, nose, corners of the mouth.
TEMPLATE_150 = np.array([[55.5, 62.25], [93.5, 62.75], [75, 84], [59, 103.5], [90.25, 103]], np.float32)


class Far(PaintedEmbedder):
    """Was trained on crops of 150 px that show more about the face."""

    crop_size = 150
    template = TEMPLATE_150


class Watched(FivePointAligner):
    """Keeps what it was asked for and what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.faces: list[Faces] = []
        self.crops: list[Crops] = []

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        self.faces += faces
        self.crops.append(super()._align(images, faces, size, template))
        return self.crops[-1]


def placed(embedder: PaintedEmbedder) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Return the crops of two faces that a pipeline made for the embedder, and where their landmarks lie in them."""
    aligner = Watched()
    with Pipeline(PaintedDetector(), aligner, embedder) as pipeline:
        [result] = pipeline.run([picture(1, 2)])
    assert len(result.embeddings) == 2
    [crops], [faces] = aligner.crops, aligner.faces
    return crops.pixels, transform_points(faces.landmarks, crops.transforms)


def test_crops_of_150_px_have_their_landmarks_on_the_embedders_own_template() -> None:
    pixels, landmarks = placed(Far())
    assert pixels.shape == (2, 150, 150, 3)
    # the two templates are no similarity of each other: as near as least squares come, and nearer to no other
    nearest = transform_points(TEMPLATE_112, similarity_from_points(TEMPLATE_112, TEMPLATE_150))
    assert landmarks == pytest.approx(np.stack([nearest, nearest]), abs=1e-3)  # float32 of up to 224 px
    assert np.abs(landmarks - TEMPLATE_150).max() < 4.0


def test_a_template_of_the_same_form_is_met_point_for_point() -> None:
    class Turned(PaintedEmbedder):
        crop_size = 160
        template = (TEMPLATE_112 * 0.9 + np.array([30, 20])).astype(np.float32)

    pixels, landmarks = placed(Turned())
    assert pixels.shape == (2, 160, 160, 3)
    assert landmarks == pytest.approx(np.stack([Turned.template] * 2), abs=1e-3)


def test_an_embedder_that_states_a_size_alone_has_arcfaces_template_of_that_size() -> None:
    class Large(PaintedEmbedder):
        crop_size = 256

    assert Large().template == pytest.approx((TEMPLATE_112 + 0.5) * 256 / 112 - 0.5, abs=1e-3)
    assert Large().template.dtype == np.float32
    pixels, landmarks = placed(Large())
    assert pixels.shape == (2, 256, 256, 3)
    assert landmarks == pytest.approx(np.stack([Large().template] * 2), abs=1e-3)


def test_a_template_may_be_set_by_a_models_options() -> None:
    embedder = PaintedEmbedder()
    embedder.template = TEMPLATE_112 + 3
    _, landmarks = placed(embedder)
    assert landmarks == pytest.approx(np.stack([TEMPLATE_112 + 3] * 2), abs=1e-3)
