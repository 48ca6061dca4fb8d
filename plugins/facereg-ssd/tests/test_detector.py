"""The detector: the contract, parity with torchvision, its options, what a pipeline says of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch
from facereg_ssd.detector import Ssd300, stretched
from facereg_ssd.networks import DeployedSsd, decode, default_boxes
from facereg_ssd.options import SsdOptions
from facereg_ssd.plugin import BOXES, NETWORK
from onnx import TensorProto, helper
from torchvision.models.detection.ssd import SSD

from facereg.builtin.alignment import FivePointAligner
from facereg.errors import ContractError, WeightsError
from facereg.geometry import template
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.pipeline.composer import Pipeline
from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.testing import DetectorContract
from facereg.testing.pictures import noise, photograph

pytestmark = pytest.mark.train


class TestSsd300KeepsTheContract(DetectorContract):
    """With a thin network that learned the photograph's face."""

    expected_failures: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("test_it_finds_the_face_in_other_sizes_and_places", "test_it_finds_both_faces_of_a_picture"),
        "the network of this test learned one face in one place",
    )

    @pytest.fixture(autouse=True)
    def _weights(self, weights: Path) -> None:
        self.weights = weights

    def make(self) -> Detector:
        stage = Registry.load().create("ssd300-vgg16", role="detector", weights=self.weights, threads=1)
        assert isinstance(stage, Detector)
        return stage


class InTorch(Runner):
    """Runs the exported module without exporting it."""

    def __init__(self, network: SSD) -> None:
        super().__init__(NETWORK, fingerprint="torch")
        self.module = DeployedSsd(network).eval()

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode():
            boxes, scores = self.module(torch.from_numpy(inputs["images"]))
        return {"boxes": boxes.numpy(), "scores": scores.numpy()}


@pytest.fixture
def network(thin: Callable[[], SSD]) -> SSD:
    """A thin network with random weights."""
    torch.manual_seed(0)
    return thin().eval()


def test_decoding_and_suppression_give_what_torchvision_gives(network: SSD) -> None:
    image = noise(300, 300)
    with torch.inference_mode():
        [expected] = network([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    detector = Ssd300(Networks((NETWORK,), lambda spec: InTorch(network)), SsdOptions(threshold=network.score_thresh))
    [found] = detector.detect([image])
    assert len(found) == len(expected["scores"]) > 10
    # float32 in another order; torchvision measures from the corner, here pixel centres are at integers
    assert found.scores == pytest.approx(expected["scores"].numpy(), abs=1e-5)
    assert found.boxes + 0.5 == pytest.approx(expected["boxes"].numpy(), abs=2e-3)


def test_default_boxes_are_those_of_the_paper(network: SSD) -> None:
    boxes = default_boxes(network)
    assert boxes.shape == (BOXES, 4)
    # the first cell of the 38 x 38 map: centre (4, 4), scale 0.07 of 300
    assert boxes[0].tolist() == pytest.approx([4 - 10.5, 4 - 10.5, 4 + 10.5, 4 + 10.5], abs=1e-4)


def test_decoding_by_hand() -> None:
    defaults = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # 20 x 40 about (20, 40)
    offsets = torch.tensor([[[1.0, -1.0, 5 * math.log(2), 0.0]], [[0.0, 0.0, 1000.0, 0.0]]])
    boxes = decode(offsets, defaults)
    # a tenth of the sides: 2 to the right and 4 up; twice as wide
    assert boxes[0, 0].tolist() == pytest.approx([22 - 20, 36 - 20, 22 + 20, 36 + 20], rel=1e-5)
    assert float(boxes[1, 0, 2] - boxes[1, 0, 0]) == pytest.approx(20 * 1000 / 16, rel=1e-5)  # the bound of torchvision


class Fixed(Runner):
    """Finds the same boxes in every picture."""

    def __init__(self, boxes: list[list[float]], scores: list[float]) -> None:
        super().__init__(NETWORK, fingerprint="fixed")
        self.boxes, self.scores = np.array(boxes, np.float32), np.array(scores, np.float32)
        self.batches: list[int] = []

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows = len(inputs["images"])
        self.batches.append(rows)
        # the network always gives all its boxes: the others score nothing
        boxes, scores = np.zeros((rows, BOXES, 4), np.float32), np.zeros((rows, BOXES), np.float32)
        boxes[:, : len(self.boxes)], scores[:, : len(self.scores)] = self.boxes, self.scores
        return {"boxes": boxes, "scores": scores}


def fixed(runner: Runner, **options: float) -> Ssd300:
    return Ssd300(Networks((NETWORK,), lambda spec: runner), SsdOptions(**options))  # type: ignore[arg-type]


def test_boxes_lie_in_the_picture_where_they_lay_in_the_square() -> None:
    runner = Fixed([[30, 60, 330, 120]], [0.9])
    found = fixed(runner).detect([noise(150, 600)] * 17)
    # 600 x 150 became 300 x 300: twice in x and half in y, the right end at the picture's edge
    assert found[0].boxes.tolist() == [[59.5, 29.5, 599.5, 59.5]]
    assert found[16].landmarks.shape == (1, 0, 2)
    assert runner.batches == [16, 1]


def test_scores_overlaps_and_numbers_decide() -> None:
    runner = Fixed([[0, 0, 10, 10], [2, 0, 12, 10], [20, 0, 30, 10]], [0.6, 0.9, 0.4])  # the first two: 80 / 120
    image = noise(300, 300)

    def count(**options: float) -> int:
        return len(fixed(runner, **options).detect([image])[0])

    assert count(threshold=0.3) == 2
    assert count(threshold=0.3, iou=0.7) == 3
    assert count(threshold=0.6) == 1  # over it, not at it
    assert count(threshold=0.3, iou=0.7, candidates=2) == 2
    assert count(threshold=0.3, most=1) == 1


@pytest.mark.parametrize("option", [{"threshold": 2.0}, {"iou": 0.0}, {"candidates": 0}, {"most": 0}], ids=str)
def test_an_option_out_of_range_is_refused(option: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="0 <= threshold <= 1"):
        fixed(Fixed([], []), **option)


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    image = noise(300, 300)
    assert np.array_equal(stretched(image), image)
    assert stretched(noise(10, 700)).shape == (300, 300, 3)


def test_a_pipeline_that_needs_landmarks_says_so_before_it_works() -> None:
    with pytest.raises(ContractError) as caught:
        Pipeline.create(detector="ssd300-vgg16", aligner="five-point")
    assert str(caught.value) == (
        "detector 'ssd300-vgg16' gives no landmarks, and aligner 'five-point' needs them; use a detector with "
        "landmarks, or an aligner that finds its own, see 'facereg models'"
    )


def write_mean_face(path: Path) -> Path:
    """Write a landmark network that sees the five of an upright face in the middle of every crop of 112 px."""
    shares = ((template(112) + 0.5) / 112).reshape(1, 10)
    nodes = [
        helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["none"]),
        helper.make_node("Add", ["none", "shares"], ["points"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("shares", TensorProto.FLOAT, [1, 10], shares.reshape(-1).tolist()),
    ]
    graph = helper.make_graph(
        nodes,
        "mean-face",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, [1, 10])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


def test_with_a_landmark_network_its_boxes_feed_a_full_pipeline(weights: Path, tmp_path: Path) -> None:
    image = photograph()
    assert image is not None
    with Pipeline.create(
        detector="ssd300-vgg16",
        aligner="onnx-landmarks",
        weights={"detector": weights, "aligner": write_mean_face(tmp_path / "mean.onnx")},
        options={"aligner": {"layout": "five", "margin": 1.0, "passes": 1}},
        threads=1,
    ) as pipeline:
        [result] = pipeline.run([image])
    assert len(result.faces) >= 1
    assert result.faces.landmarks.shape[1] == 0
    assert len(result.embeddings) == len(result.faces)


def test_an_aligner_by_five_landmarks_says_that_there_are_none() -> None:
    image = noise(300, 300)
    found = fixed(Fixed([[30, 60, 130, 120]], [0.9])).detect([image])
    with pytest.raises(ContractError, match=r"expected 5 landmarks a face, got 0.*an aligner that finds its own"):
        FivePointAligner().align([image], found, size=112)


def test_without_weights_the_error_says_what_to_do() -> None:
    stage = Registry.load().create("ssd300-vgg16", role="detector")
    assert isinstance(stage, Detector)
    with pytest.raises(WeightsError) as caught:
        stage.detect([noise(20, 20)])
    assert "no weights ship with facereg_ssd" in str(caught.value)
    assert str(caught.value).endswith("pass their folder: weights= in Python, --weights on the command line")
    assert "\n" not in str(caught.value)
