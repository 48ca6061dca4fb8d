"""Faults planted in an embedder that is right without them, and in one of ours that tells people apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facereg.registry.installed import Registry
from facereg.registry.templates.facereg_new_name.embedder import NewStage, NewStageOptions
from facereg.roles import Embedder
from facereg.testing import EmbedderContract, face_crops, write_answers
from facereg.testing.contracts import checks_of
from facereg.types import Embeddings, FloatArray
from tests.testing.planting import Fault, look, require_caught, rows

Pixels = npt.NDArray[np.uint8]
UPRIGHT, TRAINED = "upright faces are told apart best", "vectors are those of the network that was trained"
LITTLE, DARK = "a small change changes the vector little", "dark and flat crops have a vector"
LENGTH, ALONE = "vectors have unit length", "a batch gives what each crop gives alone"
FLIP, SPACE = "flip adds the mirrored crop", "the space stays the same"
TRACE, STRIDED = "crops leave no trace in the next", "crops may be read only or strided"


class Right(NewStage):
    """The grid of colours of a new plugin; a subclass spoils it."""


def of(spoil: Callable[[Callable[[Pixels], FloatArray], Pixels], FloatArray]) -> Callable[[], Embedder]:
    """Return what makes an embedder whose vectors are spoilt."""

    class Spoilt(Right):
        def _embed(self, pixels: Pixels) -> FloatArray:
            return spoil(super()._embed, pixels)

    return Spoilt


def of_ours(change: Callable[[Pixels], npt.NDArray[np.generic]]) -> Callable[[], Embedder]:
    """Return what makes our embedder, given crops that a wrong step changed."""

    def make() -> Embedder:
        stage = Registry.load().create("mobilenetv3-arcface", role="embedder", threads=1)
        assert isinstance(stage, Embedder)
        right = stage._embed
        stage._embed = lambda pixels: right(np.ascontiguousarray(change(pixels)).astype(np.uint8))  # type: ignore[method-assign]
        return stage

    return make


def constant(right: Callable[[Pixels], FloatArray], pixels: Pixels) -> FloatArray:
    return np.ones((len(pixels), 192), np.float32)


def hashed(pixels: Pixels) -> FloatArray:
    seeds = [int.from_bytes(hashlib.sha256(crop.tobytes()).digest()[:4]) for crop in pixels]
    vectors: FloatArray = np.stack([np.random.default_rng(seed).normal(size=192) for seed in seeds]).astype(np.float32)
    return vectors


def standardised(right: Callable[[Pixels], FloatArray], pixels: Pixels) -> FloatArray:
    with np.errstate(all="ignore"):
        vectors = right(pixels)
        made: FloatArray = (vectors - vectors.mean(1, keepdims=True)) / vectors.std(1, keepdims=True)
    return made


def centred_in_batch(right: Callable[[Pixels], FloatArray], pixels: Pixels) -> FloatArray:
    vectors: FloatArray = right(pixels) - 0.5 * right(pixels).mean(0)
    return vectors


def middle(pixels: Pixels) -> Pixels:
    return np.stack([cv2.resize(crop[20:-20, 20:-20], crop.shape[:2]) for crop in pixels]).astype(np.uint8)


def first_for_all(right: Callable[[Pixels], FloatArray], pixels: Pixels) -> FloatArray:
    return right(pixels[:1]).repeat(len(pixels), 0)


def divides_by_contrast(right: Callable[[Pixels], FloatArray], pixels: Pixels) -> FloatArray:
    return right(pixels) * np.float32(1 / float(pixels.std()) > 0)


def noisy(right: Callable[[Pixels], FloatArray], pixels: Pixels) -> FloatArray:
    return right(pixels) + np.random.default_rng().normal(size=(len(pixels), 192)).astype(np.float32)


class TakesAnySize(Right):
    def embed(self, pixels: Pixels) -> Embeddings:  # type: ignore[misc]
        side = self.crop_size
        return super().embed(np.stack([cv2.resize(crop, (side, side)) for crop in pixels]).astype(np.uint8))


class VersionOfWords(Right):
    def __init__(self) -> None:
        super().__init__()
        self.version = "the first"


class VersionOfEach(Right):
    def __init__(self) -> None:
        super().__init__()
        self.version = str(id(self))


class FlipForgotten(Right):
    def __init__(self, *, flip: bool = True) -> None:
        super().__init__()


class FlipFixed(Right):
    @property
    def flip(self) -> bool:
        return False

    @flip.setter
    def flip(self, value: bool) -> None:
        pass


class SpaceOfItsOwn(Right):
    space = "constant"  # type: ignore[misc]


class NoSpace(Right):
    space = None  # type: ignore[assignment, misc]


class NoVersion(Right):
    def __init__(self) -> None:
        super().__init__()
        self.version = ""


class Growing(Right):
    calls = 0

    def _embed(self, pixels: Pixels) -> FloatArray:
        self.calls += 1
        return super()._embed(pixels) + self.calls * 0.1


class Remembers(Right):
    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[int, ...], FloatArray] = {}

    def _embed(self, pixels: Pixels) -> FloatArray:
        return self.held.setdefault(pixels.shape, super()._embed(pixels))


class Shared(Right):
    def _embed(self, pixels: Pixels) -> FloatArray:
        self.pixels = pixels
        for _ in range(30):
            pixels.astype(np.float64).sum()
        return super()._embed(self.pixels)


class InPlace(Right):
    def __init__(self) -> None:
        super().__init__(NewStageOptions(flip=False))

    def _embed(self, pixels: Pixels) -> FloatArray:
        pixels[:, :2] = 0
        return super()._embed(pixels)


class Forced(Right):
    """Writes to the array by another way."""

    def __init__(self) -> None:
        super().__init__(NewStageOptions(flip=False))

    def _embed(self, pixels: Pixels) -> FloatArray:
        import ctypes

        ctypes.memset(pixels.ctypes.data, 0, 300)
        return super()._embed(pixels)


FAULTS = (
    Fault("height and width exchanged", UPRIGHT, "exchanged", of_ours(lambda pixels: pixels.transpose(0, 2, 1, 3))),
    Fault("upside down", UPRIGHT, "upside down", of_ours(lambda pixels: pixels[:, ::-1])),
    Fault("BGR", TRAINED, "the vectors of its `answers` file", of_ours(lambda pixels: pixels[..., ::-1])),
    Fault("0..1 for -1..1", TRAINED, "`answers` file", of_ours(lambda pixels: 127.5 + pixels / 2)),
    Fault("-1..1 for 0..1", TRAINED, "`answers` file", of_ours(lambda pixels: np.clip(2.0 * pixels - 255, 0, 255))),
    Fault("grey", TRAINED, "`answers` file", of_ours(lambda pixels: pixels[..., 1:2].repeat(3, -1))),
    Fault("exchanged, beside answers", TRAINED, "`answers` file", of_ours(lambda one: one.transpose(0, 2, 1, 3))),
    Fault("everybody alike", "pictures of one person are closer than those of two", "closer", of_ours(np.zeros_like)),
    Fault("a hash of the pixels", LITTLE, "pixels differ by 2", of(lambda right, pixels: hashed(pixels))),
    Fault("NaN on dark crops", DARK, "finite vectors", of(standardised)),
    Fault("zero on black crops", DARK, "not zero", of(lambda right, pixels: pixels.mean((1, 2)).repeat(64, 1))),
    Fault("flip forgotten", FLIP, "made with flip=False", FlipForgotten),
    Fault("flip fixed", FLIP, "with flip", FlipFixed),
    Fault("a space of its own", SPACE, "no space of its own", SpaceOfItsOwn),
    Fault("no space", SPACE, "no space of its own", NoSpace),
    Fault("no version", SPACE, "expected a version", NoVersion),
    Fault("depends on the batch", ALONE, "in a batch", of(centred_in_batch)),
    Fault("state kept from call to call", TRACE, "before and after another call", Growing),
    Fault("a cache by shape", TRACE, "of a used and a new stage", Remembers),
    Fault("not thread-safe", "threads may share it", "from several threads", Shared),
    Fault("one vector for all", "different crops give different vectors", "below 0.999", of(constant)),
    Fault("writes to read-only crops", STRIDED, "read-only", InPlace),
    Fault("crops changed in place", "the crops are not changed", "100 changed pixels", Forced),
    Fault("mirrored", TRAINED, "`answers` file", of_ours(lambda pixels: pixels[:, :, ::-1])),
    Fault("the middle alone looked at", TRAINED, "`answers` file", of_ours(middle)),
    Fault("a contrast of its own", TRAINED, "`answers` file", of_ours(lambda one: 255 * (one / 255.0) ** 3)),
    Fault("a dim that lies", LENGTH, "expected vectors of shape", of(lambda right, one: right(one)[:, :100])),
    Fault("vectors of too few crops", ALONE, "expected vectors of shape", of(lambda right, one: right(one[:64])[:3])),
    Fault("a batch in reverse", ALONE, "in a batch", of(lambda right, pixels: right(pixels)[::-1])),
    Fault("the first of a batch for all", ALONE, "in a batch", of(first_for_all)),
    Fault("NaN", LENGTH, "finite vectors", of(lambda right, pixels: right(pixels) * np.float32(np.nan))),
    Fault("fails on a crop of one colour", DARK, "ZeroDivisionError", of(divides_by_contrast)),
    Fault("random vectors", TRACE, "before and after another call", of(noisy)),
    Fault("crops of another size taken", "crops of another size are refused", "got no error", TakesAnySize),
    Fault("fails without crops", "no crops give no vectors", "got ValueError", TakesAnySize),
    Fault("a version of words", SPACE, "version: expected letters", VersionOfWords),
    Fault("a version of each instance", SPACE, "one space from every instance", VersionOfEach),
)


@rows(*FAULTS)
def test_a_planted_fault_is_caught(fault: Fault) -> None:
    require_caught(EmbedderContract, fault)


@pytest.mark.parametrize("check", checks_of(EmbedderContract))
def test_without_a_fault_it_passes(check: str) -> None:
    outcome = look(EmbedderContract, Right, check.removeprefix("test_"))
    assert outcome.passed or (check.endswith("trained") and outcome.skipped), outcome


def test_answers_of_other_weights_are_no_answers(tmp_path: Path) -> None:
    class Answered(Right):
        answers = tmp_path / "answers.npz"

    with Answered() as stage:
        stage.flip = False
        vectors = stage.embed(face_crops(112)).vectors
        write_answers(tmp_path / "answers.npz", vectors, space=stage.space)
    assert look(EmbedderContract, Answered, TRAINED).passed
    write_answers(tmp_path / "answers.npz", vectors, space="another:0")
    outcome = look(EmbedderContract, Answered, TRAINED)
    assert outcome.skipped
    assert "these are other weights" in outcome.message
    write_answers(tmp_path / "answers.npz", vectors[:, ::-1], space=stage.space)
    assert look(EmbedderContract, Answered, TRAINED).failed
