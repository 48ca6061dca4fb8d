"""Every network gives on the real server what it gives in this process; plugins do not notice the difference."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier

import numpy as np
import numpy.typing as npt
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.folders.walking import find_images
from facereg.images import read_image
from facereg.networks.opening import Where, open_network
from facereg.networks.spec import NetworkSpec
from facereg.networks.triton.over_grpc import GrpcTransport
from facereg.networks.triton.transport import Request, WireTensor
from facereg.pipeline.composer import Pipeline
from facereg.registry.installed import Registry, default_registry
from facereg.roles import Detector
from facereg.serving.check import check_server, inputs_from_picture
from facereg.testing.pictures import crops, photograph, portraits
from facereg.types import Faces, FloatArray, Image
from tests.fakes import PaintedDetector, picture
from tests.triton.conftest import Served
from tests.triton.third_party import COLOURS, third_party_registry

WAYS = ("grpc", "http")
IN_FLIGHT = 8
NETWORKS = [spec for model in default_registry().models(tagged=True) for spec in model.networks]


def address_of(served: Served, way: str = "grpc") -> str:
    return served.server.http_address if way == "http" else served.server.address


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_a_network_gives_the_same_numbers(served: Served, spec: NetworkSpec, way: str) -> None:
    [built] = [entry for entry in served.built if entry.network == spec.name]
    if built.reason:
        pytest.skip(built.reason)
    weights = served.weights.get(built.model)
    picture = photograph()
    assert picture is not None
    inputs = inputs_from_picture(spec, picture)
    with (
        open_network(spec, weights=weights, threads=1) as here,
        open_network(spec, weights=weights, runner=address_of(served, way)) as there,
    ):
        assert there.fingerprint == here.fingerprint
        for count in (3, 1):
            part = {name: value[:count] for name, value in inputs.items()}
            mine, theirs = here.infer(part), there.infer(part)
            for name in mine:
                # one library and one machine, but the server may join requests: batches sum in another order
                np.testing.assert_allclose(theirs[name], mine[name], rtol=1e-4, atol=1e-5 * np.abs(mine[name]).max())


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_over_the_servers_largest_is_split_and_put_together(served: Served, way: str) -> None:
    [spec] = [spec for spec in NETWORKS if spec.name == "mtcnn-rnet"]
    pixels = np.random.default_rng(0).uniform(0, 255, (spec.max_batch, 3, 24, 24)).astype(np.float32)
    with open_network(spec, threads=1) as here, open_network(spec, runner=address_of(served, way)) as there:
        for count in (spec.max_batch, 24, 25, 1, 0):  # two requests, one, two, one, none
            mine, theirs = here.infer({"images": pixels[:count]}), there.infer({"images": pixels[:count]})
            assert {name: value.shape for name, value in theirs.items()} == {n: v.shape for n, v in mine.items()}
            for name in mine:
                np.testing.assert_allclose(theirs[name], mine[name], rtol=1e-4, atol=1e-5)


def pictures(face_data: Path, count: int) -> list[Image]:
    """Return real pictures, every tenth a crowd."""
    portraits = find_images([face_data / "lfw-view1" / "images"])
    crowds = find_images([face_data / "faces-in-crowds" / "images"])
    many = count - count // 10
    chosen = [*portraits[:: len(portraits) // many][:many], *crowds[:: len(crowds) // (count // 10)][: count // 10]]
    return [read_image(path) for path in chosen]


def assert_same_faces(mine: list[Faces], theirs: list[Faces]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        assert len(one) == len(other)
        np.testing.assert_allclose(other.boxes, one.boxes, atol=0.1)  # px
        np.testing.assert_allclose(other.landmarks, one.landmarks, atol=0.1)
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)


def detectors(served: Served, name: str, address: str) -> tuple[Detector, Detector]:
    weights, registry = served.weights.get(name), default_registry()
    return (
        registry.create(name, role="detector", weights=weights),
        registry.create(name, role="detector", weights=weights, runner=address),
    )


def test_the_detector_finds_the_same_faces_in_a_photograph(served: Served) -> None:
    picture = photograph()
    assert picture is not None
    here, there = detectors(served, "mtcnn", served.server.address)
    with here, there:
        mine = here.detect([picture, picture[:200]])
        assert len(mine[0]) >= 1
        assert_same_faces(mine, there.detect([picture, picture[:200]]))


@pytest.mark.data
def test_the_detector_finds_the_same_faces_in_200_pictures(served: Served, face_data: Path) -> None:
    images = pictures(face_data, 200)
    here, there = detectors(served, "mtcnn", served.server.address)
    with here, there:
        for start in range(0, len(images), 20):
            part = images[start : start + 20]
            assert_same_faces(here.detect(part), there.detect(part))


@pytest.mark.data
@pytest.mark.weights
def test_a_published_detector_finds_the_same_faces(served: Served, face_data: Path) -> None:
    if "yunet" not in served.weights:
        pytest.skip("FACEREG_WEIGHTS is not set to a folder with yunet_n_dynamic.onnx")
    images = pictures(face_data, 20)
    here, there = detectors(served, "yunet", served.server.address)
    with here, there:
        assert_same_faces(here.detect(images), there.detect(images))


def assert_same_points(served: Served, name: str, options: dict[str, object]) -> None:
    """Compare the points and crops of an aligner by a landmark network, here and on the server, of two portraits."""
    people, registry = portraits(), default_registry()
    places = [Where(weights=served.weights.get(name), runner=way) for way in ("onnx", served.server.address)]
    with (
        registry.make(name, options, role="aligner", where=places[0]) as here,
        registry.make(name, options, role="aligner", where=places[1]) as there,
    ):
        faces = [Faces(person.box[None], np.ones(1, np.float32)) for person in people]
        mine, theirs = (each.align([person.image for person in people], faces, size=112) for each in (here, there))
    assert theirs.refused == mine.refused
    assert len(mine) == len(people)
    np.testing.assert_allclose(theirs.landmarks, mine.landmarks, atol=0.1)  # px
    assert np.abs(theirs.pixels.astype(int) - mine.pixels).mean() < 0.5


def test_a_landmark_file_of_a_users_gives_the_same_points(served: Served) -> None:
    assert_same_points(served, "onnx-landmarks", {"layout": "five", "passes": 1, "margin": 1.0})


@pytest.mark.parametrize("name", ["adnet-68", "adnet-98"])
def test_our_landmark_networks_give_the_same_points(served: Served, name: str) -> None:
    [built] = [entry for entry in served.built if entry.network == name]
    if built.reason:
        pytest.skip(built.reason)
    assert_same_points(served, name, {})


def assert_same_embeddings(
    registry: Registry, name: str, served: Served, faces: npt.NDArray[np.uint8], weights: str | Path | None
) -> None:
    with (
        registry.create(name, role="embedder", weights=weights) as here,
        registry.create(name, role="embedder", weights=weights, runner=served.server.address) as there,
    ):
        mine, theirs = here.embed(faces), there.embed(faces)
        assert theirs.space == mine.space  # so that a gallery takes both
        assert (mine.vectors * theirs.vectors).sum(1).min() >= 0.99999


@pytest.mark.parametrize(
    ("name", "size"),
    [("mobilenetv3-arcface", 112), ("dlib-resnet", 150), ("inceptionv2-triplet", 112), ("vgg16-online-triplet", 256)],
)
def test_the_embedder_gives_the_same_vectors(name: str, size: int, served: Served) -> None:
    [built] = [entry for entry in served.built if entry.network == name]
    if built.reason:
        pytest.skip(built.reason)
    assert_same_embeddings(default_registry(), name, served, crops(40, size), served.weights.get(name))


@pytest.mark.data
def test_the_embedder_gives_the_same_vectors_for_200_faces(served: Served, face_data: Path) -> None:
    [built] = [entry for entry in served.built if entry.network == "mobilenetv3-arcface"]
    if built.reason:
        pytest.skip(built.reason)
    paths = find_images([face_data / "celeba-faces112"])[::50][:200]
    faces = np.stack([read_image(path) for path in paths])
    assert_same_embeddings(default_registry(), "mobilenetv3-arcface", served, faces, None)


def test_a_third_partys_embedder_is_served_without_a_change(served: Served) -> None:
    assert_same_embeddings(third_party_registry(), "mean-colour", served, crops(13, 112), served.colours)


def test_a_pipeline_keeps_as_many_requests_in_flight_as_the_address_says(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, send = Barrier(IN_FLIGHT), GrpcTransport.infer

    def send_together(transport: GrpcTransport, request: Request, timeout_s: float) -> list[WireTensor]:
        together.wait(60)  # passes only while so many requests are being made
        return send(transport, request, timeout_s)

    def vectors(runner: str) -> FloatArray:
        embedder = third_party_registry().create("mean-colour", role="embedder", weights=served.colours, runner=runner)
        with Pipeline(PaintedDetector(), FivePointAligner(), embedder) as pipeline:
            pipeline.embedder.batch_size = 4
            results = pipeline.stream(picture(person) for person in range(8 * IN_FLIGHT))  # two rounds of batches
            return np.concatenate([result.embeddings.vectors for result in results])

    here = vectors("onnx")
    monkeypatch.setattr(GrpcTransport, "infer", send_together)
    there = vectors(f"{served.server.address}?in_flight={IN_FLIGHT}")
    np.testing.assert_allclose(there, here, atol=1e-6)  # the means are summed in another order


def test_a_third_partys_numbers_are_the_means_of_the_pixels(served: Served) -> None:
    pixels = np.zeros((2, 4, 5, 3), np.uint8)
    pixels[0, :, :, 1], pixels[1] = 90, 200
    with open_network(COLOURS, weights=served.colours, runner=served.server.address) as runner:
        found = runner.infer({"images": pixels})
    np.testing.assert_allclose(found["embedding"], [[0, 90, 0], [200, 200, 200]])
    np.testing.assert_allclose(found["brightness"], [30, 200])


def test_the_check_passes_every_network_and_skips_those_without_weights(served: Served) -> None:
    picture = photograph()
    assert picture is not None
    found = {
        entry.network: entry
        for entry in check_server(served.server.address, picture, registry=default_registry(), weights=served.weights)
    }
    for built in served.built:
        assert found[built.network].state == ("skipped" if built.reason else "passed"), found[built.network]
    assert found["mtcnn-rnet"].difference is not None
    assert found["mtcnn-rnet"].difference <= 1e-4
