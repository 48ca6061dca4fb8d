"""Faults planted in a detector that is right without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Thread

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


def relative(faces: Faces, *, to_size: bool) -> Faces:
    corner = faces.boxes[:, None, :2]
    sides = (faces.boxes[:, 2:] - faces.boxes[:, :2])[:, None] if to_size else np.float32(1)
    return other(faces, landmarks=(faces.landmarks - corner) / sides)


def by_shape() -> Detector:
    held: dict[tuple[int, ...], Faces] = {}
    return Right(lambda find, images: [held.setdefault(image.shape, find(image)) for image in images])


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


class Threaded(Right):
    """Starts a thread that nobody ends."""

    def __init__(self) -> None:
        super().__init__(plain)
        self.stop = Event()
        Thread(target=self.stop.wait, args=(20,), daemon=True, name="watcher").start()


class HalfClosed(Right):
    def close(self) -> None:
        """Forget the library's."""


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


@rows(
    Fault("boxes of a picture resized to 480", PHOTOGRAPH, "expected a box about", resized(300, above=0)),
    Fault("boxes of a picture resized above 640", SIZES, "in a picture of 420x760", resized(640, above=640)),
    Fault("boxes of a resized picture only when large", SIZES, "in a picture of 1800x1100", resized(1024, above=1024)),
    Fault("boxes 1.5 times too large", PHOTOGRAPH, "times its area", each(lambda faces, image: larger(faces, 1.5))),
    Fault("boxes half as large", PHOTOGRAPH, "times its area", each(lambda faces, image: larger(faces, 0.6))),
    Fault(
        "boxes shifted",
        PHOTOGRAPH,
        "expected a box about",
        each(lambda faces, image: other(faces, boxes=faces.boxes + 40)),
    ),
    Fault(
        "x and y exchanged",
        PHOTOGRAPH,
        "expected a box about",
        each(lambda faces, image: other(faces, boxes=faces.boxes[:, [1, 0, 3, 2]])),
    ),
    Fault(
        "landmarks relative to the box",
        PHOTOGRAPH,
        "eyes' distance",
        each(lambda faces, image: relative(faces, to_size=False)),
    ),
    Fault("landmarks in 0..1", PHOTOGRAPH, "eyes' distance", each(lambda faces, image: relative(faces, to_size=True))),
    Fault(
        "landmarks of the mirrored face",
        PHOTOGRAPH,
        "left of the other",
        each(lambda faces, image: other(faces, landmarks=faces.landmarks[:, [1, 0, 2, 4, 3]])),
    ),
    Fault(
        "landmarks upside down",
        PHOTOGRAPH,
        "eyes above the mouth",
        each(lambda faces, image: other(faces, landmarks=faces.landmarks[:, [3, 4, 2, 0, 1]])),
    ),
    Fault(
        "states five landmarks and gives none",
        LANDMARKS,
        "expected 5 landmarks",
        each(lambda faces, image: Faces(faces.boxes, faces.scores)),
    ),
    Fault("states no landmarks and gives five", LANDMARKS, "expected 0 landmarks", lambda: NoLandmarksStated(plain)),
    Fault("random scores", "twice the same image gives the same faces", "expected scores", random_scores),
    Fault(
        "scores without bounds",
        "scores lie between 0 and 1",
        "in 0..1",
        each(lambda faces, image: other(faces, scores=faces.scores * 90)),
    ),
    Fault(
        "negative scores",
        "scores lie between 0 and 1",
        "in 0..1",
        each(lambda faces, image: other(faces, scores=faces.scores - 2)),
    ),
    Fault("scores that depend on the batch", ALONE, "scores in a batch", whole(in_batches)),
    Fault("boxes that depend on the batch", ALONE, "boxes in a batch", whole(by_the_first)),
    Fault("every face twice", PHOTOGRAPH, "2 boxes on one", each(doubled)),
    Fault("a thousand boxes", PHOTOGRAPH, "at most 10 faces", each(thousand)),
    Fault(
        "a thousand boxes where no face is",
        NO_FACE,
        "got 1000",
        each(lambda faces, image: faces if len(faces) else thousand(faces, image)),
    ),
    Fault("a fixed box", SIZES, "expected a box about", each(one_box)),
    Fault("a fixed box where no face is", NO_FACE, "at most 0 faces", each(one_box)),
    Fault("no face at all", PHOTOGRAPH, "got no face", each(lambda faces, image: Faces.empty(landmarks=5))),
    Fault(
        "one face a picture at most", "it finds both faces of a picture", "a picture of two people", each(best_alone)
    ),
    Fault("more than 1024 px refused", SIZES, "picture too large", whole(limited)),
    Fault("small pictures refused", "images of any size give one result each", "expected 12 px", whole(refuse_small)),
    Fault("a cache by shape", LEAVES, "as from a new detector", by_shape),
    Fault("state kept from call to call", "twice the same image gives the same faces", "the second time", growing),
    Fault("state that grows", LEAVES, "as from a new detector", growing),
    Fault("not thread-safe", "threads may share it", "from several threads as from one", Shared),
    Fault("the picture is changed", "the picture is not changed", "16 changed pixels", whole(painted)),
    Fault("writes to a read-only picture", "pictures may be read only or strided", "read-only", whole(painted)),
    Fault("strided pictures refused", "pictures may be read only or strided", "not C-contiguous", whole(strict)),
    Fault(
        "strided pictures misread", "pictures may be read only or strided", "in a picture in column order", whole(raw)
    ),
    Fault("a thread left behind", "no thread is left behind", "watcher", Threaded),
    Fault("a close that closes nothing", "a closed stage is of no more use", "ClosedError", lambda: HalfClosed(plain)),
)
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
