"""What an aligner must do."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facereg.geometry import template, transform_points, warp
from facereg.roles import Aligner, Stage
from facereg.testing.checking import CheckSkippedError, check, in_threads, require, require_close
from facereg.testing.every_role import StageContract, same_pictures
from facereg.testing.pictures import Portrait, faces_at, noise, placed, portraits
from facereg.types import Crops, Faces, FloatArray, Image

PIXEL_TOLERANCE = 5.0  # of 255, mean over a smoothed crop: other interpolation stays below 2, a shift of 3 px gives 8
SMOOTH_PX = 1.5  # before crops are compared: ways to interpolate differ in single pixels
TURN_DEG = 25.0  # that an upright face may be turned by in its crop
CENTRE_X, CENTRE_Y = (0.35, 0.65), (0.35, 0.8)  # of the crop: where the middle of the five points may come to lie
EYES = (0.15, 0.6)  # of the crop's side: how far apart the eyes may be
SIZES = (64, 112, 224)
ON_TEMPLATE = 0.05  # of the crop's side, mean of five points: a real face fits to 0.02


class AlignerContract(StageContract):
    """What every aligner must do; write `make`."""

    def make(self) -> Aligner:
        """Return a new aligner; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new aligner")

    def _use(self, stage: Stage) -> None:
        if isinstance(stage, Aligner):
            stage.align([noise(50, 50)], [Faces.empty(landmarks=5)], size=112)

    @check(catches="no faces that are an error", change="return Crops of shape (0, size, size, 3), counts 0 a picture")
    def test_no_faces_give_no_crops(self) -> None:
        with self.make() as aligner:
            crops = aligner.align([noise(50, 50)], [Faces.empty(landmarks=5)], size=112)
            nothing = aligner.align([], [], size=112)
        require(crops.pixels.shape == (0, 112, 112, 3), expected="pixels (0, 112, 112, 3)", got=crops.pixels.shape)
        require(crops.counts == (0,), expected="counts (0,) of one picture without faces", got=crops.counts)
        require(nothing.counts == (), expected="counts () of no pictures", got=nothing.counts)

    @check(
        catches="crops in another order than the faces, or that depend on other faces",
        change="go through pictures and their faces in order; count those of each picture",
    )
    def test_each_face_gives_one_crop_in_order(self) -> None:
        images, faces = _party()
        with self.make() as aligner:
            together = aligner.align(images, faces, size=112)
            alone = [aligner.align([image], [each], size=112) for image, each in zip(images, faces, strict=True)]
        parts = tuple(each.counts[0] for each in alone)
        require(together.counts == parts, expected=f"counts {parts}, as of each picture alone", got=together.counts)
        _require_same(together, np.concatenate([each.pixels for each in alone]), "in a batch as alone")

    @check(catches="a `size` that is ignored", change="cut crops of (size, size), whatever the size")
    def test_the_size_asked_for_is_the_size_given(self) -> None:
        with self.make() as aligner:
            for size in SIZES:
                shape = aligner.align([_first().image], [_first().faces], size=size).pixels.shape
                require(shape[1:] == (size, size, 3), expected=f"crops of {(size, size, 3)}", got=shape[1:])

    @check(
        catches="crops in BGR, black, mirrored, upside down, turned or shifted; one crop for all faces; transforms "
        "that are inverse, zero, or of another face",
        change="give with each crop the (2, 3) matrix that it was cut out with: crop ~ M @ [x, y, 1] of the picture, "
        "as facereg.geometry.warp(image, M, size) does",
    )
    def test_the_crop_is_what_its_transform_cuts_out(self) -> None:
        images, faces = _party()
        with self.make() as aligner:
            for size in SIZES:
                crops = aligner.align(images, faces, size=size)
                require(len(crops) > 0, expected="crops of clear, upright faces", got=f"none: {crops.refused}")
                owners = [image for image, count in zip(images, crops.counts, strict=True) for _ in range(count)]
                for row, image in enumerate(owners):
                    _require_cut_out(crops, row, image, size)

    @check(
        catches="faces that are upside down, mirrored, turned, off the centre, too small or too large in the crop",
        change="map upright faces to upright crops: the eyes above the mouth, the middle of the five points near the "
        "middle of the crop",
    )
    def test_an_upright_face_is_upright_in_the_middle_of_its_crop(self) -> None:
        with self.make() as aligner:
            for person in (*portraits(), placed(_first(), 500, 700, scale=0.8, at=(250, 60))):
                for size in SIZES:
                    crops = aligner.align([person.image], [person.faces], size=size)
                    require(len(crops) == 1, expected="a crop of a clear, upright face", got=crops.refused)
                    _require_upright(transform_points(person.landmarks, crops.transforms[0]), size)

    @check(
        catches="an aligner of landmarks that ignores the `template` of the embedder",
        change="map the five points to the template that _align is given, not to one of your own",
    )
    def test_landmarks_come_to_lie_on_the_template(self) -> None:
        person, size = _first(), 112
        usual = template(size)
        middle = usual.mean(0)
        wider = (middle + 0.7 * (usual - middle)).astype(np.float32)  # a crop with more about the face
        with self.make() as aligner:
            if not aligner.needs_landmarks:
                raise CheckSkippedError("it needs no landmarks, and so may cut by the box")
            for target in (usual, wider):
                crops = aligner.align([person.image], [person.faces], size=size, template=target)
                points = transform_points(person.landmarks, crops.transforms[0])
                away = float(np.linalg.norm(points - target, axis=1).mean()) / size
                require(away <= ON_TEMPLATE, expected=f"points within {ON_TEMPLATE} of the side", got=f"{away:.3f}")

    @check(
        catches="landmarks of an aligner's own in pixels of the crop, or of another face",
        change="map the points that you found back into the picture, with the inverse of what it was cut out with",
    )
    def test_landmarks_are_those_of_the_picture(self) -> None:
        images, faces = _party()
        with self.make() as aligner:
            crops = aligner.align(images, faces, size=112)
        if not crops.landmarks.shape[1]:
            raise CheckSkippedError("it gives no landmarks of its own")
        boxes = np.concatenate([found.boxes for found in faces])
        kept = np.array([not reason for reason in crops.refused]) if crops.refused else slice(None)
        for box, points in zip(boxes[kept], crops.landmarks, strict=True):
            inside = ((points.mean(0) >= box[:2]) & (points.mean(0) <= box[2:])).all()
            middle = ", ".join(f"{value:.0f}" for value in points.mean(0))
            edges = ", ".join(f"{value:.0f}" for value in box)
            require(inside, expected=f"points about ({edges}), in pixels of the picture", got=f"about ({middle})")

    @check(
        catches="an error or a crop left out where the box reaches over the edge",
        change="fill with black what lies outside the picture, as cv2.warpAffine does; slices with negative ends fail",
    )
    def test_a_face_over_the_edge_is_cropped_or_refused(self) -> None:
        person = _first()
        x, y = (int(edge) + 30 for edge in person.box[:2])
        at = np.array([x, y], np.float32)
        corner = Portrait(person.image[y:, x:], person.box - np.tile(at, 2), person.landmarks - at)
        outside = Faces(corner.box[None] - 900, np.ones(1, np.float32), corner.landmarks[None] - 900)
        with self.make() as aligner:
            for image, faces in ((corner.image, corner.faces), (person.image[:150, :230], person.faces)):
                crops = aligner.align([image], [faces], size=112)
                for row in range(len(crops)):
                    _require_cut_out(crops, row, image, 112)
            aligner.align([corner.image], [outside], size=112)

    @check(
        catches="one bad face, of zero area, that is an error for all, or has a crop of NaN",
        change="refuse that face alone: Crops(..., refused=('', 'its box has no area', '')), with crops of the others",
    )
    def test_a_face_of_no_area_harms_no_other(self) -> None:
        person = _first()
        point = np.array([60.0, 70.0], np.float32)
        boxes = np.stack([person.box, np.concatenate([point, point]), person.box])
        landmarks = np.stack([person.landmarks, np.tile(point, (5, 1)), person.landmarks])
        with self.make() as aligner:
            alone = aligner.align([person.image], [person.faces], size=112)
            crops = aligner.align([person.image], [Faces(boxes, np.ones(3, np.float32), landmarks)], size=112)
        require(len(crops) in (2, 3), expected="crops of both good faces", got=len(crops))
        _require_same(crops, alone.pixels[[0, *[0] * (len(crops) - 2), 0]], "beside a bad face as alone", rows=(0, -1))

    @check(
        catches="blurred, dark or tiny faces that are left out without a word",
        change="give a crop for each face, or a reason in Crops.refused",
    )
    def test_a_blurred_face_is_cropped_or_refused_with_a_reason(self) -> None:
        person = _first()
        blurred = cv2.GaussianBlur(person.image, (0, 0), 9.0).astype(np.uint8)
        tiny = placed(person, 60, 60, scale=0.1, at=(0, 0))
        images, faces = [blurred, (person.image // 8), tiny.image], [person.faces, person.faces, tiny.faces]
        with self.make() as aligner:
            crops = aligner.align(images, faces, size=112)
        kept = sum(crops.counts) + sum(reason != "" for reason in crops.refused)
        require(kept == 3, expected="a crop or a reason for each of 3 faces", got=kept)

    @check(
        catches="a `needs_landmarks` that lies",
        change="state needs_landmarks = False only where crops come without five points; True only where these matter",
    )
    def test_it_needs_landmarks_if_it_says_so(self) -> None:
        person = _first()
        moved = Faces(
            person.box[None], np.ones(1, np.float32), person.landmarks[None] + np.array([25.0, 12.0], np.float32)
        )
        with self.make() as aligner:
            crops = aligner.align([person.image], [person.faces], size=112)
            if aligner.needs_landmarks:
                other = aligner.align([person.image], [moved], size=112)
                same = len(crops) == len(other) and np.array_equal(crops.pixels, other.pixels)
                require(not same, expected="another crop for other landmarks", got="the same; it needs none")
            else:
                bare = aligner.align([person.image], [Faces(person.box[None], np.ones(1, np.float32))], size=112)
                require(len(bare) == len(crops), expected=f"{len(crops)} crops without landmarks too", got=len(bare))

    @check(
        catches="what is remembered of one picture and given for another; crops that change from call to call",
        change="keep nothing of a picture after the call",
    )
    def test_a_picture_leaves_no_trace_in_the_next(self) -> None:
        first, second = portraits()
        other = Portrait(second.image[:512], second.box, second.landmarks)  # of the first's shape
        with self.make() as aligner:
            got = [aligner.align([each.image], [each.faces], size=112) for each in (first, other, first)]
        with self.make() as fresh:
            expected = fresh.align([other.image], [other.faces], size=112)
        _require_same(got[1], expected.pixels, "after another as from a new aligner")
        _require_same(got[2], got[0].pixels, "before and after another")

    @check(
        catches="an aligner that only one thread at a time may call",
        change="keep what belongs to a call in local variables, not on self, or hold a lock in _align",
    )
    def test_threads_may_share_it(self) -> None:
        people = [*portraits(), placed(_first(), 400, 600, scale=0.7, at=(200, 30))]
        with self.make() as aligner:
            expected = [aligner.align([each.image], [each.faces], size=112) for each in people]
            found = in_threads(lambda each: aligner.align([each.image], [each.faces], size=112), people * 8)
        for got, one in zip(found, expected * 8, strict=True):
            _require_same(got, one.pixels, "from several threads as from one")

    @check(
        catches="arrays that are read-only, cut out of larger ones, or of negative strides, and give an error or other "
        "crops",
        change="begin with np.ascontiguousarray(image) where a library needs it; write to no array that was given",
    )
    def test_pictures_may_be_read_only_or_strided(self) -> None:
        person = _first()
        with self.make() as aligner:
            expected = aligner.align([person.image.copy()], [person.faces], size=112).pixels
            for what, image in same_pictures(person.image):
                _require_same(aligner.align([image], [person.faces], size=112), expected, f"of a picture {what}")

    @check(
        catches="pictures that are changed in place",
        change="copy before you draw, normalise or swap colours: image.copy(), or an operation that gives a new array",
    )
    def test_the_picture_is_not_changed(self) -> None:
        image = _first().image.copy()
        with self.make() as aligner:
            aligner.align([image], [_first().faces], size=112)
        changed = int((image != _first().image).any(-1).sum())
        require(not changed, expected="the picture as it was before the call", got=f"{changed} changed pixels")


def _first() -> Portrait:
    return portraits()[0]


def _party() -> tuple[list[Image], list[Faces]]:
    """Return three pictures: one of two faces, one of none, one of one face."""
    first, second = portraits()
    wide = np.concatenate([first.image, second.image[:512]], 1)
    points = [first.landmarks.tolist(), (second.landmarks + np.array([512, 0])).tolist()]
    boxes = np.stack([first.box, second.box + np.array([512, 0, 512, 0], np.float32)])
    both = Faces(boxes, np.array([0.9, 0.8], np.float32), faces_at(points).landmarks)
    return [wide, noise(90, 80), second.image], [both, Faces.empty(landmarks=5), second.faces]


def _smoothed(pixels: Image) -> FloatArray:
    smooth: FloatArray = cv2.GaussianBlur(pixels, (0, 0), SMOOTH_PX).astype(np.float32)
    return smooth


def _require_cut_out(crops: Crops, row: int, image: Image, size: int) -> None:
    expected = warp(np.ascontiguousarray(image), crops.transforms[row], size)
    difference = float(np.abs(_smoothed(crops.pixels[row]) - _smoothed(expected)).mean())
    require(
        difference <= PIXEL_TOLERANCE,
        expected=f"crop {row} of {size} px as its transform cuts it out, within {PIXEL_TOLERANCE:g} of 255",
        got=f"a mean difference of {difference:.1f}",
    )


def _require_upright(points: FloatArray, size: int) -> None:
    """Raise CheckFailedError unless five points (5, 2) in crop pixels are those of an upright face in the middle."""
    eyes, mouth = points[:2], points[3:]
    across = (eyes[1] - eyes[0]) + (mouth[1] - mouth[0])
    turn = float(np.degrees(np.arctan2(across[1], across[0])))
    require(abs(turn) <= TURN_DEG, expected=f"a face turned by at most {TURN_DEG:g} degrees", got=f"{turn:.0f} degrees")
    below = float(mouth[:, 1].mean() - eyes[:, 1].mean())
    require(below > 0, expected="the mouth below the eyes", got=f"{-below:.0f} px above them; the crop is mirrored")
    x, y = points.mean(0) / size
    require(
        CENTRE_X[0] <= x <= CENTRE_X[1] and CENTRE_Y[0] <= y <= CENTRE_Y[1],
        expected=f"the middle of the face at x {CENTRE_X}, y {CENTRE_Y} of the crop's side",
        got=f"({x:.2f}, {y:.2f})",
    )
    apart = float(np.linalg.norm(eyes[1] - eyes[0])) / size
    require(EYES[0] <= apart <= EYES[1], expected=f"eyes apart by {EYES} of the crop's side", got=f"{apart:.2f}")


def _require_same(crops: Crops, expected: Image, what: str, *, rows: Sequence[int] | None = None) -> None:
    require(len(crops) == len(expected), expected=f"{len(expected)} crops {what}", got=len(crops))
    chosen = list(range(len(expected))) if rows is None else list(rows)
    got, held = crops.pixels[chosen].astype(np.float32), expected[chosen].astype(np.float32)
    require_close(got, held, 1.0, what=f"pixels of crops {what}")
