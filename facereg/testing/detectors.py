"""What a detector must do."""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np

from facereg.errors import ContractError
from facereg.geometry import box_areas, box_overlap
from facereg.roles import Detector, Stage
from facereg.testing.checking import check, in_threads, require, require_refused, require_same_faces
from facereg.testing.every_role import StageContract, same_pictures
from facereg.testing.pictures import Portrait, noise, photograph, placed, portraits
from facereg.types import Faces, Image

# Detectors draw boxes from the brows to the chin or about the whole head: either overlaps ours, drawn by eye, by more
# than 0.65; one with sides 1.5 times too long by less than 0.53, one of another place by less than 0.4.
OVERLAP = 0.55
LANDMARK_ERROR = 0.5  # of the distance of the eyes, mean of five: points guessed from the box come to 0.35
MANY = 10  # faces in a picture of one person: more are not seen by a detector but made up
OF_NOISE = 100  # faces in noise, which no training shows: our own detectors give up to 35


class DetectorContract(StageContract):
    """What every detector must do; write `make`."""

    def make(self) -> Detector:
        """Return a new detector; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new detector")

    def _use(self, stage: Stage) -> None:
        if isinstance(stage, Detector):
            stage.detect([noise(64, 64)])

    @check(catches="an empty list that is an error", change="override `_detect`, not `detect`, which answers it")
    def test_no_images_give_no_results(self) -> None:
        with self.make() as detector:
            found = detector.detect([])
        require(found == [], expected="[] for no images", got=found)

    @check(
        catches="pictures of some size that are refused, left out, or change the number of landmarks",
        change="scale or pad pictures of every size, from 1x1, in _detect; give a Faces for each",
    )
    def test_images_of_any_size_give_one_result_each(self) -> None:
        images = [noise(1, 1), noise(7, 300), noise(300, 7), noise(64, 64), noise(241, 123), noise(20, 2100)]
        with self.make() as detector:
            found = detector.detect(images)
            count = detector.landmark_count
        require(len(found) == len(images), expected=f"{len(images)} results", got=len(found))
        for faces in found:
            _require_landmarks(faces, count)

    @check(
        catches="a `landmark_count` that lies",
        change="state landmark_count = 0 where Faces have no landmarks, else 5, and give so many for each face",
    )
    def test_it_gives_as_many_landmarks_as_it_states(self) -> None:
        with self.make() as detector:
            require(detector.landmark_count in (0, 5), expected="landmark_count 0 or 5", got=detector.landmark_count)
            [faces] = detector.detect([_astronaut().image])
            _require_landmarks(faces, detector.landmark_count)

    @check(
        catches="boxes, landmarks or scores that depend on the other pictures of a batch",
        change="work on each picture of _detect by itself: normalise, pad, sort and suppress one picture at a time",
    )
    def test_a_batch_gives_what_each_image_gives_alone(self) -> None:
        images = [_scene(), noise(90, 200), _scene()[100:400, 50:500], noise(33, 33), _scene()[::2, ::2].copy()]
        more = 33  # pictures: batches of networks often end at 32
        with self.make() as detector:
            together = detector.detect(images + images[-1:] * more)
            alone = [detector.detect([image])[0] for image in images]
        for first, second in zip(together, alone + alone[-1:] * more, strict=True):
            require_same_faces(first, second, what="in a batch as alone")

    @check(
        catches="scores or boxes that are random, or that change from call to call",
        change="seed what is random once for each call, and keep nothing of an earlier call",
    )
    def test_twice_the_same_image_gives_the_same_faces(self) -> None:
        with self.make() as detector:
            first, second = detector.detect([_scene()]), detector.detect([_scene()])
        require_same_faces(second[0], first[0], what="the second time")

    @check(
        catches="what is remembered of one picture and given for another, as by a cache by shape",
        change="keep nothing of a picture after the call; a cache needs the pixels in its key, not their shape",
    )
    def test_a_picture_leaves_no_trace_in_the_next(self) -> None:
        before, scene = _scene()[::-1], _scene()  # of one shape
        with self.make() as used, self.make() as fresh:
            used.detect([before])
            [after], [expected] = used.detect([scene]), fresh.detect([scene])
            buffer = before.copy()
            used.detect([buffer])
            buffer[:] = scene
            [again] = used.detect([buffer])
        require_same_faces(after, expected, what="after another picture as from a new detector")
        require_same_faces(again, expected, what="in a buffer that is used again, as from a new detector")

    @check(
        catches="a detector that only one thread at a time may call",
        change="keep what belongs to a call in local variables, not on self, or hold a lock in _detect",
    )
    def test_threads_may_share_it(self) -> None:
        images = [_scene(), noise(100, 100), _scene()[:, ::-1].copy(), noise(50, 80, seed=1)]
        with self.make() as detector:
            expected = [detector.detect([image])[0] for image in images]
            found = in_threads(lambda image: detector.detect([image])[0], images * 2)
        for first, second in zip(found, expected * 2, strict=True):
            require_same_faces(first, second, what="from several threads as from one")

    @check(
        catches="boxes that are not where the face is, or too large; landmarks in another order, relative to the box, "
        "or 0..1; the face given twice; boxes without number",
        change="give boxes x1 y1 x2 y2 and landmarks in pixels of the picture, y down, the viewer's left first, "
        "and suppress boxes that overlap",
    )
    def test_it_finds_the_face_of_a_photograph(self) -> None:
        with self.make() as detector:
            _require_found(detector, [_astronaut()], "the photograph")

    @check(
        catches="boxes in pixels of a scaled picture, a fixed box, exchanged x and y, small or large pictures refused",
        change="divide boxes and landmarks by the scale, after taking off the padding, that the picture was given",
    )
    def test_it_finds_the_face_in_other_sizes_and_places(self) -> None:
        with self.make() as detector:
            for height, width, scale, at in SCENES:
                scene = placed(_astronaut(), height, width, scale=scale, at=at)
                _require_found(detector, [scene], f"a picture of {width}x{height}")

    @check(
        catches="a detector that gives one face a picture at most",
        change="give every face, best first",
    )
    def test_it_finds_both_faces_of_a_picture(self) -> None:
        left, right = placed(_astronaut(), 520, 1040, scale=1, at=(0, 0)), _mirrored(_astronaut())
        right = placed(right, 520, 1040, scale=0.9, at=(550, 50))
        image = left.image.copy()
        image[:, 520:] = right.image[:, 520:]
        both = [Portrait(image, each.box, each.landmarks) for each in (left, right)]
        with self.make() as detector:
            _require_found(detector, both, "a picture of two people")

    @check(
        catches="scores without bounds",
        change="give scores in 0..1, as through a sigmoid: thresholds are set in 0..1",
    )
    def test_scores_lie_between_0_and_1(self) -> None:
        with self.make() as detector:
            found = detector.detect([_scene(), noise(200, 300)])
        scores = np.concatenate([faces.scores for faces in found])
        inside = ((scores >= 0) & (scores <= 1)).all()
        require(inside, expected="scores in 0..1", got=f"{scores.min(initial=1):.3g}..{scores.max(initial=0):.3g}")

    @check(
        catches="boxes where there is no face: a fixed one, or a thousand",
        change="raise the threshold on scores, and give no boxes where nothing reaches it",
    )
    def test_where_no_face_is_few_are_found(self) -> None:
        blank = np.full((240, 320, 3), 128, np.uint8)
        with self.make() as detector:
            flat, dark, rough = detector.detect([blank, np.zeros_like(blank), noise(300, 300)])
        for faces, what, most in (
            (flat, "a grey picture", 0),
            (dark, "a black picture", 0),
            (rough, "noise", OF_NOISE),
        ):
            require(len(faces) <= most, expected=f"at most {most} faces in {what}", got=len(faces))

    @check(
        catches="arrays that are read-only, cut out of larger ones, or of negative strides, and give an error or other "
        "faces",
        change="begin with np.ascontiguousarray(image) where a library needs it; write to no array that was given",
    )
    def test_pictures_may_be_read_only_or_strided(self) -> None:
        with self.make() as detector:
            scene = np.ascontiguousarray(_scene()[::2, ::2])
            [expected] = detector.detect([scene.copy()])
            for what, image in same_pictures(scene):
                require_same_faces(detector.detect([image])[0], expected, what=f"in a picture {what}")

    @check(
        catches="pictures that are changed in place",
        change="copy before you draw, normalise or swap colours: image.copy(), or an operation that gives a new array",
    )
    def test_the_picture_is_not_changed(self) -> None:
        images = [_scene().copy(), noise(120, 80)]
        copies = [image.copy() for image in images]
        with self.make() as detector:
            detector.detect(images)
        for image, copy in zip(images, copies, strict=True):
            changed = int((image != copy).any(-1).sum())
            require(not changed, expected="pictures as they were before the call", got=f"{changed} changed pixels")

    @check(
        catches="a picture of floats that is taken for one of bytes",
        change="override `_detect`, not `detect`, which refuses it",
    )
    def test_an_image_of_another_dtype_is_refused(self) -> None:
        with self.make() as detector:
            other = cast(Image, noise(20, 20).astype(np.float32))
            require_refused(ContractError, lambda: detector.detect([other]), what="a float32 picture")


# height, width, scale of the portrait, and where its corner lies: below and above 480 and 640 px, wide and tall
SCENES = (
    (300, 420, 0.5, (140, 20)),
    (760, 420, 0.75, (20, 300)),
    (1100, 1800, 2.0, (700, 60)),
)


def _astronaut() -> Portrait:
    return portraits()[0]


@cache
def _scene() -> Image:
    """A picture of 400x512, with a face where scikit-image is installed."""
    image = photograph()
    scene: Image = noise(400, 512, seed=9) if image is None else image[:400]
    scene.setflags(write=False)
    return scene


def _mirrored(portrait: Portrait) -> Portrait:
    last = portrait.image.shape[1] - 1
    box = portrait.box[[2, 1, 0, 3]] * np.array([-1, 1, -1, 1]) + np.array([last, 0, last, 0])
    landmarks = portrait.landmarks[[1, 0, 2, 4, 3]] * np.array([-1, 1]) + np.array([last, 0])
    return Portrait(portrait.image[:, ::-1], box.astype(np.float32), landmarks.astype(np.float32))


def _require_landmarks(faces: Faces, count: int) -> None:
    got = faces.landmarks.shape[1]
    allowed = (count,) if len(faces) else (0, count)
    require(got in allowed, expected=f"{count} landmarks a face, as landmark_count says", got=got)


def _require_found(detector: Detector, people: list[Portrait], where: str) -> None:
    """Raise CheckFailedError unless each person's face is found once, where it is, in the picture that they share."""
    [faces] = detector.detect([people[0].image])
    require(len(faces) <= MANY, expected=f"at most {MANY} faces in {where}", got=len(faces))
    require(len(faces) > 0, expected=f"the face of {where}", got="no face")
    for person in people:
        overlap = box_overlap(faces.boxes, person.box[None])[:, 0]
        best, ours = int(overlap.argmax()), ", ".join(f"{value:.0f}" for value in person.box)
        got = ", ".join(f"{value:.0f}" for value in faces.boxes[best])
        times_area = box_areas(faces.boxes)[best] / box_areas(person.box[None])[0]
        require(
            overlap[best] >= OVERLAP,
            expected=f"a box about ({ours}) in {where}, of an IoU of at least {OVERLAP}",
            got=f"({got}), of {overlap[best]:.2f} and {times_area:.2f} times its area",
        )
        times = int((overlap > OVERLAP).sum())
        require(times == 1, expected=f"each face of {where} once", got=f"{times} boxes on one")
        if faces.landmarks.shape[1] == 5:
            _require_points(faces, best, person, where)


def _require_points(faces: Faces, row: int, person: Portrait, where: str) -> None:
    points = faces.landmarks[row]
    require(points[0, 0] < points[1, 0], expected="the viewer's-left eye left of the other", got="right of it")
    require(points[3, 0] < points[4, 0], expected="the viewer's-left mouth corner left of the other", got="right of it")
    require(points[:2, 1].max() < points[3:, 1].min(), expected="the eyes above the mouth", got="not above it")
    between = points[:2, 1].mean() < points[2, 1] < points[3:, 1].mean()
    require(between, expected="the nose between the eyes and the mouth, third of the five", got="not between them")
    eyes = float(np.linalg.norm(person.landmarks[1] - person.landmarks[0]))
    error = float(np.linalg.norm(points - person.landmarks, axis=1).mean()) / eyes
    require(
        error <= LANDMARK_ERROR,
        expected=f"landmarks within {LANDMARK_ERROR} of the eyes' distance in {where}, in pixels of the picture",
        got=f"{error:.2f}, the first at ({points[0, 0]:.0f}, {points[0, 1]:.0f})",
    )
