"""YuNet and ArcFace-style files: the contract with published weights, the decoding by hand without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from facereg_onnx.arcface import OnnxArcFace
from facereg_onnx.decoding import STRIDES, yunet
from facereg_onnx.detectors import YuNet
from facereg_onnx.landmarks import OnnxLandmarks
from facereg_onnx.options import ArcFaceOptions, OnnxLandmarkOptions, YuNetOptions
from facereg_onnx.plugin import ARCFACE, LANDMARKS, YUNET

from facereg.builtin.layouts import WFLW_98
from facereg.errors import ContractError, WeightsError
from facereg.images import read_image
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.registry.installed import Registry
from facereg.roles import Aligner, Detector, Embedder
from facereg.testing import AlignerContract, DetectorContract, EmbedderContract
from facereg.testing.pictures import noise, portraits
from facereg.types import Faces, FloatArray, Image


@pytest.mark.weights
class TestYuNetKeepsTheContract(DetectorContract):
    @pytest.fixture(autouse=True)
    def _file(self, reference_weights: Path) -> None:
        self.file = reference_weights / "yunet_n_dynamic.onnx"

    def make(self) -> Detector:
        stage = Registry.load().create("yunet", role="detector", weights=self.file, threads=1)
        assert isinstance(stage, Detector)
        return stage


def found_by_opencv(file: Path, image: Image) -> FloatArray:
    """Return x y w h, five points and score of each face, (N, 15), the best first."""
    size = image.shape[1], image.shape[0]
    found = cv2.FaceDetectorYN.create(str(file), "", size, 0.6, 0.45).detect(image[..., ::-1].copy())[1]
    rows = np.empty((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
    return rows[np.argsort(-rows[:, 14], kind="stable")]


@pytest.mark.data
@pytest.mark.weights
def test_a_published_yunet_finds_what_opencv_finds_with_it(face_data: Path, reference_weights: Path) -> None:
    file, faces = reference_weights / "yunet_n_dynamic.onnx", 0
    with Registry.load().create("yunet", role="detector", weights=file, threads=1, longest=None) as detector:
        for path in sorted((face_data / "faces-in-crowds" / "images").iterdir())[:12]:
            image = read_image(path)
            [ours] = detector.detect([image])
            theirs = found_by_opencv(file, image)
            corners = np.concatenate([theirs[:, :2], theirs[:, :2] + theirs[:, 2:4]], 1)
            assert ours.scores == pytest.approx(theirs[:, 14], abs=1e-3)
            assert ours.boxes == pytest.approx(corners, abs=1)  # px
            assert ours.landmarks == pytest.approx(theirs[:, 4:14].reshape(-1, 5, 2), abs=1)
            faces += len(ours)
    assert faces > 20


@pytest.mark.weights
class TestOnnxArcFaceKeepsTheContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _file(self, reference_weights: Path) -> None:
        self.file = reference_weights / "mobilefacenet_casia_128.onnx"

    def make(self) -> Embedder:
        stage = Registry.load().create("onnx-arcface", role="embedder", weights=self.file, threads=1)
        assert isinstance(stage, Embedder)
        return stage


@pytest.mark.weights
class TestOnnxLandmarksKeepTheContract(AlignerContract):
    @pytest.fixture(autouse=True)
    def _file(self, reference_weights: Path) -> None:
        self.file = reference_weights / "pfld_ghostone_wflw98.onnx"

    def make(self) -> Aligner:
        return Registry.load().create("onnx-landmarks", role="aligner", weights=self.file, threads=1)


@pytest.mark.weights
def test_a_published_landmark_file_finds_the_five_of_real_faces(reference_weights: Path) -> None:
    file = reference_weights / "pfld_ghostone_wflw98.onnx"
    with Registry.load().create("onnx-landmarks", role="aligner", weights=file, threads=1) as aligner:
        for person in portraits():
            crops = aligner.align([person.image], [Faces(person.box[None], np.ones(1, np.float32))], size=112)
            five = WFLW_98.five_of(crops.landmarks[0])
            eyes = float(np.linalg.norm(person.landmarks[0] - person.landmarks[1]))
            # labels of two hands differ by some hundredths of the distance of the eyes; another order of points by tens
            assert np.linalg.norm(five - person.landmarks, axis=1).mean() / eyes < 0.12


@pytest.mark.weights
def test_most_of_what_is_noise_is_no_face_to_a_published_landmark_file(reference_weights: Path) -> None:
    """The file does not say how sure it is: only points that wander from look to look show that there is no face."""
    file = reference_weights / "pfld_ghostone_wflw98.onnx"
    corners = np.random.default_rng(0).uniform(0, 200, (20, 2)).astype(np.float32)
    boxes = Faces(np.concatenate([corners, corners + 90], 1), np.ones(20, np.float32))
    with Registry.load().create("onnx-landmarks", role="aligner", weights=file, threads=1) as aligner:
        crops = aligner.align([noise(300, 300)], [boxes], size=112)
    assert sum(reason.startswith("no face: ") for reason in crops.refused) > 10


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
    boxes, scores, points = yunet([given[head.name][0] for head in YUNET.outputs], 32, 64)
    assert np.flatnonzero(scores).tolist() == [cell := 10]
    assert boxes[cell] == pytest.approx([12, 6, 28, 14], abs=1e-4)
    assert scores[cell] == pytest.approx(0.6)
    assert points[cell] == pytest.approx(np.array([[16, 8], [24, 8], [20, 12], [16, 16], [24, 16]]), abs=1e-4)


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


class Answer(Runner):
    """A landmark network that gives the same numbers for every crop, and keeps what it was given."""

    def __init__(self, numbers: FloatArray) -> None:
        super().__init__(LANDMARKS, fingerprint="ab" * 32)
        self._numbers = numbers
        self.given: list[Tensor] = []

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.given.append(inputs["input"])
        return {"points": self._numbers[None]}


def answering(numbers: FloatArray, **options: object) -> tuple[Answer, OnnxLandmarks]:
    runner = Answer(numbers)
    return runner, OnnxLandmarks(Networks([LANDMARKS], lambda spec: runner), OnnxLandmarkOptions(**options))  # type: ignore[arg-type]


FIVE_SHARES = np.array([0.3, 0.35, 0.7, 0.35, 0.5, 0.55, 0.35, 0.75, 0.65, 0.75], np.float32)


@pytest.mark.parametrize("pixels", [False, True], ids=["shares", "pixels"])
def test_points_are_shares_of_the_crops_edges_or_px_of_it(pixels: bool) -> None:
    given = FIVE_SHARES * 64 - 0.5 if pixels else FIVE_SHARES
    options = {"layout": "five", "side": 64, "margin": 2.0, "passes": 1, "pixels": pixels}
    _, aligner = answering(given.astype(np.float32), **options)
    box = np.array([[100, 100, 164, 164]], np.float32)  # its square of 128 px begins at 68
    crops = aligner.align([noise(300, 300)], [Faces(box, np.ones(1, np.float32))], size=112)
    assert crops.landmarks[0] == pytest.approx(68 + 128 * FIVE_SHARES.reshape(5, 2), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0, 0.0, 0.0]),
        ({"bgr": True}, [0.0, 0.0, 1.0]),
        ({"mean": 127.5, "scale": 127.5}, [1.0, -1.0, -1.0]),
    ],
    ids=["default", "bgr", "-1 to 1"],
)
def test_crops_are_scaled_as_the_file_wants_them(options: dict[str, float], expected: list[float]) -> None:
    runner, aligner = answering(FIVE_SHARES, layout="five", side=32, passes=1, **options)
    red = np.zeros((90, 90, 3), np.uint8)
    red[..., 0] = 255
    aligner.align([red], [Faces(np.array([[20, 20, 60, 60]], np.float32), np.ones(1, np.float32))], size=112)
    [given] = runner.given
    assert given.shape == (1, 3, 32, 32)
    assert given[0, :, 16, 16].tolist() == pytest.approx(expected)


def test_a_file_of_another_layout_is_named() -> None:
    _, aligner = answering(np.zeros(136, np.float32))
    box = Faces(np.array([[20, 20, 60, 60]], np.float32), np.ones(1, np.float32))
    with pytest.raises(ContractError, match="expected 196 numbers, the points of layout wflw-98, got 136; name the"):
        aligner.align([noise(90, 90)], [box], size=112)


@pytest.mark.parametrize("options", [{"side": 8}, {"margin": 9}, {"scale": 0}, {"passes": 9}])
def test_landmark_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="expected"):
        OnnxLandmarkOptions(**options)  # type: ignore[arg-type]
