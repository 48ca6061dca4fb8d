"""What an embedder must do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError
from facereg.geometry import similarity_from_points, warp
from facereg.roles import Embedder, Stage
from facereg.testing.checking import (
    VECTOR_TOLERANCE,
    CheckSkippedError,
    check,
    in_threads,
    require,
    require_close,
    require_refused,
)
from facereg.testing.every_role import StageContract, same_pictures
from facereg.testing.pictures import crops, face_crops, portraits
from facereg.types import FloatArray

Pixels = npt.NDArray[np.uint8]
FLIP_TOLERANCE = 1e-3  # a sum of two vectors in another order
SMALL_CHANGE = 0.9  # least similarity to a crop whose pixels differ by two at most; measured: above 0.99
TURNED_MARGIN = 0.1  # two people may be as similar as this beyond what they are with the crops turned
ANSWER_SIMILARITY = 0.99  # another build of a network or of OpenCV stays above 0.999; BGR falls to 0.97


class EmbedderContract(StageContract):
    """What every embedder must do; write `make`."""

    def make(self) -> Embedder:
        """Return a new embedder; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new embedder")

    def _use(self, stage: Stage) -> None:
        if isinstance(stage, Embedder):
            stage.embed(crops(1, stage.crop_size))

    @check(catches="no crops that are an error", change="override `_embed`, not `embed`, which answers them")
    def test_no_crops_give_no_vectors(self) -> None:
        with self.make() as embedder:
            empty = np.empty((0, embedder.crop_size, embedder.crop_size, 3), np.uint8)
            shape = embedder.embed(empty).vectors.shape
            require(shape == (0, embedder.dim), expected=f"vectors of shape (0, {embedder.dim})", got=shape)

    @check(
        catches="vectors that are not of unit length, not finite, or not of `dim` numbers",
        change="override `_embed`, not `embed`, which makes them of unit length; state dim",
    )
    def test_vectors_have_unit_length(self) -> None:
        with self.make() as embedder:
            vectors = embedder.embed(crops(3, embedder.crop_size)).vectors
        require_close(np.linalg.norm(vectors, axis=1), np.ones(3, np.float32), VECTOR_TOLERANCE, what="lengths")

    @check(
        catches="vectors that depend on the other crops of a batch",
        change="normalise each crop by itself; a network is exported in its evaluation mode (batch norms fixed)",
    )
    def test_a_batch_gives_what_each_crop_gives_alone(self) -> None:
        with self.make() as embedder:
            several = crops(embedder.batch_size + 3, embedder.crop_size)
            rows = [0, 1, embedder.batch_size, embedder.batch_size + 2]
            together = embedder.embed(several).vectors[rows]
            alone = [embedder.embed(several[row : row + 1]).vectors[0] for row in rows]
        require_close(together, np.stack(alone), VECTOR_TOLERANCE, what="vectors in a batch and alone")

    @check(
        catches="vectors that change from call to call",
        change="keep nothing of an earlier call: no running mean, no cache without the pixels in its key, no dropout",
    )
    def test_crops_leave_no_trace_in_the_next(self) -> None:
        with self.make() as used, self.make() as fresh:
            first, second = crops(2, used.crop_size), crops(2, used.crop_size, seed=1)
            expected, _, again = used.embed(first).vectors, used.embed(second), used.embed(first).vectors
            require_close(again, expected, VECTOR_TOLERANCE, what="vectors before and after another call")
            other = fresh.embed(second).vectors
            require_close(used.embed(second).vectors, other, VECTOR_TOLERANCE, what="vectors of a used and a new stage")

    @check(
        catches="one vector for all, or crops that are not looked at",
        change="let _embed return a vector for each of (B, S, S, 3), computed from its pixels",
    )
    def test_different_crops_give_different_vectors(self) -> None:
        with self.make() as embedder:
            vectors = embedder.embed(crops(2, embedder.crop_size)).vectors
        similarity = float(vectors[0] @ vectors[1])
        require(similarity < 0.999, expected="a similarity below 0.999 for different crops", got=f"{similarity:.4f}")

    @check(
        catches="a hash of the pixels",
        change="use what varies smoothly with the pixels: pictures of one person are never equal",
    )
    def test_a_small_change_changes_the_vector_little(self) -> None:
        with self.make() as embedder:
            pixels = np.concatenate([_faces(embedder), crops(1, embedder.crop_size)])
            change = np.random.default_rng(0).integers(-2, 3, pixels.shape)
            changed = np.clip(pixels + change, 0, 255).astype(np.uint8)
            least = float((_vectors(embedder, pixels) * _vectors(embedder, changed)).sum(1).min())
        require(
            least >= SMALL_CHANGE,
            expected=f"a similarity of at least {SMALL_CHANGE} where pixels differ by 2 of 255 at most",
            got=f"{least:.3f}",
        )

    @check(
        catches="an embedder that does not tell two people apart",
        change="check the weights, the order of the axes and the scaling of pixels against the code that trained it",
    )
    def test_pictures_of_one_person_are_closer_than_those_of_two(self) -> None:
        with self.make() as embedder:
            first, second = (_vectors(embedder, _views(row, embedder)) for row in (0, 1))
        one = min(float((each @ each.T).min()) for each in (first, second))
        two = float((first @ second.T).max())
        require(one > two, expected=f"pictures of one person closer than those of two ({two:.2f})", got=f"{one:.2f}")

    @check(
        catches="height and width exchanged, crops upside down",
        change="keep the axes (B, height, width, channels); a network that wants channels first: transpose(0, 3, 1, 2)",
    )
    def test_upright_faces_are_told_apart_best(self) -> None:
        with self.make() as embedder:
            embedder.flip = False  # the mirror image of a lying face is another one's
            upright = _faces(embedder)
            turned = {
                "as they are": upright,
                "with height and width exchanged": upright.transpose(0, 2, 1, 3),
                "upside down": upright[:, ::-1],
            }
            both = {name: _vectors(embedder, pixels) for name, pixels in turned.items()}
        similarity = {name: float(first @ second) for name, (first, second) in both.items()}
        best = min(similarity, key=lambda name: similarity[name])
        require(
            similarity["as they are"] <= similarity[best] + TURNED_MARGIN,
            expected="two people least similar as they are",
            got=f"{similarity['as they are']:.2f} as they are, {similarity[best]:.2f} {best}",
        )

    @check(
        catches="BGR for RGB, pixels 0..1 for -1..1, any step before the network that differs from training",
        change="make colours, scale and axes those of training; or, where the weights are new, write the answers again",
    )
    def test_vectors_are_those_of_the_network_that_was_trained(self) -> None:
        with self.make() as embedder:
            expected, flip = _answers(embedder), embedder.flip
            embedder.flip = False
            got = _vectors(embedder, _faces(embedder))
            embedder.flip = flip
        require(got.shape == expected.shape, expected=f"answers of shape {got.shape}", got=expected.shape)
        least = float((got * expected / np.linalg.norm(expected, axis=1, keepdims=True)).sum(1).min())
        require(
            least >= ANSWER_SIMILARITY,
            expected=f"the vectors of its `answers` file, with a similarity of at least {ANSWER_SIMILARITY}",
            got=f"{least:.3f}",
        )

    @check(
        catches="NaN, zero vectors or errors on crops that are black, white or of one colour",
        change="guard divisions by a deviation or a length: x / max(deviation, 1e-6)",
    )
    def test_dark_and_flat_crops_have_a_vector(self) -> None:
        with self.make() as embedder:
            shape = (1, embedder.crop_size, embedder.crop_size, 3)
            for level in (0, 1, 128, 255):
                embedder.embed(np.full(shape, level, np.uint8))
            _vectors(embedder, crops(2, embedder.crop_size) // 16)

    @check(
        catches="`flip` that is ignored",
        change="pass flip on to super().__init__(networks, flip=flip) and leave the attribute to the library",
    )
    def test_flip_adds_the_mirrored_crop(self) -> None:
        with self.make() as embedder:
            pixels = crops(2, embedder.crop_size)
            mirrored = pixels[:, :, ::-1]
            embedder.flip = True
            both, other = _vectors(embedder, pixels), _vectors(embedder, mirrored)
            require_close(other, both, FLIP_TOLERANCE, what="with flip, vectors of a crop and of its mirror image")
            embedder.flip = False
            require(embedder.flip is False, expected="flip False once set to it", got=embedder.flip)
            _require_flip_is_passed_on(embedder)

    @check(
        catches="crops of another size that are taken as they are",
        change="state crop_size; override `_embed`, not `embed`, which refuses others",
    )
    def test_crops_of_another_size_are_refused(self) -> None:
        with self.make() as embedder:
            other = crops(1, embedder.crop_size + 16)
            require_refused(ContractError, lambda: embedder.embed(other), what=f"crops of {other.shape[1]} px")

    @check(
        catches="a space that changes, is empty, or is the embedder's own making",
        change="leave space to the library; an embedder without networks states a version",
    )
    def test_the_space_stays_the_same(self) -> None:
        with self.make() as first, self.make() as second:
            own = [base.__name__ for base in type(first).__mro__ if "space" in vars(base) and base is not Embedder]
            require(not own, expected="no space of its own", got=f"{', '.join(own)}.space")
            spaces = {first.space, second.space, first.embed(crops(1, first.crop_size)).space}
            require(len(spaces) == 1, expected="one space from every instance and call", got=sorted(map(repr, spaces)))
            require(first.name in first.space, expected=f"a space that names {first.name!r}", got=repr(first.space))

    @check(
        catches="an embedder that only one thread at a time may call",
        change="keep what belongs to a call in local variables, not on self, or hold a lock in _embed",
    )
    def test_threads_may_share_it(self) -> None:
        with self.make() as embedder:
            parts = [crops(2, embedder.crop_size, seed=seed) for seed in range(4)]
            expected = [embedder.embed(part).vectors for part in parts]
            found = in_threads(lambda part: embedder.embed(part).vectors, parts * 3)
        what = "vectors from several threads and from one"
        require_close(np.stack(found), np.stack(expected * 3), VECTOR_TOLERANCE, what=what)

    @check(
        catches="crops that are read-only or strided and give an error or other vectors",
        change="write to no array that was given; begin with np.ascontiguousarray where a library needs it",
    )
    def test_crops_may_be_read_only_or_strided(self) -> None:
        with self.make() as embedder:
            crop = crops(1, embedder.crop_size)[0]
            expected = _vectors(embedder, crop[None])
            for what, pixels in same_pictures(crop):
                got = embedder.embed(pixels[None]).vectors
                require_close(got, expected, VECTOR_TOLERANCE, what=f"vectors of a crop {what} and of another array")

    @check(catches="crops that are changed in place", change="copy before you change: pixels.astype(np.float32)")
    def test_the_crops_are_not_changed(self) -> None:
        with self.make() as embedder:
            pixels = crops(2, embedder.crop_size).copy()
            copy = pixels.copy()
            embedder.embed(pixels)
        changed = int((pixels != copy).any(-1).sum())
        require(not changed, expected="crops as they were before the call", got=f"{changed} changed pixels")


def write_answers(path: Path, vectors: FloatArray, *, space: str) -> None:
    """Write the file that an embedder names as its `answers`.

    Args:
        vectors: (2, D) for `facereg.testing.face_crops(crop_size, template)`, without flip, from the framework that
            trained the network, or from the network run by itself: from anything but the plugin's own code.
        space: of the embedder; with other weights the answers are of no use.
    """
    np.savez(path, vectors=vectors.astype(np.float32), space=np.array(space))


def _answers(embedder: Embedder) -> FloatArray:
    if embedder.answers is None:
        raise CheckSkippedError("it states no answers of its network; see facereg.testing.write_answers")
    with np.load(embedder.answers, allow_pickle=False) as held:
        vectors, space = held["vectors"].astype(np.float32), str(held["space"])
    if space != embedder.space:
        raise CheckSkippedError(f"its answers are of {space!r}, these are other weights: {embedder.space!r}")
    return vectors  # type: ignore[no-any-return]


def _require_flip_is_passed_on(embedder: Embedder) -> None:
    """Raise CheckFailedError if a class that takes `flip`, as a keyword or an option, forgets it."""
    made: Callable[..., Embedder] = type(embedder)
    parameters = inspect.signature(made).parameters
    needed = {name for name, each in parameters.items() if each.default is each.empty}
    if not needed <= {"networks", "options"}:
        return
    given = {"networks": embedder.networks} if "networks" in parameters else {}
    for flip in (False, True):
        if "flip" in parameters:
            other = made(**given, flip=flip)
        elif settings := _settings_with_flip(type(embedder)):
            other = made(**given, options=settings(flip=flip))
        else:
            return
        require(other.flip is flip, expected=f"flip {flip} of an embedder made with flip={flip}", got=other.flip)


def _settings_with_flip(kind: type[Embedder]) -> Callable[..., object] | None:
    stated = get_type_hints(kind.__init__).get("options")
    for settings in (stated, *get_args(stated)):
        if isinstance(settings, type) and "flip" in getattr(settings, "__dataclass_fields__", ()):
            return settings
    return None


def _vectors(embedder: Embedder, pixels: Pixels) -> FloatArray:
    return embedder.embed(np.ascontiguousarray(pixels)).vectors


def _faces(embedder: Embedder) -> Pixels:
    return face_crops(embedder.crop_size, embedder.template)


def _views(person: int, embedder: Embedder) -> Pixels:
    """Return crops (4, size, size, 3) of one person: as is, turned by 4 degrees, shifted, blurred."""
    portrait = portraits()[person]
    size, target = embedder.crop_size, embedder.template
    centre, angle = target.mean(0), np.radians(4)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    targets = [target, (target - centre) @ rotation.T + centre, target + np.array([size / 56, 0])]
    cut = [
        warp(portrait.image, similarity_from_points(portrait.landmarks, each.astype(np.float32)), size)
        for each in targets
    ]
    blurred = cv2.GaussianBlur(cut[0], (0, 0), size / 112).astype(np.uint8)
    return np.stack([*cut, blurred])
