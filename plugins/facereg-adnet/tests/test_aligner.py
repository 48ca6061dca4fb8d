"""The aligners: from boxes to points by a network of the same tensors, whatever its weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from facereg_adnet.aligner import Adnet68, Adnet98
from facereg_adnet.options import AdnetOptions
from facereg_adnet.plugin import ADNET_68, ADNET_98, MARGIN

from facereg.geometry import TEMPLATE_112
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.networks.spec import NetworkSpec
from facereg.registry.installed import Registry
from facereg.roles import Aligner
from facereg.testing import AlignerContract
from facereg.testing.pictures import noise, portraits
from facereg.types import Faces, FloatArray

KINDS = pytest.mark.parametrize(("kind", "spec"), [(Adnet68, ADNET_68), (Adnet98, ADNET_98)], ids=["68", "98"])


def mean_face(kind: type[Adnet68]) -> FloatArray:
    """Return points (P, 2) in px of a crop: an upright face that fills it as the margin says, its five in their places.

    Of the others one lies at each corner of the box about all points: that is why a second look sees the same crop.
    """
    known, side = kind.layout, kind.side
    reach = side / MARGIN
    low = (side - 1) / 2 - reach / 2
    five = (low + reach * (TEMPLATE_112 + 0.5) / 112).astype(np.float32)
    points = np.tile(five[2], (known.points, 1))
    for place, own in enumerate(known.five):
        points[list(own)] = five[place]
    outer = [point for point in range(known.points) if not any(point in own for own in known.five)]
    points[outer[:2]] = [[low, low], [low + reach, low + reach]]
    return points


class Same(Runner):
    """Gives the same points for every crop, each as sure as `sure`."""

    def __init__(self, spec: NetworkSpec, points: FloatArray, sure: float) -> None:
        super().__init__(spec, fingerprint="ab" * 32)
        self._points, self._sure = points, sure
        self.batches: list[int] = []

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        count = len(inputs["images"])
        self.batches.append(count)
        return {
            "points": np.tile(self._points, (count, 1, 1)).astype(np.float32),
            "scores": np.full((count, len(self._points)), self._sure, np.float32),
        }


def made(kind: type[Adnet68], spec: NetworkSpec, sure: float = 0.8, **options: float) -> tuple[Adnet68, Same]:
    runner = Same(spec, mean_face(kind), sure)
    return kind(Networks([spec], lambda _: runner), AdnetOptions(**options)), runner  # type: ignore[arg-type]


class TestAdnet68KeepsTheContract(AlignerContract):
    def make(self) -> Aligner:
        return made(Adnet68, ADNET_68)[0]


class TestAsShippedItKeepsTheContract(AlignerContract):
    def make(self) -> Aligner:
        return Adnet68.open()


class TestAdnet98KeepsTheContract(AlignerContract):
    def make(self) -> Aligner:
        return made(Adnet98, ADNET_98)[0]


@KINDS
def test_points_of_a_crop_come_back_about_the_box(kind: type[Adnet68], spec: NetworkSpec) -> None:
    box = np.array([[100, 60, 180, 160]], np.float32)  # the square of all points: 100 px about (140, 110)
    aligner, runner = made(kind, spec)
    crops = aligner.align([noise(300, 300)], [Faces(box, np.ones(1, np.float32))], size=112)
    five = kind.layout.five_of(crops.landmarks[0])
    assert five == pytest.approx(np.array([90, 60]) + 100 * (TEMPLATE_112 + 0.5) / 112, abs=0.05)
    assert runner.batches == [1, 1]  # two looks
    assert crops.landmarks.shape == (1, kind.layout.points, 2)


@KINDS
def test_faces_share_batches_of_the_network(kind: type[Adnet68], spec: NetworkSpec) -> None:
    corners = np.random.default_rng(0).uniform(0, 200, (40, 2)).astype(np.float32)
    boxes = Faces(np.concatenate([corners, corners + 60], 1), np.ones(40, np.float32))
    aligner, runner = made(kind, spec, passes=1)
    assert aligner.align([noise(300, 300)], [boxes], size=112).counts == (40,)
    assert runner.batches == [16, 16, 8]


@KINDS
def test_a_face_that_the_network_is_not_sure_of_is_refused(kind: type[Adnet68], spec: NetworkSpec) -> None:
    person = portraits()[0]
    aligner, _ = made(kind, spec, sure=0.1)
    [reason] = aligner.align([person.image], [person.faces], size=112).refused
    assert reason == "no face: the network is sure to 0.10, expected at least 0.2"
    lenient, _ = made(kind, spec, sure=0.1, least=0.05)
    assert len(lenient.align([person.image], [person.faces], size=112)) == 1


class SeesInGreyAlone(Same):
    """Is half as sure of a crop with colours, and sees its points elsewhere."""

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found, crops = super()._infer(inputs), inputs["images"]
        colours = (crops != crops[..., :1]).any((1, 2, 3))
        found["points"][colours] += 9
        return found | {"scores": found["scores"] * np.where(colours, 0.5, 1)[:, None].astype(np.float32)}


@KINDS
def test_a_crop_that_the_network_is_not_sure_of_is_looked_at_in_grey(kind: type[Adnet68], spec: NetworkSpec) -> None:
    runner = SeesInGreyAlone(spec, mean_face(kind), sure=0.3)
    aligner = kind(Networks([spec], lambda _: runner), AdnetOptions(passes=1))
    colours, grey = noise(300, 300), np.repeat(noise(300, 300)[..., :1], 3, 2)
    box = Faces(np.array([[100, 60, 180, 160]], np.float32), np.ones(1, np.float32))
    crops = aligner.align([colours, grey], [box, box], size=112)
    assert crops.refused == ()
    assert crops.landmarks[0] == pytest.approx(crops.landmarks[1], abs=1e-3)
    assert runner.batches == [2, 1]  # the second look is at the first crop alone


@pytest.mark.parametrize("weights", ["adnet-68", "adnet-68:as-labelled", "adnet-98"])
class TestTheWeightsThatShip:
    def test_five_points_lie_where_the_portraits_have_them(self, weights: str) -> None:
        with Registry.load().create(weights, role="aligner") as aligner:
            for person in portraits():
                crops = aligner.align([person.image], [Faces(person.box[None], np.ones(1, np.float32))], size=112)
                assert crops.refused in ((), ("",))
                eyes = np.linalg.norm(person.landmarks[0] - person.landmarks[1])
                assert isinstance(aligner, Adnet68)
                errors = np.linalg.norm(aligner.layout.five_of(crops.landmarks[0]) - person.landmarks, axis=1)
                assert errors.mean() / eyes < 0.1

    def test_no_face_is_refused(self, weights: str) -> None:
        box = np.array([[60, 60, 220, 220]], np.float32)
        with Registry.load().create(weights, role="aligner") as aligner:
            crops = aligner.align([noise(300, 300)], [Faces(box, np.ones(1, np.float32))], size=112)
        assert len(crops) == 0
        assert crops.refused[0].startswith("no face")
