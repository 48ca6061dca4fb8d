"""YuNet and ArcFace-style files: the contract with published weights, the decoding by hand without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from facereg_onnx.arcface import OnnxArcFace
from facereg_onnx.options import ArcFaceOptions, YuNetOptions
from facereg_onnx.plugin import ARCFACE, STRIDES, YUNET
from facereg_onnx.yunet import YuNet, decode

from facereg.errors import WeightsError
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.registry.installed import Registry
from facereg.roles import Detector, Embedder
from facereg.testing import DetectorContract, EmbedderContract


@pytest.mark.weights
class TestYuNetKeepsTheContract(DetectorContract):
    @pytest.fixture(autouse=True)
    def _file(self, reference_weights: Path) -> None:
        self.file = reference_weights / "yunet_n_dynamic.onnx"

    def make(self) -> Detector:
        stage = Registry.load().create("yunet", role="detector", weights=self.file, threads=1)
        assert isinstance(stage, Detector)
        return stage


@pytest.mark.weights
class TestOnnxArcFaceKeepsTheContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _file(self, reference_weights: Path) -> None:
        self.file = reference_weights / "mobilefacenet_casia_128.onnx"

    def make(self) -> Embedder:
        stage = Registry.load().create("onnx-arcface", role="embedder", weights=self.file, threads=1)
        assert isinstance(stage, Embedder)
        return stage


def test_without_a_file_the_error_says_how_to_name_one() -> None:
    with pytest.raises(WeightsError, match="no weights ship with facereg_onnx.*pass their folder: weights="):
        Registry.load().create("onnx-arcface", role="embedder")


def heads(width: int, height: int) -> dict[str, Tensor]:
    """Return heads that find nothing in an input of this size."""
    return {
        f"{head}_{stride}": np.zeros((1, (width // stride) * (height // stride), channels), np.float32)
        for head, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        for stride in STRIDES
    }


def heads_of_a_face() -> dict[str, Tensor]:
    """Return heads that find one face in an input of 64 x 32."""
    given = heads(64, 32)
    cell = 10  # of 8 columns: column 2, row 1
    given["cls_8"][0, cell] = 0.9
    given["obj_8"][0, cell] = 0.4  # geometric mean 0.6
    given["bbox_8"][0, cell] = [0.5, 0.25, np.log(2), 0]  # centre (2.5, 1.25) * 8; 16 wide, 8 high
    given["kps_8"][0, cell] = [0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]  # from (2, 1), in cells
    return given


def test_a_cell_of_yunet_is_decoded_by_hand() -> None:
    given = heads_of_a_face()
    boxes, scores, points = decode(given, 64, 0.5)
    assert boxes == pytest.approx(np.array([[12, 6, 28, 14]]), abs=1e-4)
    assert scores == pytest.approx([0.6])
    assert points == pytest.approx(np.array([[[16, 8], [24, 8], [20, 12], [16, 16], [24, 16]]]), abs=1e-4)
    assert len(decode(given, 64, 0.7)[0]) == 0


class OneFace(Runner):
    """Finds the face by hand above, whatever the picture."""

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return heads_of_a_face()


def test_a_face_of_yunet_is_put_back_where_its_pixels_came_from() -> None:
    """At half the size, the middle of the first pixel is the middle of the first four: (0, 0) is (0.5, 0.5)."""
    networks = Networks([YUNET], lambda spec: OneFace(spec, fingerprint="0"))
    with YuNet(networks, YuNetOptions(threshold=0.5, longest=64)) as detector:
        [faces] = detector.detect([np.zeros((64, 128, 3), np.uint8)])
    assert faces.boxes.tolist() == [[24.5, 12.5, 56.5, 28.5]]
    assert faces.landmarks[0, 0].tolist() == [32.5, 16.5]


class MeanColour(Runner):
    """A network whose vector is the mean of each channel it was given."""

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"embedding": inputs["input"].mean((2, 3))}


@pytest.mark.parametrize(
    ("options", "expected", "version"),
    [
        ({}, [1.0, -1.0, -1.0], ""),  # (255 - 127.5) / 127.5, (0 - 127.5) / 127.5
        ({"bgr": True}, [-1.0, -1.0, 1.0], ":mean127.5-scale127.5-bgr"),
        ({"mean": 0.0, "scale": 255.0}, [1.0, 0.0, 0.0], ":mean0-scale255"),
        ({"scale": 128.0}, [127.5 / 128, -127.5 / 128, -127.5 / 128], ":mean127.5-scale128"),
    ],
    ids=["default", "bgr", "0 to 1", "128"],
)
def test_pixels_are_scaled_as_the_file_wants_them(
    options: dict[str, float], expected: list[float], version: str
) -> None:
    """Vectors of pixels scaled otherwise are of another space: they must not be compared."""
    networks = Networks([ARCFACE], lambda spec: MeanColour(spec, fingerprint="ab" * 32))
    red = np.zeros((1, 112, 112, 3), np.uint8)
    red[..., 0] = 255
    with OnnxArcFace(networks, ArcFaceOptions(**options)) as embedder:  # type: ignore[arg-type]
        assert embedder._embed(red)[0] == pytest.approx(expected, abs=1e-5)
        assert embedder.dim == 3
        assert embedder.space == f"onnx-arcface:abababababab{version}"
