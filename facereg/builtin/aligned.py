"""A detector for pictures that are crops already: the whole picture is the face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facereg.geometry import template
from facereg.roles import Detector
from facereg.types import Faces, Image


class AlignedDetector(Detector):
    """Takes each picture for one face, aligned to ArcFace's template as MS1M's and `.bin` sets are.

    Its five points are the template's, scaled to the picture: an embedder of ArcFace's crop gets the very pixels, and
    one of another crop what its own template cuts out of them. A picture that is not square is no such crop, and has no
    face.
    """

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = []
        for image in images:
            height, width = image.shape[:2]
            if height != width:
                found.append(Faces.empty())
                continue
            box = np.array([[0, 0, width - 1, height - 1]], np.float32)
            found.append(Faces(box, np.ones(1, np.float32), template(width)[None]))
        return found
