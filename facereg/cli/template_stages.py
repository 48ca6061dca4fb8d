"""The stage that a new plugin begins with, one a role, as text; `$name` and `$stage` are filled in."""

from __future__ import annotations

from facereg.roles import RoleName

DETECTOR = '''\
"""Finds faces: the method to write is `_detect`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from facereg.roles import Detector
from facereg.types import Faces, FloatArray, Image

DARKEST, LIGHTEST = np.array([2, 40, 120]), np.array([18, 130, 255])  # HSV of light skin; other skin is not found
LEAST = 24  # px; narrower regions are no faces

# Where five landmarks lie in an upright face's box, as shares of its sides: eyes, nose, mouth corners.
PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


class $stage(Detector):
    """Finds upright regions of the colour of skin. Put your own detector here."""

    landmark_count = 5

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Faces:
        colours = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 2.0), cv2.COLOR_RGB2HSV)
        skin = cv2.inRange(colours, DARKEST, LIGHTEST)
        skin = cv2.morphologyEx(skin, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        regions = cv2.connectedComponentsWithStats(skin)[2][1:]  # (N, 5), without the background
        x, y, width, height, area = regions.T.astype(np.float32)
        boxes = np.stack([x, y, x + width, y + height], 1)  # (N, 4) x1 y1 x2 y2 in pixels of the image
        scores: FloatArray = area / np.maximum(width * height, 1)
        rows = np.flatnonzero((width >= LEAST) & (height >= width) & (height <= 2 * width))
        rows = rows[np.argsort(-scores[rows], kind="stable")]  # best first
        sides = boxes[rows, 2:] - boxes[rows, :2]
        landmarks = boxes[rows, None, :2] + PLACES * sides[:, None]  # (N, 5, 2)
        return Faces(boxes[rows], scores[rows], landmarks)
'''

ALIGNER = '''\
"""Turns faces into crops: the method to write is `_align`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from facereg.geometry import warp
from facereg.roles import Aligner
from facereg.types import Crops, Faces, FloatArray, Image


class $stage(Aligner):
    """Cuts out the upright square about each box. Put your own geometry here."""

    needs_landmarks = False

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int) -> Crops:
        crops: list[Image] = []
        matrices: list[FloatArray] = []
        for image, found in zip(images, faces, strict=True):
            for box in found.boxes:
                matrices.append(crop_from_box(box, size))
                crops.append(warp(image, matrices[-1], size))
        pixels = np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8)
        transforms = np.stack(matrices) if matrices else np.empty((0, 2, 3), np.float32)
        return Crops(pixels, transforms, tuple(map(len, faces)))


def crop_from_box(box: FloatArray, size: int) -> FloatArray:
    """Return the (2, 3) matrix from the square about a box (4,) to a size x size crop."""
    centre = (box[:2] + box[2:]) / 2
    scale = size / max(float((box[2:] - box[:2]).max()), 1.0)
    shift = (size - 1) / 2 - scale * centre  # pixel centres are at integers
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
'''

EMBEDDER = '''\
"""Turns crops into vectors: the method to write is `_embed`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from facereg.roles import Embedder
from facereg.types import FloatArray

CELLS = 8  # along each side of a crop


class $stage(Embedder):
    """Describes a crop by the mean colours of a grid of cells. Put your own network here."""

    crop_size = 112
    dim = CELLS * CELLS * 3
    batch_size = 64
    version = "1"  # another whenever the vectors change: old galleries are then refused

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        side = self.crop_size // CELLS
        cells = pixels.reshape(-1, CELLS, side, CELLS, side, 3).mean((2, 4))  # (B, CELLS, CELLS, 3)
        vectors: FloatArray = ((cells - 127.5) / 127.5).reshape(len(pixels), self.dim).astype(np.float32)
        return vectors
'''

MATCHER = '''\
"""Finds known people: the methods to write are `_add`, `_remove`, `_match` and `__len__`."""

from __future__ import annotations

from threading import Lock

import numpy as np
from facereg.roles import Matcher
from facereg.types import FloatArray


class $stage(Matcher):
    """Compares each probe with every vector of every person. Put your own index here.

    Args:
        threshold: cosine similarity from which a match is accepted.
    """

    def __init__(self, *, threshold: float) -> None:
        super().__init__(threshold=threshold)
        self._lock = Lock()  # threads may share a matcher
        self._people: dict[str, list[FloatArray]] = {}

    def __len__(self) -> int:
        return len(self._people)

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        with self._lock:
            for label, vector in zip(labels, vectors, strict=True):
                self._people.setdefault(label, []).append(vector)

    def _remove(self, label: str) -> int:
        with self._lock:
            return len(self._people.pop(label, []))

    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        with self._lock:
            people = {name: np.stack(vectors) for name, vectors in self._people.items()}
        if not people:
            return [()] * len(probes), np.empty((len(probes), 0), np.float32)
        names = list(people)
        best = np.stack([(probes @ vectors.T).max(1) for vectors in people.values()], 1)  # (N, people)
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        labels = [tuple(names[person] for person in row) for row in order]
        return labels, np.take_along_axis(best, order, 1)
'''

STAGES: dict[RoleName, str] = {"detector": DETECTOR, "aligner": ALIGNER, "embedder": EMBEDDER, "matcher": MATCHER}
MAKES: dict[RoleName, str] = {"detector": "", "aligner": "", "embedder": "", "matcher": "threshold=0.5"}

_REST = (
    "from facereg.registry.installed import Registry\n"
    "from facereg.roles import {kind}\n"
    "from facereg.testing import {kind}Contract"
)
IMPORTS_OF_TESTS: dict[RoleName, str] = {
    "detector": f"import numpy as np\n{_REST.format(kind='Detector')}",
    "aligner": f"import numpy as np\nimport pytest\n{_REST.format(kind='Aligner')}\nfrom facereg.types import Faces",
    "embedder": f"import numpy as np\nimport pytest\n{_REST.format(kind='Embedder')}\nfrom facereg.types import Crops",
    "matcher": f"import numpy as np\n{_REST.format(kind='Matcher')}\nfrom facereg.types import Embeddings",
}

TESTS: dict[RoleName, str] = {
    "detector": """
def test_a_grey_picture_holds_no_face() -> None:
    with $stage() as detector:
        [faces] = detector.detect([np.full((80, 80, 3), 128, np.uint8)])
    assert len(faces) == 0
""",
    "aligner": """
def test_the_corners_of_a_square_box_become_the_corners_of_the_crop() -> None:
    faces = Faces(np.array([[10.0, 20.0, 66.0, 76.0]]), np.array([0.9]))  # 56 px: enlarged twice
    with $stage() as aligner:
        crops = aligner.align([np.zeros((100, 100, 3), np.uint8)], [faces], size=112)
    assert crops.transforms[0] @ [10, 20, 1] == pytest.approx([-0.5, -0.5])
    assert crops.transforms[0] @ [66, 76, 1] == pytest.approx([111.5, 111.5])
""",
    "embedder": """
def test_a_crop_and_its_negative_are_opposite() -> None:
    crop = np.full((1, 112, 112, 3), 250, np.uint8)
    with $stage() as embedder:
        vectors = embedder.embed(Crops.from_pixels(np.concatenate([crop, 255 - crop]))).vectors
    assert float(vectors[0] @ vectors[1]) == pytest.approx(-1.0, abs=1e-5)
""",
    "matcher": """
def test_the_closest_person_comes_first() -> None:
    axes = np.eye(3, dtype=np.float32)
    with $stage(threshold=0.5) as matcher:
        matcher.add(["ada", "grace"], Embeddings(axes[:2], "a"))
        matches = matcher.match(Embeddings(np.array([[0.6, 0.8, 0.0]], np.float32), "a"))
    assert matches.labels[0] == ("grace", "ada")
""",
}
