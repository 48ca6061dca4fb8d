"""8-bit copies of networks: what is kept in float32, how near they are, and what cannot be made."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import ContractError, DatasetError, FaceregError
from facereg.images import write_image
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import Composition, StageChoice
from facereg.registry.installed import default_registry
from facereg.testing.pictures import photograph
from facereg.types import Face, Image
from tests.calling import Run
from tests.kinds import FAILED, READ, SKIPPED, make_all, remove_deep

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.train

from facereg.training.quantizing import LAYERS, WORST, last_layers, quantize_stage  # noqa: E402  (needs onnx)

PNET, RNET, ONET = default_registry().model("mtcnn").networks
CASCADE = Composition(StageChoice("detector", "mtcnn"))  # the default detector has 8 bits already


@pytest.fixture(scope="module")
def image() -> Image:
    taken = photograph()
    if taken is None:
        pytest.skip("the photograph needs scikit-image")
    return taken[::2, ::2].copy()


@pytest.fixture(scope="module")
def small(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small")
    made = quantize_stage(CASCADE, "detector", [image], out)
    assert [one.path for one in made] == [out / spec.file for spec in (PNET, RNET, ONET)]
    # P-Net marks the gaps between pictures with numbers so large that 8 bits hold nothing else
    assert [one.kept for one in made] == [one.difference > WORST for one in made] == [True, False, False]
    return out


def face_in(image: Image, weights: Path | None) -> Face:
    with Pipeline.create(detector="mtcnn", weights={"detector": weights} if weights else None) as pipeline:
        [[face]] = pipeline.detector.detect([image])
    return face


def test_networks_of_8_bits_are_smaller_and_find_the_same(image: Image, small: Path) -> None:
    assert (small / PNET.file).read_bytes() == PNET.locate().read_bytes()
    assert (small / ONET.file).stat().st_size < 0.6 * ONET.locate().stat().st_size
    assert len(list(small.iterdir())) == 3  # nothing half made is left
    # each of 4 edges within a twentieth of a face of about 50 px
    assert face_in(image, small).box == pytest.approx(face_in(image, None).box, abs=2.5)


def test_an_embedder_is_measured_on_the_crops_of_the_faces(image: Image, tmp_path: Path) -> None:
    [made] = quantize_stage(CASCADE, "embedder", [image], tmp_path)
    assert made.path.is_file()
    assert 0.001 < made.difference < 1


def test_the_layers_that_lead_to_no_other_are_the_last() -> None:
    def node(kind: str, name: str, reads: str, gives: str) -> object:
        return onnx.helper.make_node(kind, [reads, "w"] if kind in LAYERS else [reads], [gives], name=name)

    nodes = [
        node("Conv", "stem", "images", "a"),
        node("Relu", "bend", "a", "b"),
        node("Conv", "boxes", "b", "c"),
        node("Conv", "neck", "b", "d"),
        node("Gemm", "points", "d", "e"),
        node("Sigmoid", "squash", "e", "f"),
    ]
    assert last_layers(onnx.helper.make_graph(nodes, "g", [], [])) == ["points", "boxes"]


def test_what_cannot_be_made_is_named_and_leaves_what_is_there(image: Image, small: Path) -> None:
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    eight = replace(CASCADE, detector=replace(CASCADE.detector, weights=small))
    with pytest.raises(ContractError, match="five-point: expected a model with networks"):
        quantize_stage(CASCADE, "aligner", [image], small)
    with pytest.raises(DatasetError, match="mtcnn-rnet: expected pictures that it has work in"):
        quantize_stage(CASCADE, "detector", [np.zeros_like(image)], small)
    with pytest.raises(ContractError, match="expected another folder"):
        quantize_stage(eight, "detector", [image], small)
    with pytest.raises(ContractError, match="expected float32 layers"):
        quantize_stage(eight, "detector", [image], small / "again")
    shutil.rmtree(small / "again")
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before


def test_a_picture_that_a_stage_fails_for_is_named_and_not_measured_on(image: Image, tmp_path: Path) -> None:
    failed: list[FaceregError] = []
    made = quantize_stage(CASCADE, "detector", [image[..., 0], image], tmp_path / "out", failed=failed.append)
    assert (len(made), len(failed)) == (3, 1)
    with pytest.raises(ContractError):
        quantize_stage(CASCADE, "detector", [image[..., 0]], tmp_path / "other")


def test_the_command_writes_every_network_and_accounts_for_every_entry(run: Run, image: Image, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    make_all(folder, tmp_path / "outside")
    write_image(folder / "photo.png", image)
    try:
        called = run("quantize", "detector", folder, "--detector", "mtcnn", "--out", tmp_path / "small", "--json")
    finally:
        remove_deep(folder / "deep")
    assert called.status == 1
    assert [line["name"] for line in called.lines] == ["mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet"]
    assert {"file", "difference", "kept"} < set(called.lines[0])
    assert f"{folder / 'zero.jpg'}: expected a picture, got a file of 0 bytes" in called.err
    done, skipped, failed = len(READ) + 1, len(SKIPPED), len(FAILED)
    counts = f"{done} done, {skipped} skipped, {failed} failed"
    assert called.err.splitlines()[-1] == f"facereg: {done + skipped + failed} entries: {counts}"
