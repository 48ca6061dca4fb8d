"""Faults planted in a detector that is right without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facereg.errors import ContractError
from facereg.geometry import box_overlap
from facereg.registry.templates.facereg_new_name.detector import NewStage
from facereg.roles import Detector
from facereg.testing import DetectorContract
from facereg.testing.contracts import checks_of
from facereg.testing.pictures import portraits
from facereg.types import Faces, FloatArray, Image
from tests.testing.planting import Fault, look, require_caught, rows

Find = Callable[[Image], Faces]
PHOTOGRAPH, SIZES = "it finds the face of a photograph", "it finds the face in other sizes and places"
NO_FACE, ALONE = "where no face is few are found", "a batch gives what each image gives alone"
SCORES, BOTH = "scores lie between 0 and 1", "it finds both faces of a picture"
ANY_SIZE, TWICE = "images of any size give one result each", "twice the same image gives the same faces"
STRIDED, FLOATS = "pictures may be read only or strided", "an image of another dtype is refused"
LEAVES, LANDMARKS = "a picture leaves no trace in the next", "it gives as many landmarks as it states"


class Right(Detector):
    """Finds regions of the colour of skin, as a new plugin does; `spoil` has the last word."""

    def __init__(self, spoil: Callable[[Find, Sequence[Image]], list[Faces]]) -> None:
        super().__init__()
        self._find, self._spoil = NewStage()._detect_one, spoil

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return self._spoil(self._find, images)


def each(change: Callable[[Faces, Image], Faces]) -> Callable[[], Detector]:
    """Return what makes a detector whose faces of each picture are changed."""
    return lambda: Right(lambda find, images: [change(find(image), image) for image in images])


def whole(spoil: Callable[[Find, Sequence[Image]], list[Faces]]) -> Callable[[], Detector]:
    return lambda: Right(spoil)


def other(
    faces: Faces,
    *,
    boxes: FloatArray | None = None,
    scores: npt.NDArray[np.floating] | None = None,
    landmarks: FloatArray | None = None,
) -> Faces:
    return Faces(
        faces.boxes if boxes is None else boxes,
        faces.scores if scores is None else scores.astype(np.float32),
        faces.landmarks if landmarks is None else landmarks,
    )


def larger(faces: Faces, times: float) -> Faces:
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    half = (faces.boxes[:, 2:] - faces.boxes[:, :2]) / 2 * times
    return other(faces, boxes=np.concatenate([centre - half, centre + half], 1))


def plain(find: Find, images: Sequence[Image]) -> list[Faces]:
    return [find(image) for image in images]


def by_the_first(find: Find, images: Sequence[Image]) -> list[Faces]:
    times = [images[0].shape[0] / image.shape[0] for image in images]
    return [other(faces := find(image), boxes=faces.boxes * time) for image, time in zip(images, times, strict=True)]


def resized(side: int, *, above: int) -> Callable[[], Detector]:
    return lambda: Right(
        lambda find, images: [
            scaled(find, image, side) if max(image.shape) > above else find(image) for image in images
        ]
    )


def scaled(find: Find, image: Image, side: int) -> Faces:
    """Find in a smaller copy, and forget to scale the boxes back."""
    scale = side / max(image.shape[:2])
    return find(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8))


def relative(*, to_size: bool) -> Callable[[], Detector]:
    def change(faces: Faces, image: Image) -> Faces:
        sides = (faces.boxes[:, 2:] - faces.boxes[:, :2])[:, None] if to_size else np.float32(1)
        return other(faces, landmarks=(faces.landmarks - faces.boxes[:, None, :2]) / sides)

    return each(change)


def in_order(*order: int) -> Callable[[], Detector]:
    return landmarks(lambda points: points[:, list(order)])


def landmarks_resized(faces: Faces, image: Image) -> Faces:
    return other(faces, landmarks=faces.landmarks * min(1, 640 / max(image.shape)))


def growing() -> Detector:
    calls: list[int] = []

    def spoil(find: Find, images: Sequence[Image]) -> list[Faces]:
        calls.append(len(images))
        return [other(faces := find(image), boxes=faces.boxes + len(calls)) for image in images]

    return Right(spoil)


def random_scores() -> Detector:
    rng = np.random.default_rng()
    return Right(
        lambda find, images: [other(faces := find(image), scores=-np.sort(-rng.random(len(faces)))) for image in images]
    )


class Shared(Detector):
    """Keeps the picture it works on in an attribute, which another thread replaces."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = []
        for image in images:
            self.image = image
            for _ in range(50):
                cv2.GaussianBlur(image, (0, 0), 2.0)
            found.append(NewStage()._detect_one(self.image))
        return found


class NoLandmarksStated(Right):
    landmark_count = 0


def painted(find: Find, images: Sequence[Image]) -> list[Faces]:
    found = [find(image) for image in images]
    for image in images:
        image[:4, :4] = 0
    return found


def limited(find: Find, images: Sequence[Image]) -> list[Faces]:
    if any(max(image.shape) > 1024 for image in images):
        raise ValueError("picture too large")
    return [find(image) for image in images]


def strict(find: Find, images: Sequence[Image]) -> list[Faces]:
    for image in images:
        if not image.flags.c_contiguous:
            raise ValueError("ndarray is not C-contiguous")
    return [find(image) for image in images]


def raw(find: Find, images: Sequence[Image]) -> list[Faces]:
    """Reads memory as if it were in order."""
    base = [np.frombuffer(image.tobytes("A"), np.uint8).reshape(image.shape) for image in images]
    return [find(image) for image in base]


def one_box(faces: Faces, image: Image) -> Faces:
    [known, _] = portraits()
    return Faces(known.box[None], np.array([0.9], np.float32), known.landmarks[None])


def thousand(faces: Faces, image: Image) -> Faces:
    boxes = np.tile(np.array([[0, 0, 20, 20]], np.float32), (1000, 1))
    return Faces(boxes, np.full(1000, 0.5, np.float32), np.zeros((1000, 5, 2), np.float32))


def thousand_if_none(faces: Faces, image: Image) -> Faces:
    return faces if len(faces) else thousand(faces, image)


def doubled(faces: Faces, image: Image) -> Faces:
    return Faces(faces.boxes.repeat(2, 0), faces.scores.repeat(2), faces.landmarks.repeat(2, 0))


def best_alone(faces: Faces, image: Image) -> Faces:
    return faces[:1]


def in_batches(find: Find, images: Sequence[Image]) -> list[Faces]:
    return [other(faces := find(image), scores=faces.scores / len(images)) for image in images]


def refuse_small(find: Find, images: Sequence[Image]) -> list[Faces]:
    if min(min(image.shape[:2]) for image in images) < 12:
        raise ContractError("images: expected 12 px, got fewer")
    return [find(image) for image in images]


def rescaled(faces: Faces, scale: FloatArray | float, shift: FloatArray | float = 0.0) -> Faces:
    """Give boxes and landmarks in other pixels: x, y times `scale`, then moved by `shift`."""
    boxes = (faces.boxes.reshape(-1, 2) * scale + shift).reshape(-1, 4)
    return Faces(boxes.astype(np.float32), faces.scores, (faces.landmarks * scale + shift).astype(np.float32))


def in_part(height: int, width: int) -> Callable[[], Detector]:
    """Look at the picture's upper left part alone."""
    return each_image(lambda image: image[:height, :width])


def each_image(change: Callable[[Image], Image]) -> Callable[[], Detector]:
    return whole(lambda find, images: [find(np.ascontiguousarray(change(image))) for image in images])


def squashed(faces: Faces, image: Image) -> Faces:
    """Scale back from a square by the longer side alone, as if the picture had been padded."""
    height, width = image.shape[:2]
    return rescaled(faces, max(height, width) / np.array([width, height]))


def padded(faces: Faces, image: Image) -> Faces:
    """Leave the padding about the picture in the boxes."""
    height, width = image.shape[:2]
    return rescaled(faces, 1, (max(height, width) - np.array([width, height])) / 2)


def mirrored(faces: Faces, image: Image) -> Faces:
    changed = faces.boxes.copy()
    changed[:, [0, 2]] = image.shape[1] - 1 - faces.boxes[:, [2, 0]]
    return other(faces, boxes=changed)


def remembered(key: Callable[[Image], object]) -> Callable[[], Detector]:
    """Return what makes a detector that remembers pictures by a key that others share."""

    def make() -> Detector:
        held: dict[object, Faces] = {}

        def recall(find: Find, image: Image) -> Faces:
            if key(image) not in held:
                held[key(image)] = find(image)
            return held[key(image)]

        return Right(lambda find, images: [recall(find, image) for image in images])

    return make


def smoothed() -> Detector:
    """Follow faces from picture to picture, as in a video."""
    held: list[Faces] = []

    def spoil(find: Find, images: Sequence[Image]) -> list[Faces]:
        for image in images:
            now, before = find(image), held[-1] if held else None
            same = before is not None and len(before) == len(now)
            held.append(
                other(now, boxes=(now.boxes + before.boxes) / np.float32(2)) if same and before is not None else now
            )
        return held[-len(images) :]

    return Right(spoil)


def scale_of_the_first() -> Detector:
    """Keep the scale that the first picture needed."""
    held: list[float] = []

    def spoil(find: Find, image: Image) -> Faces:
        held.append(640 / max(image.shape[:2]))
        return rescaled(scaled(find, image, 640), 1 / held[0])

    return Right(lambda find, images: [spoil(find, image) for image in images])


def first_32(find: Find, images: Sequence[Image]) -> list[Faces]:
    return [find(image) if row < 32 else Faces.empty(landmarks=5) for row, image in enumerate(images)]


def first_for_all(find: Find, images: Sequence[Image]) -> list[Faces]:
    return [find(images[0])] * len(images)


def dicts(find: Find, images: Sequence[Image]) -> list[Faces]:
    return [{} for _ in images]  # type: ignore[misc]


def stacked(find: Find, images: Sequence[Image]) -> list[Faces]:
    """Stack what was found, of which there has to be something."""
    found = [find(image) for image in images]
    return [Faces(np.stack(list(one.boxes)), one.scores, one.landmarks) for one in found]


def divides_by_contrast(find: Find, images: Sequence[Image]) -> list[Faces]:
    return [find(image) for image in images if 1 // int(image.std() * 1000 + 0.5) >= 0]


class StatesSixtyEight(Right):
    landmark_count = 68


class TakesFloats(Right):
    def detect(self, images: Sequence[Image]) -> list[Faces]:  # type: ignore[misc]
        return self._detect([np.asarray(image, np.uint8) for image in images])


class NeedsOne(Right):
    def detect(self, images: Sequence[Image]) -> list[Faces]:  # type: ignore[misc]
        return super().detect([images[0], *images[1:]])


def boxes(change: Callable[[FloatArray], npt.NDArray[np.floating]]) -> Callable[[], Detector]:
    return each(lambda faces, image: other(faces, boxes=change(faces.boxes).astype(np.float32)))


def landmarks(change: Callable[[FloatArray], npt.NDArray[np.floating]]) -> Callable[[], Detector]:
    return each(lambda faces, image: other(faces, landmarks=change(faces.landmarks).astype(np.float32)))


def scores(change: Callable[[FloatArray], npt.NDArray[np.floating]]) -> Callable[[], Detector]:
    return each(lambda faces, image: other(faces, scores=change(faces.scores)))


def chosen(keep: Callable[[FloatArray], npt.NDArray[np.bool_]]) -> Callable[[], Detector]:
    """Keep the faces of some widths."""
    return each(lambda faces, image: faces[np.flatnonzero(keep(faces.boxes[:, 2] - faces.boxes[:, 0]))])


def corner_and_size(boxes: FloatArray) -> FloatArray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def centre_and_size(boxes: FloatArray) -> FloatArray:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def nearly_doubled(faces: Faces, image: Image) -> Faces:
    scores = np.full(2 * len(faces), 0.5, np.float32)
    return Faces(np.concatenate([faces.boxes, faces.boxes + 5]), scores, np.tile(faces.landmarks, (2, 1, 1)))


FAULTS = (
    Fault("boxes of a picture resized to 300", PHOTOGRAPH, "expected a box about", resized(300, above=0)),
    Fault("boxes of a picture resized above 640", SIZES, "in a picture of 420x760", resized(640, above=640)),
    Fault("boxes of a picture resized above 1024", SIZES, "in a picture of 1800x1100", resized(1024, above=1024)),
    Fault("boxes scaled back twice", PHOTOGRAPH, "expected a box about", each(lambda faces, _: rescaled(faces, 2))),
    Fault("boxes 1.5 times too large", PHOTOGRAPH, "times its area", each(lambda faces, _: larger(faces, 1.5))),
    Fault("boxes half as large", PHOTOGRAPH, "times its area", each(lambda faces, _: larger(faces, 0.6))),
    Fault("boxes shifted", PHOTOGRAPH, "expected a box about", boxes(lambda box: box + 40)),
    Fault("x and y exchanged", PHOTOGRAPH, "expected a box about", boxes(lambda box: box[:, [1, 0, 3, 2]])),
    Fault("boxes as x, y, width, height", PHOTOGRAPH, "inverted box", boxes(corner_and_size)),
    Fault("boxes as centre and size", PHOTOGRAPH, "inverted box", boxes(centre_and_size)),
    Fault("boxes in 0..1", PHOTOGRAPH, "expected a box about", boxes(lambda box: box / 512)),
    Fault("boxes of the mirrored picture", PHOTOGRAPH, "expected a box about", each(mirrored)),
    Fault("boxes that are not finite", PHOTOGRAPH, "NaN or infinity", boxes(lambda box: box * np.float32(np.nan))),
    Fault("padding left in the boxes", SIZES, "in a picture of 420x300", each(padded)),
    Fault("a squashed picture scaled back by one side", SIZES, "in a picture of 420x300", each(squashed)),
    Fault("the scale of the first picture kept", SIZES, "in a picture of", scale_of_the_first),
    Fault("the top of the picture alone looked at", SIZES, "of 420x760, got no face", in_part(400, 9999)),
    Fault("the left of the picture alone looked at", SIZES, "a picture of 1800x1100", in_part(9999, 640)),
    Fault("faces under 60 px lost", SIZES, "of 420x300, got no face", chosen(lambda width: width > 60)),
    Fault("faces over 150 px lost", SIZES, "in a picture of 1800x1100", chosen(lambda width: width < 150)),
    Fault("a fixed box", SIZES, "expected a box about", each(one_box)),
    Fault("more than 1024 px refused", SIZES, "picture too large", whole(limited)),
    Fault("small pictures refused", ANY_SIZE, "expected 12 px", whole(refuse_small)),
    Fault("a picture left out", ANY_SIZE, "6 results, got 5", whole(lambda find, images: plain(find, images[:5]))),
    Fault("other values than Faces", ANY_SIZE, "expected Faces for images[0], got dict", whole(dicts)),
    Fault("colours exchanged, where they count", PHOTOGRAPH, "expected", each_image(lambda image: image[..., ::-1])),
    Fault("no face at all", PHOTOGRAPH, "got no face", chosen(lambda width: width < 0)),
    Fault("every face twice", PHOTOGRAPH, "2 boxes on one", each(doubled)),
    Fault("nearly the same box again", PHOTOGRAPH, "2 boxes on one", each(nearly_doubled)),
    Fault("a thousand boxes", PHOTOGRAPH, "at most 10 faces", each(thousand)),
    Fault("one face a picture at most", BOTH, "a picture of two people", each(best_alone)),
    Fault("landmarks relative to the box", PHOTOGRAPH, "eyes' distance", relative(to_size=False)),
    Fault("landmarks in 0..1", PHOTOGRAPH, "eyes' distance", relative(to_size=True)),
    Fault("landmarks as y, x", PHOTOGRAPH, "expected", landmarks(lambda points: points[..., ::-1])),
    Fault("landmarks all zero", PHOTOGRAPH, "left eye left of the other", landmarks(np.zeros_like)),
    Fault("landmarks of the subject's left", PHOTOGRAPH, "left of the other", in_order(1, 0, 2, 4, 3)),
    Fault("landmarks upside down", PHOTOGRAPH, "eyes above the mouth", in_order(3, 4, 2, 0, 1)),
    Fault("the nose for a corner of the mouth", PHOTOGRAPH, "the nose between", in_order(0, 1, 3, 2, 4)),
    Fault("landmarks alone of a resized picture", SIZES, "eyes' distance", each(landmarks_resized)),
    Fault("five landmarks stated, none given", LANDMARKS, "expected 5 landmarks", landmarks(lambda each: each[:, :0])),
    Fault("none stated, five given", LANDMARKS, "expected 0 landmarks", lambda: NoLandmarksStated(plain)),
    Fault("68 landmarks", LANDMARKS, "expected 5 landmarks", landmarks(lambda points: points[:, :1].repeat(68, 1))),
    Fault("states 68 landmarks", LANDMARKS, "landmark_count 0 or 5", lambda: StatesSixtyEight(plain)),
    Fault("random scores", TWICE, "expected scores", random_scores),
    Fault("scores as logits", SCORES, "in 0..1", scores(lambda score: score * 90)),
    Fault("negative scores", SCORES, "in 0..1", scores(lambda score: score - 2)),
    Fault("scores in percent", SCORES, "in 0..1", scores(lambda score: score * 100)),
    Fault("scores that are not finite", SCORES, "NaN or infinity", scores(lambda score: score * np.nan)),
    Fault("scores that ascend", BOTH, "descending order", scores(lambda score: np.linspace(0.5, 0.6, len(score)))),
    Fault("scores that depend on the batch", ALONE, "scores in a batch", whole(in_batches)),
    Fault("boxes that depend on the batch", ALONE, "boxes in a batch", whole(by_the_first)),
    Fault("a batch in reverse", ALONE, "in a batch as alone", whole(lambda find, images: plain(find, images)[::-1])),
    Fault("the first picture's faces for all", ALONE, "in a batch as alone", whole(first_for_all)),
    Fault("pictures after the 32nd not looked at", ALONE, "faces in a batch as alone", whole(first_32)),
    Fault("a fixed box where no face is", NO_FACE, "at most 0 faces", each(one_box)),
    Fault("a thousand boxes where no face is", NO_FACE, "got 1000", each(thousand_if_none)),
    Fault("fails where no face is", NO_FACE, "need at least one array", whole(stacked)),
    Fault("fails on a picture of one colour", NO_FACE, "by zero", whole(divides_by_contrast)),
    Fault("a cache by shape", LEAVES, "as from a new detector", remembered(lambda image: image.shape)),
    Fault("a cache by the sum of pixels", LEAVES, "as from a new detector", remembered(lambda image: image.sum())),
    Fault("a cache by the array", LEAVES, "a buffer that is used again", remembered(lambda image: image.ctypes.data)),
    Fault("faces followed as in a video", LEAVES, "as from a new detector", smoothed),
    Fault("state kept from call to call", TWICE, "the second time", growing),
    Fault("state that grows", LEAVES, "as from a new detector", growing),
    Fault("not thread-safe", "threads may share it", "from several threads as from one", Shared),
    Fault("the picture is changed", "the picture is not changed", "16 changed pixels", whole(painted)),
    Fault("writes to a read-only picture", STRIDED, "read-only", whole(painted)),
    Fault("strided pictures refused", STRIDED, "not C-contiguous", whole(strict)),
    Fault("strided pictures misread", STRIDED, "in a picture in column order", whole(raw)),
    Fault("takes pictures of floats", FLOATS, "got no error", lambda: TakesFloats(plain)),
    Fault("fails without pictures", "no images give no results", "IndexError", lambda: NeedsOne(plain)),
)


@rows(*FAULTS)
def test_a_planted_fault_is_caught(fault: Fault) -> None:
    require_caught(DetectorContract, fault)


@pytest.mark.parametrize("check", checks_of(DetectorContract))
def test_without_a_fault_it_passes(check: str) -> None:
    outcome = look(DetectorContract, whole(plain), check.removeprefix("test_"))
    assert outcome.passed, outcome


def test_the_right_detector_gives_boxes_apart() -> None:
    """The faults stand out of something: the template's own answer is none of them."""
    with NewStage() as stage:
        [faces] = stage.detect([portraits()[0].image])
    assert (box_overlap(faces.boxes, faces.boxes) > 0).sum() == len(faces)
