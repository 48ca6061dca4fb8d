"""The checks, one class a role; each check is a method `test_...` with a sentence for a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from facereg.errors import ContractError, FaceregError, SpaceMismatchError
from facereg.geometry import box_overlap, template
from facereg.registry.installed import Registry
from facereg.roles import Aligner, Detector, Embedder, Matcher, RoleName, Stage
from facereg.testing.pictures import FACE_OF_PHOTOGRAPH, crops, faces_at, noise, photograph, vectors
from facereg.types import Crops, Embeddings, Faces, FloatArray, Image

BOX_TOLERANCE = 0.01  # px; sums of float32 in another order stay far below
VECTOR_TOLERANCE = 1e-5  # on unit vectors, for the same reason


class _Contract:
    """What all roles share."""

    def make(self) -> Stage:
        """Return a new stage; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new stage")

    def test_closing_twice_is_allowed(self) -> None:
        stage = self.make()
        stage.close()
        stage.close()


class DetectorContract(_Contract):
    """What every detector must do; write `make`."""

    def make(self) -> Detector:
        """Return a new detector; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new detector")

    def test_no_images_give_no_results(self) -> None:
        with self.make() as detector:
            assert detector.detect([]) == []

    def test_images_of_any_size_give_one_result_each(self) -> None:
        images = [noise(1, 1), noise(7, 300), noise(300, 7), noise(64, 64), noise(241, 123)]
        with self.make() as detector:
            found = detector.detect(images)
        assert len(found) == len(images)
        for faces in found:
            _require(faces.landmarks.shape[1] in (0, self._points()), f"landmarks of shape {faces.landmarks.shape}")

    def test_a_batch_gives_what_each_image_gives_alone(self) -> None:
        images = [_scene(), noise(90, 200), _scene()[100:400, 50:500], noise(33, 33), _scene()[::2, ::2].copy()]
        with self.make() as detector:
            together, alone = detector.detect(images), [detector.detect([image])[0] for image in images]
        for first, second in zip(together, alone, strict=True):
            _same_faces(first, second)

    def test_twice_the_same_image_gives_the_same_faces(self) -> None:
        with self.make() as detector:
            first, second = detector.detect([_scene()]), detector.detect([_scene()])
        _same_faces(first[0], second[0])

    def test_threads_may_share_it(self) -> None:
        images = [_scene(), noise(100, 100), _scene()[:, ::-1].copy(), noise(50, 80, seed=1)]
        with self.make() as detector:
            expected = detector.detect(images)
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda image: detector.detect([image])[0], images * 2))
        for first, second in zip(found, expected * 2, strict=True):
            _same_faces(first, second)

    def test_it_finds_the_face_of_a_photograph(self) -> None:
        image = photograph()
        if image is None:
            return
        with self.make() as detector:
            [faces] = detector.detect([image])
        _require(len(faces) >= 1, "found no face in the photograph")
        overlap = box_overlap(faces.boxes, np.array([FACE_OF_PHOTOGRAPH], np.float32))[:, 0]
        _require(overlap.max() > 0.4, f"no box is where the face is; best IoU {overlap.max():.2f}")
        if faces.landmarks.shape[1] == 5:
            points = faces.landmarks[int(overlap.argmax())]
            _require(points[0, 0] < points[1, 0], "the viewer's-left eye is not left of the other")
            _require(points[3, 0] < points[4, 0], "the viewer's-left mouth corner is not left of the other")
            _require(points[:2, 1].max() < points[3:, 1].min(), "the eyes are not above the mouth")

    def test_an_image_of_another_dtype_is_refused(self) -> None:
        with self.make() as detector:
            _refused(ContractError, lambda: detector.detect([noise(20, 20).astype(np.float32)]))

    def _points(self) -> int:
        with self.make() as detector:
            return detector.landmark_count


class AlignerContract(_Contract):
    """What every aligner must do; write `make`."""

    def make(self) -> Aligner:
        """Return a new aligner; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new aligner")

    def test_no_faces_give_no_crops(self) -> None:
        with self.make() as aligner:
            crops_ = aligner.align([noise(50, 50)], [Faces.empty(landmarks=5)], size=112)
        assert crops_.pixels.shape == (0, 112, 112, 3)
        assert crops_.counts == (0,)

    def test_each_face_gives_one_crop_in_order(self) -> None:
        target = template(112)
        faces = [faces_at([target.tolist(), (target * 0.5 + 10).tolist()]), faces_at([target.tolist()])]
        with self.make() as aligner:
            together = aligner.align([noise(112, 112), noise(130, 120, seed=1)], faces, size=112)
            second = aligner.align([noise(130, 120, seed=1)], faces[1:], size=112)
        assert together.counts == (2, 1)
        assert np.array_equal(together.pixels[2], second.pixels[0])

    def test_the_size_asked_for_is_the_size_given(self) -> None:
        faces = [faces_at([template(112).tolist()])]
        with self.make() as aligner:
            for size in (64, 112, 224):
                assert aligner.align([noise(112, 112)], faces, size=size).pixels.shape == (1, size, size, 3)


class EmbedderContract(_Contract):
    """What every embedder must do; write `make`."""

    def make(self) -> Embedder:
        """Return a new embedder; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new embedder")

    def test_no_crops_give_no_vectors(self) -> None:
        with self.make() as embedder:
            empty = Crops.from_pixels(np.empty((0, embedder.crop_size, embedder.crop_size, 3), np.uint8))
            assert embedder.embed(empty).vectors.shape == (0, embedder.dim)

    def test_vectors_have_unit_length(self) -> None:
        with self.make() as embedder:
            vectors_ = embedder.embed(crops(3, embedder.crop_size)).vectors
        _close(np.linalg.norm(vectors_, axis=1), np.ones(3, np.float32), VECTOR_TOLERANCE)

    def test_a_batch_gives_what_each_crop_gives_alone(self) -> None:
        with self.make() as embedder:
            several = crops(embedder.batch_size + 3, embedder.crop_size)
            rows = [0, 1, embedder.batch_size, embedder.batch_size + 2]
            together = embedder.embed(several).vectors[rows]
            alone = [embedder.embed(Crops.from_pixels(several.pixels[row : row + 1])).vectors[0] for row in rows]
        _close(together, np.stack(alone), VECTOR_TOLERANCE)

    def test_different_crops_give_different_vectors(self) -> None:
        with self.make() as embedder:
            vectors_ = embedder.embed(crops(2, embedder.crop_size)).vectors
        _require(float(vectors_[0] @ vectors_[1]) < 0.999, "two different crops gave one vector")

    def test_crops_of_another_size_are_refused(self) -> None:
        with self.make() as embedder:
            other = crops(1, embedder.crop_size + 16)
            _refused(ContractError, lambda: embedder.embed(other))

    def test_the_space_stays_the_same(self) -> None:
        with self.make() as first, self.make() as second:
            assert first.space == second.space
            assert first.embed(crops(1, first.crop_size)).space == first.space

    def test_threads_may_share_it(self) -> None:
        with self.make() as embedder:
            parts = [crops(2, embedder.crop_size, seed=seed) for seed in range(4)]
            expected = [embedder.embed(part).vectors for part in parts]
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda part: embedder.embed(part).vectors, parts * 2))
        _close(np.stack(found), np.stack(expected * 2), VECTOR_TOLERANCE)


class MatcherContract(_Contract):
    """What every matcher must do; write `make`, which returns an empty one with a threshold of 0.5."""

    def make(self) -> Matcher:
        """Return a new matcher; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new matcher")

    def test_nobody_known_gives_nobody(self) -> None:
        with self.make() as matcher:
            matches = matcher.match(vectors(2, 8, "a"))
        assert [match.label for match in matches] == [None, None]
        assert len(matcher) == 0

    def test_a_known_vector_finds_its_person(self) -> None:
        known = vectors(20, 16, "a")
        with self.make() as matcher:
            matcher.add([f"person {row}" for row in range(20)], known)
            matches = matcher.match(known, k=3)
        assert [match.label for match in matches] == [f"person {row}" for row in range(20)]
        _close(matches.similarities[:, 0], np.ones(20, np.float32), VECTOR_TOLERANCE)

    def test_similarities_are_exact(self) -> None:
        known, probes = vectors(50, 16, "a"), vectors(9, 16, "a", seed=1)
        with self.make() as matcher:
            matcher.add([str(row) for row in range(50)], known)
            matches = matcher.match(probes, k=1)
        _close(matches.similarities[:, 0], (probes.vectors @ known.vectors.T).max(1), VECTOR_TOLERANCE)

    def test_a_person_comes_once_however_many_vectors(self) -> None:
        known = Embeddings(vectors(3, 16, "a").vectors[[0, 1, 0, 0, 1, 2]], "a")
        with self.make() as matcher:
            matcher.add(["ada", "bob", "ada", "ada", "bob", "eve"], known)
            matches = matcher.match(known[2:3], k=9)
        assert len(matcher) == 3
        assert sorted(matches.labels[0]) == ["ada", "bob", "eve"]
        assert matches.labels[0][0] == "ada"

    def test_below_the_threshold_is_nobody(self) -> None:
        axes = np.eye(4, dtype=np.float32)
        with self.make() as matcher:
            matcher.add(["x"], Embeddings(axes[:1], "a"))
            near = np.array([[0.6, 0.8, 0, 0], [0.4, np.sqrt(0.84), 0, 0]], np.float32)
            matches = list(matcher.match(Embeddings(near, "a")))
        assert [match.label for match in matches] == ["x", None]

    def test_a_removed_person_is_forgotten(self) -> None:
        known = vectors(3, 16, "a")
        with self.make() as matcher:
            matcher.add(["ada", "bob", "ada"], known)
            assert matcher.remove("ada") == 2
            assert matcher.remove("ada") == 0
            assert matcher.match(known[:1]).labels[0] == ("bob",)

    def test_another_space_is_refused(self) -> None:
        with self.make() as matcher:
            matcher.add(["ada"], vectors(1, 16, "a"))
            _refused(SpaceMismatchError, lambda: matcher.match(vectors(1, 16, "b")))
            _refused(SpaceMismatchError, lambda: matcher.add(["bob"], vectors(1, 16, "b")))


CONTRACTS: dict[RoleName, type[_Contract]] = {
    "detector": DetectorContract,
    "aligner": AlignerContract,
    "embedder": EmbedderContract,
    "matcher": MatcherContract,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check of one model."""

    model: str
    check: str
    passed: bool
    message: str = ""


def run_contract(name: str, registry: Registry, *, weights: str | Path | None = None) -> Iterator[Outcome]:
    """Run the checks on a model, or on every model of a plugin, and yield what came out.

    Args:
        weights: folder or file that stands in for the models' own.
    Raises:
        UnknownNameError: if there is neither a plugin nor a model of that name.
    """
    states = {state.name: state for state in registry.plugins}
    models = states[name].models if name in states and states[name].models else (registry.model(name).name,)
    for model in models:
        role = registry.model(model).role
        contract = _with_make(CONTRACTS[role], model, role, registry, weights)
        for check in sorted(attribute for attribute in dir(contract) if attribute.startswith("test_")):
            sentence = check.removeprefix("test_").replace("_", " ")
            try:
                getattr(contract, check)()
            except Exception as error:  # whatever a stage raises is an outcome
                message = " ".join(f"{type(error).__name__}: {error}".split())
                yield Outcome(model, sentence, passed=False, message=message)
            else:
                yield Outcome(model, sentence, passed=True)


def _with_make(
    contract: type[_Contract], model: str, role: RoleName, registry: Registry, weights: str | Path | None
) -> _Contract:
    def make(_: object) -> Stage:
        if role == "matcher":
            return registry.create(model, role=role, threshold=0.5)
        return registry.create(model, role=role, weights=weights)

    return cast(_Contract, type(f"{contract.__name__}Of", (contract,), {"make": make})())


def _scene() -> Image:
    image = photograph()
    return noise(200, 200) if image is None else image[:400]


def _same_faces(first: Faces, second: Faces) -> None:
    _require(len(first) == len(second), f"expected one number of faces, got {len(first)} and {len(second)}")
    _close(first.boxes, second.boxes, BOX_TOLERANCE)
    _close(first.landmarks, second.landmarks, BOX_TOLERANCE)


def _close(first: FloatArray, second: FloatArray, tolerance: float) -> None:
    difference = float(np.abs(first - second).max(initial=0.0))
    _require(difference <= tolerance, f"expected a difference of at most {tolerance:g}, got {difference:.3g}")


def _refused(kind: type[FaceregError], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, got no error")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
