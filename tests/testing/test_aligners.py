"""Faults planted in an aligner that is right without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.geometry import template as arcface
from facereg.geometry import transform_points, warp
from facereg.registry.templates.facereg_new_name.aligner import NewStage
from facereg.roles import Aligner
from facereg.testing import AlignerContract
from facereg.testing.contracts import checks_of
from facereg.types import Crops, Faces, FloatArray, Image
from tests.testing.planting import Fault, look, require_caught, rows

CUT, UPRIGHT = "the crop is what its transform cuts out", "an upright face is upright in the middle of its crop"
AREA, BLURRED = "a face of no area harms no other", "a blurred face is cropped or refused with a reason"
NEEDS, EDGE = "it needs landmarks if it says so", "a face over the edge is cropped or refused"
TEMPLATE, ORDER = "landmarks come to lie on the template", "each face gives one crop in order"
LANDMARKS, TRACE = "landmarks are those of the picture", "a picture leaves no trace in the next"
Spoil = Callable[[Crops, Sequence[Image], Sequence[Faces]], Crops]


class Right(Aligner):
    """The five-point aligner; `spoil` has the last word."""

    def __init__(self, spoil: Spoil) -> None:
        super().__init__()
        self._right, self._spoil = FivePointAligner(), spoil

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        return self._spoil(self._right._align(images, faces, size, template), images, faces)


class OwnTemplate(Right):
    """Maps faces to ArcFace's template, whatever the embedder was trained on."""

    def __init__(self) -> None:
        super().__init__(lambda crops, images, faces: crops)

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        return super()._align(images, faces, size, arcface(size))


class NeedsNone(Right):
    needs_landmarks = False


class BoxesAlone(NewStage):
    """Says that it needs landmarks, and looks at none."""

    needs_landmarks = True


class Shared(Right):
    """Keeps the faces that it works on in an attribute, which another thread replaces."""

    def __init__(self) -> None:
        super().__init__(lambda crops, images, faces: crops)

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        self.faces = faces
        for image in images:
            cv2.GaussianBlur(image, (0, 0), 2.0)
        return super()._align(images, self.faces, size, template)


class Sliced(NewStage):
    """Cuts boxes out as slices, which fail where they are empty."""

    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        for image, found in zip(images, faces, strict=True):
            for x1, y1, x2, y2 in found.boxes.astype(int):
                cv2.resize(image[y1:y2, x1:x2], (size, size))
        return super()._align(images, faces, size, template)


def pixels(change: Callable[[Image], Image]) -> Spoil:
    """Change the pixels of crops, and leave the transforms as they are."""
    return lambda crops, images, faces: replace(crops, pixels=np.ascontiguousarray(change(crops.pixels)))


def transforms(change: Callable[[FloatArray], FloatArray]) -> Spoil:
    """Change the transforms of crops, and leave the pixels as they are."""
    return lambda crops, images, faces: replace(crops, transforms=change(crops.transforms.copy()))


def both(in_crop: Callable[[int], list[list[float]]]) -> Spoil:
    """Move faces in their crops, in pixels and transforms alike."""

    def spoil(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
        size = crops.pixels.shape[1]
        moves = np.array([*in_crop(size), [0, 0, 1]])
        wide = np.concatenate([crops.transforms, np.tile([[[0.0, 0.0, 1.0]]], (len(crops), 1, 1))], 1)
        changed = (moves @ wide)[:, :2].astype(np.float32)
        owners = [image for image, count in zip(images, crops.counts, strict=True) for _ in range(count)]
        cut = [warp(image, matrix, size) for image, matrix in zip(owners, changed, strict=True)]
        return replace(crops, transforms=changed, pixels=np.stack(cut) if cut else crops.pixels)

    return spoil


def inverse(matrices: FloatArray) -> FloatArray:
    return np.array([cv2.invertAffineTransform(one) for one in matrices], np.float32).reshape(-1, 2, 3)


def one_for_all(crop: Image) -> Image:
    return np.repeat(crop[:1], len(crop), 0) if len(crop) else crop


def turned(degrees: float) -> Callable[[int], list[list[float]]]:
    return lambda size: cv2.getRotationMatrix2D((size / 2, size / 2), degrees, 1.0).tolist()


def without(bad: Callable[[Image], bool]) -> Spoil:
    """Leave faces out, without a word."""

    def spoil(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
        good = np.array([not bad(crop) for crop in crops.pixels], bool)
        ends = np.cumsum(crops.counts)
        counts = tuple(int(good[end - n : end].sum()) for n, end in zip(crops.counts, ends, strict=True))
        return Crops(crops.pixels[good], crops.transforms[good], counts)

    return spoil


def refuse_all(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
    refused = ("not good enough",) * len(crops)
    return Crops(crops.pixels[:0], crops.transforms[:0], (0,) * len(images), refused=refused)


def of_the_first_picture(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
    size = crops.pixels.shape[1]
    return replace(crops, pixels=np.array([warp(images[0], one, size) for one in crops.transforms]).astype(np.uint8))


def halved(matrices: FloatArray) -> FloatArray:
    return matrices * np.array([2, 2, 1], np.float32)


def with_landmarks(change: Callable[[FloatArray, Crops], FloatArray]) -> Spoil:
    """Give the five points along, wrong."""

    def spoil(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
        if not len(crops):
            return crops
        points = np.concatenate([found.landmarks for found in faces])
        kept = [row for row, reason in enumerate(crops.refused or [""] * len(points)) if not reason]
        return replace(crops, landmarks=change(points[kept], crops))

    return spoil


def in_crop(points: FloatArray, crops: Crops) -> FloatArray:
    return np.stack([transform_points(five, one) for five, one in zip(points, crops.transforms, strict=True)])


def of_the_next(points: FloatArray, crops: Crops) -> FloatArray:
    return np.roll(points, 1, 0)


def needs_faces(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
    for found in faces:
        found.boxes.max()  # of nothing
    return crops


def recounted(crops: Crops) -> Crops:
    return replace(crops, counts=crops.counts[::-1])


def jittered(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
    shift = int(np.random.default_rng().integers(1, 50))
    return replace(crops, pixels=np.roll(crops.pixels, shift, 1))


def painted(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
    for image in images:
        image[:4, :4] = 0
    return crops


def first_remembered() -> Aligner:
    held: dict[tuple[int, ...], Crops] = {}
    return Right(lambda crops, images, faces: held.setdefault((*crops.pixels.shape, *images[0].shape), crops))


def strict(crops: Crops, images: Sequence[Image], faces: Sequence[Faces]) -> Crops:
    if not all(image.flags.c_contiguous for image in images):
        raise ValueError("ndarray is not C-contiguous")
    return crops


def spoilt(spoil: Spoil, kind: type[Right] = Right) -> Callable[[], Aligner]:
    return lambda: kind(spoil)


class RaisesOnNoArea(Right):
    def _align(self, images: Sequence[Image], faces: Sequence[Faces], size: int, template: FloatArray) -> Crops:
        for found in faces:
            if (found.boxes[:, 2:] <= found.boxes[:, :2]).any():
                raise ZeroDivisionError("float division by zero")
        return super()._align(images, faces, size, template)


FAULTS = (
    Fault("pixels upside down", CUT, "a mean difference", spoilt(pixels(lambda crop: crop[:, ::-1]))),
    Fault("pixels mirrored", CUT, "a mean difference", spoilt(pixels(lambda crop: crop[:, :, ::-1]))),
    Fault("pixels turned", CUT, "a mean difference", spoilt(pixels(lambda crop: crop.transpose(0, 2, 1, 3)))),
    Fault("pixels in BGR", CUT, "a mean difference", spoilt(pixels(lambda crop: crop[..., ::-1]))),
    Fault("pixels black", CUT, "a mean difference", spoilt(pixels(np.zeros_like))),
    Fault("pixels shifted", CUT, "a mean difference", spoilt(pixels(lambda crop: np.roll(crop, 6, 2)))),
    Fault("one crop for all", CUT, "a mean difference", spoilt(pixels(one_for_all))),
    Fault("inverse transforms", CUT, "a mean difference", spoilt(transforms(inverse))),
    Fault("zero transforms", CUT, "a mean difference", spoilt(transforms(np.zeros_like))),
    Fault("transforms of another face", CUT, "a mean difference", spoilt(transforms(lambda one: one[::-1]))),
    Fault("faces upside down", UPRIGHT, "turned by at most", spoilt(both(turned(180)))),
    Fault("faces turned", UPRIGHT, "turned by at most", spoilt(both(turned(90)))),
    Fault("faces turned a little", UPRIGHT, "turned by at most", spoilt(both(turned(40)))),
    Fault("faces mirrored", UPRIGHT, "turned by at most", spoilt(both(lambda size: [[-1, 0, size - 1], [0, 1, 0]]))),
    Fault("faces shifted", UPRIGHT, "the middle of the face", spoilt(both(lambda size: [[1, 0, size / 4], [0, 1, 0]]))),
    Fault(
        "faces too small", UPRIGHT, "eyes apart", spoilt(both(lambda size: [[0.4, 0, size / 3], [0, 0.4, size / 3]]))
    ),
    Fault(
        "faces too large", UPRIGHT, "eyes apart", spoilt(both(lambda size: [[2.4, 0, -0.7 * size], [0, 2.4, -size]]))
    ),
    Fault("a template of its own", TEMPLATE, "points within 0.05", OwnTemplate),
    Fault("fails over the edge", EDGE, "got PluginError", Sliced),
    Fault("fails on a box of no area", AREA, "division by zero", lambda: RaisesOnNoArea(lambda crops, *_: crops)),
    Fault("leaves out blurred faces", BLURRED, "says so in refused", spoilt(without(lambda crop: crop.std() <= 45))),
    Fault("needs landmarks and denies it", NEEDS, "expected an answer", spoilt(lambda crops, *_: crops, NeedsNone)),
    Fault("needs none and asks for them", NEEDS, "it needs none", BoxesAlone),
    Fault("not thread-safe", "threads may share it", "got", Shared),
    Fault("the picture is changed", "the picture is not changed", "16 changed pixels", spoilt(painted)),
    Fault("writes to a read-only picture", "pictures may be read only or strided", "read-only", spoilt(painted)),
    Fault("strided pictures refused", "pictures may be read only or strided", "not C-contiguous", spoilt(strict)),
    Fault("a cache by shape", TRACE, "as from a new aligner", first_remembered),
    Fault(
        "ignores the size",
        "the size asked for is the size given",
        "expected crops of",
        spoilt(lambda crops, *_: replace(crops, pixels=crops.pixels[:, :64, :64])),
    ),
    Fault(
        "crops in another order",
        ORDER,
        "in a batch as alone",
        spoilt(lambda crops, *_: replace(crops, pixels=crops.pixels[::-1])),
    ),
    Fault("pixels dark", CUT, "a mean difference", spoilt(pixels(lambda crop: crop // 2))),
    Fault("pixels grey", CUT, "a mean difference", spoilt(pixels(lambda crop: crop[..., 1:2].repeat(3, -1)))),
    Fault("faces cut out of another picture", CUT, "a mean difference", spoilt(of_the_first_picture)),
    Fault("transforms of a picture of half the size", CUT, "a mean difference", spoilt(transforms(halved))),
    Fault("every face refused", CUT, "crops of clear, upright faces", spoilt(refuse_all)),
    Fault("faces stretched", TEMPLATE, "points within 0.05", spoilt(both(lambda size: [[1, 0, 0], [0, 0.7, 10]]))),
    Fault("landmarks in pixels of the crop", LANDMARKS, "in pixels of the picture", spoilt(with_landmarks(in_crop))),
    Fault("landmarks of another face", LANDMARKS, "in pixels of the picture", spoilt(with_landmarks(of_the_next))),
    Fault("fails where a picture has no face", ORDER, "got PluginError", spoilt(needs_faces)),
    Fault("fails without faces", "no faces give no crops", "got PluginError", spoilt(needs_faces)),
    Fault("counts of another order", ORDER, "expected crops of", spoilt(lambda crops, *_: recounted(crops))),
    Fault("leaves out dark faces", BLURRED, "says so in refused", spoilt(without(lambda crop: crop.mean() < 30))),
    Fault("random crops", TRACE, "pixels of crops", spoilt(jittered)),
)


@rows(*FAULTS)
def test_a_planted_fault_is_caught(fault: Fault) -> None:
    require_caught(AlignerContract, fault)


@pytest.mark.parametrize("check", checks_of(AlignerContract))
@pytest.mark.parametrize(
    ("make", "lacks"),
    [
        (FivePointAligner, "it gives no landmarks of its own"),
        (NewStage, "it gives no landmarks of its own; it needs no landmarks, and so may cut by the box"),
        (spoilt(with_landmarks(lambda points, crops: points)), "nothing"),
    ],
    ids=["five-point", "of-boxes", "with-landmarks"],
)
def test_without_a_fault_it_passes(make: Callable[[], Aligner], lacks: str, check: str) -> None:
    outcome = look(AlignerContract, make, check.removeprefix("test_"))
    assert outcome.passed or (outcome.skipped and outcome.message in lacks), outcome
