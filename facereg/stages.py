"""The four stages as a pipeline calls them, each call counted; and what comes out for an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError
from facereg.interfaces import Aligner, Detector, Embedder, Matcher
from facereg.observability import PipelineMetrics
from facereg.types import Crops, Embeddings, Faces, Image, Matches


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was found in one image; row i of each is the same face. `matches` is None without a matcher."""

    faces: Faces
    embeddings: Embeddings
    matches: Matches | None


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """The stages a flow runs, and where their calls are counted."""

    detector: Detector
    aligner: Aligner
    embedder: Embedder
    matcher: Matcher | None
    metrics: PipelineMetrics

    def find(self, images: Sequence[Image]) -> tuple[list[Faces], Crops]:
        """Return the faces of each image and the crops of all of them."""
        with self.metrics.call(self.detector, len(images)):
            found = self.detector.detect(images)
        with self.metrics.call(self.aligner, len(images)):
            crops = self.aligner.align(images, found, size=self.embedder.crop_size)
        if len(crops.counts) != len(images):
            raise ContractError(
                f"{type(self.aligner).__name__}: expected counts of {len(images)} images, got {len(crops.counts)}"
            )
        return found, crops

    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embeddings:
        """Return the vectors of (N, S, S, 3) crops, at most a batch."""
        with self.metrics.call(self.embedder, len(pixels)):
            return self.embedder.embed(Crops.from_pixels(pixels))

    def match(self, embeddings: Embeddings) -> Matches | None:
        """Return who the faces of one image are."""
        if self.matcher is None:
            return None
        with self.metrics.call(self.matcher, len(embeddings)):
            return self.matcher.match(embeddings)
