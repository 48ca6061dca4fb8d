"""The four roles. A plugin subclasses one and writes its underscore method.

The public methods are final: they own what every model needs once (checks, batching, unit length,
closing). A stage never calls another stage; only the pipeline knows all four.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError, SpaceMismatchError
from facereg.networks.runner import Networks
from facereg.stage import RoleName as RoleName
from facereg.stage import Stage as Stage
from facereg.types import Crops, Embeddings, Faces, FloatArray, Image, Matches, check_images, check_pixels


class Detector(Stage):
    """Finds faces. A subclass writes `_detect` and states `landmark_count`."""

    role: ClassVar[RoleName] = "detector"
    landmark_count: ClassVar[int] = 5  # 0 where the detector gives none

    @final
    def detect(self, images: Sequence[Image]) -> list[Faces]:
        """Return the faces of each image, in the order of the images, which may be of any sizes.

        Args:
            images: uint8 (H, W, 3) RGB arrays; an empty list gives an empty list.
        Raises:
            ContractError: if an image is not such an array; no image is worked on then.
        """
        checked = check_images(images, call="detector.detect")
        if not checked:
            return []
        with self._named():
            found = list(islice(self._detect(checked), len(checked) + 1))  # a generator may have no end
        if len(found) != len(checked):
            raise ContractError(f"{self.name}: expected {len(checked)} results, got {len(found)}")
        for index, faces in enumerate(found):
            if not isinstance(faces, Faces):
                raise ContractError(f"{self.name}: expected Faces for images[{index}], got {type(faces).__name__}")
        return found

    @abstractmethod
    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        """Return one `Faces` for each image; the images are checked already."""


class Aligner(Stage):
    """Turns faces into crops of one geometry. A subclass writes `_align`."""

    role: ClassVar[RoleName] = "aligner"
    needs_landmarks: ClassVar[bool] = True  # whether it wants the detector's five points

    @final
    def align(
        self, images: Sequence[Image], faces: Sequence[Faces], *, size: int, template: FloatArray | None = None
    ) -> Crops:
        """Return the crops of all faces of all images, (N, size, size, 3), in order, but for those refused.

        Args:
            size, template: of the crop, as the embedder states them: `crop_size` and `template`, (5, 2) xy in pixels
                of the crop; None is ArcFace's.
        Raises:
            ContractError: if there are not as many `Faces` as images, landmarks are needed and missing, or the model
                gives crops that are not those of the faces, or the template is none.
        """
        from facereg import geometry  # here: listing models must not wait for OpenCV

        target = geometry.template(size) if template is None else geometry.require_template(template, size=size)
        if len(images) != len(faces):
            raise ContractError(f"faces: expected one Faces for each of {len(images)} images, got {len(faces)}")
        images = check_images(images, call="aligner.align")
        for found in faces:
            if self.needs_landmarks and len(found) and found.landmarks.shape[1] != 5:
                raise ContractError(
                    f"{type(self).__name__}: expected 5 landmarks a face, got {found.landmarks.shape[1]}; "
                    "use a detector with landmarks, or an aligner that finds its own"
                )
        with self._named():
            crops = self._align(images, faces, size, target)
        if not isinstance(crops, Crops):
            raise ContractError(f"{self.name}: expected Crops, got {type(crops).__name__}")
        crops.require_faces([len(found) for found in faces], model=self.name)
        if crops.pixels.shape[1] != size:
            raise ContractError(f"{self.name}: expected crops of {size} px, got {crops.pixels.shape[1]} px")
        return crops

    @abstractmethod
    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        """Return the crops, landmarks on the template (5, 2) where it uses them; the arguments are checked already.

        A face that cannot be aligned well may be refused: `Crops.refused` says which, and why.
        """


class Embedder(Stage):
    """Turns crops into unit vectors. A subclass writes `_embed` and states its crop (size, template).

    Args:
        networks: the networks it declared.
        flip: add the vector of the mirrored crop before scaling to unit length, as LFW scores are
            usually given (facts: InsightFace's verification does so); twice the work.
    """

    role: ClassVar[RoleName] = "embedder"
    crop_size: int = 112
    dim: int = 128
    batch_size: int = 64  # crops of one call of `_embed`; set to what the networks take at once, where it has some
    version: str = ""  # needed without networks; another whenever the vectors change though the weights do not
    answers: Path | None = None  # the network's own vectors of known crops, see facereg.testing.write_answers

    def __init__(self, networks: Networks | None = None, *, flip: bool = True) -> None:
        super().__init__(networks)
        self.flip = flip
        if self.networks.specs:
            self.batch_size = min(spec.max_batch for spec in self.networks.specs.values())

    @cached_property
    def template(self) -> FloatArray:
        """Return where the five landmarks lie in a crop: (5, 2) float32 xy in its pixels.

        ArcFace's, scaled to `crop_size`; a model that was trained on others states its own, as `crop_size` is stated.
        """
        from facereg.geometry import template

        return template(self.crop_size)

    @final
    @property
    def space(self) -> str:
        """Name the model, its weights and its version; equal strings promise comparable vectors.

        Raises:
            ContractError: if there is neither a network nor a version to tell its vectors from those of tomorrow.
        """
        weights = [self.networks.fingerprint[:12]] if self.networks.specs else []
        if not isinstance(self.version, str) or not re.fullmatch("[A-Za-z0-9._-]*", self.version):
            raise ContractError(
                f"{self.name}: version: expected letters, digits, '.', '_' or '-', got {self.version!r}"
            )
        if not weights and not self.version:
            raise ContractError(f'{self.name}: expected a version, as it has no networks; write version = "1"')
        model = self.name.partition(":")[0]  # a tag says no more than the weights do
        return ":".join([model, *weights, *filter(None, [self.version])])

    @final
    def embed(self, pixels: npt.NDArray[np.uint8]) -> Embeddings:
        """Return one unit vector for each crop, embedded in full batches.

        Args:
            pixels: (N, S, S, 3) uint8 RGB, S = `crop_size`, aligned to `template`; as in `Crops.pixels`.
        Raises:
            ContractError: if the pixels are anything else, or the model gives a zero vector.
        """
        pixels = check_pixels(pixels, size=self.crop_size)
        if len(pixels) == 0:
            return Embeddings(np.empty((0, self.dim), np.float32), self.space)
        vectors = self._batched(pixels)
        if self.flip:
            vectors = vectors + self._batched(pixels[:, :, ::-1])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths < 1e-12).any():
            raise ContractError(f"{self.name}: expected finite vectors that are not zero; check the weights")
        return Embeddings(vectors / lengths, self.space)

    def _batched(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        with self._named():
            parts = [
                self._embed(np.ascontiguousarray(pixels[start : start + self.batch_size]))
                for start in range(0, len(pixels), self.batch_size)
            ]
            vectors = np.concatenate(parts).astype(np.float32, copy=False)
        if vectors.shape != (len(pixels), self.dim):
            raise ContractError(
                f"{self.name}: expected vectors of shape {(len(pixels), self.dim)}, got {vectors.shape}"
            )
        return vectors

    @abstractmethod
    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        """Return (B, D) float32 for (B, S, S, 3) uint8 RGB; length does not matter."""


class Matcher(Stage):
    """Finds the known people closest to a probe. A subclass writes `_add`, `_remove` and `_match`."""

    role: ClassVar[RoleName] = "matcher"
    recall: float = 1.0  # share of the closest people that it finds; below 1 for an approximate index
    # set here, also where a subclass forgets to call our __init__
    space: str | None = None  # by the first embeddings added
    kept_from: int = 0  # vectors: of fewer it is filled anew sooner than opened, see `kept_as`
    changes: int = 0  # how often people were added or removed: what is remembered of matches may be out of date
    _dim = 0
    _followed: tuple[Callable[[Matcher], None], ...] = ()
    _turn: AbstractContextManager[object] = nullcontext()

    def __init__(self, *, threshold: float) -> None:
        super().__init__(None)
        self.threshold = threshold

    @property
    def threshold(self) -> float:
        """Return the cosine similarity from which a match is accepted.

        Raises:
            ContractError: where it is set to what is no cosine.
        """
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not -1.0 <= value <= 1.0:
            raise ContractError(f"threshold: expected a cosine similarity in -1..1, got {value}")
        self._threshold = float(value)

    @final
    def add(self, labels: Sequence[str], embeddings: Embeddings) -> None:
        """Add one vector a label; a label may come several times.

        Raises:
            ContractError: if there are not as many labels as vectors.
            SpaceMismatchError: if the vectors are of another space than those held, or of another length.
        """
        if len(labels) != len(embeddings):
            raise ContractError(f"labels: expected one for each of {len(embeddings)} vectors, got {len(labels)}")
        self._require_like(embeddings)
        with self._named():
            self._add([str(label) for label in labels], embeddings.vectors)
        self.space = embeddings.space
        self._dim = embeddings.vectors.shape[1] if len(embeddings) else self._dim
        self.changes += 1

    @final
    def remove(self, label: str) -> int:
        """Forget a person; return how many vectors were held."""
        self.changes += 1
        with self._named():
            return self._remove(label)

    @final
    def follow(self, bring_up: Callable[[Matcher], None]) -> None:
        """Call `bring_up(self)` before each match: whoever filled the matcher keeps it as its source is.

        Matching goes one call at a time from then on: nobody is compared with people half brought up.
        """
        if not self._followed:
            self._turn = RLock()
        self._followed = (*self._followed, bring_up)

    @final
    def match(self, probes: Embeddings, *, k: int = 5) -> Matches:
        """Return the k closest people of each probe (fewer where fewer are known).

        Similarity to a person is the cosine to the mean of that person's vectors, or the largest over them: the
        matcher says which.

        Raises:
            ContractError: if k < 1.
            SpaceMismatchError: if the probes are of another space than the people held, or of another length.
            FaceregError: what bringing the people up to their source raises, see `follow`.
        """
        if k < 1:
            raise ContractError(f"k: expected at least 1, got {k}")
        with self._turn:
            for bring_up in self._followed:
                bring_up(self)
            self._require_like(probes)
            with self._named():
                labels, similarities = self._match(probes.vectors, k)
            changes = self.changes
        best = similarities[:, 0] if similarities.shape[1] else np.full(len(probes), -np.inf, np.float32)
        return Matches(labels, similarities, best >= self.threshold, self.threshold, changes)

    @property
    def kept_as(self) -> str:
        """Name what it can be kept as beside a gallery: itself and the settings that shape what it holds.

        Letters, digits and '-'; empty where it cannot be kept.
        """
        return ""

    @final
    def save(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return all that it holds as arrays, by names, for `load` of a matcher that is kept as the same."""
        with self._named():
            return self._save()

    @final
    def load(self, arrays: Mapping[str, npt.NDArray[Any]], space: str) -> None:
        """Take up what `save` gave, in place of what it holds; the arrays may lie on the disk and are not written to.

        Args:
            space: of the vectors.
        """
        with self._named():
            self._dim = self._load(arrays)
        self.space = space
        self.changes += 1

    def _save(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return all that is held; to be written with `_load` by a matcher that states `kept_as`."""
        raise NotImplementedError(f"{type(self).__name__}: write _save, or leave kept_as empty")

    def _load(self, arrays: Mapping[str, npt.NDArray[Any]]) -> int:
        """Take up what `_save` gave; return of how many numbers the vectors are, 0 where there is none."""
        raise NotImplementedError(f"{type(self).__name__}: write _load, or leave kept_as empty")

    def _require_like(self, embeddings: Embeddings) -> None:
        """Raise SpaceMismatchError unless the embeddings can be compared with those held."""
        if self.space is not None:
            embeddings.require_space(self.space)
        if self._dim and len(embeddings) and embeddings.vectors.shape[1] != self._dim:
            raise SpaceMismatchError(
                f"expected vectors of {self._dim} numbers as those held, got {embeddings.vectors.shape[1]}; "
                "they come from another embedder"
            )

    @property
    def vectors_compared(self) -> int:
        """Return how many chances a stranger has: the vectors that a probe is compared with, here one a person."""
        return len(self)

    @abstractmethod
    def __len__(self) -> int:
        """Return how many people are known."""

    @abstractmethod
    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        """Hold the vectors."""

    @abstractmethod
    def _remove(self, label: str) -> int:
        """Forget the vectors of a label; return how many."""

    @abstractmethod
    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        """Return names and similarities (N, min(k, people)), descending, one entry a person."""
