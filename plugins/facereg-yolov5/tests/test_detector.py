"""The detector: letterbox, suppression, the contract and the export, with the weights of a short run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from facereg_yolov5.detector import GREY, YoloV5Face, letterbox
from facereg_yolov5.options import YoloOptions
from facereg_yolov5.plugin import NETWORK

from facereg.cli.training import train
from facereg.errors import ContractError
from facereg.images import write_image
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.registry.installed import Registry
from facereg.roles import Detector
from facereg.testing import DetectorContract
from facereg.testing.pictures import noise, photograph, portraits

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a run of two steps leaves behind: the recipe from pictures to ONNX."""
    root = tmp_path_factory.mktemp("yolov5")
    image = photograph()
    assert image is not None
    small = np.ascontiguousarray(image[::4, ::4])  # the face is about 26 x 36 px at (43, 15)
    for number in range(3):
        write_image(root / "crowds" / "images" / f"{number}.png", small)
    (root / "crowds" / "list.txt").write_text("".join(f"{n}.png\n1\n43 15 26 36\n" for n in range(3)))
    write_image(root / "five" / "images" / "a.png", small)
    (root / "five" / "list.txt").write_text("a.png 48 28 60 27 55 34 49 40 61 39\n")
    row = {"boxes": [[43, 15, 69, 51]], "scores": [0.9], "points": [[[48, 28], [60, 27], [55, 34], [49, 40], [61, 39]]]}
    (root / "pseudo.jsonl").write_text(json.dumps(row | {"image": "crowds/images/0.png"}) + "\n")
    lists = ["crowds=crowds/list.txt", "pseudo=pseudo.jsonl", "points=five/list.txt", "keep_out=no"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's hints about loaders
        train("yolov5s-face", [root], root / "out", [*lists, "steps=2", "batch=2", "size=64", "devices=1"])
    return root / "out"


class TestYoloV5FaceKeepsTheContract(DetectorContract):
    def make(self) -> Detector:
        stage = Registry.load().create("yolov5s-face", role="detector", size=320)
        assert isinstance(stage, Detector)
        return stage


class TestTheOneOf8BitsKeepsTheContract(DetectorContract):
    def make(self) -> Detector:
        stage = Registry.load().create("yolov5s-face:int8", role="detector", size=320)
        assert isinstance(stage, Detector)
        return stage


def test_the_one_of_8_bits_finds_the_same_face() -> None:
    image = photograph()
    if image is None:
        pytest.skip("the photograph needs scikit-image")
    found = []
    for name in ("yolov5s-face", "yolov5s-face:int8"):
        with Registry.load().create(name, role="detector", size=320) as stage:
            assert isinstance(stage, Detector)
            [faces] = stage.detect([image])
            found.append(next(iter(faces)))
    # each edge and point within a twentieth of a face of about 100 px
    assert found[1].box == pytest.approx(found[0].box, abs=5)
    assert found[1].landmarks == pytest.approx(found[0].landmarks, abs=5)


def test_a_run_leaves_weights_under_thirty_megabytes(weights: Path) -> None:
    assert (weights / NETWORK.file).stat().st_size < 30e6
    result = json.loads((weights / "result.json").read_text())
    assert result["onnx_difference_from_torch"] < 1e-4
    assert result["scores"]["pictures"] == 4
    assert {"last.ckpt", "curve.png", "pictures.npz"} <= {p.name for p in weights.iterdir()}


def test_oblong_inputs_give_in_onnx_what_they_give_in_torch(weights: Path) -> None:
    images = np.stack([noise(64, 160, seed=seed) for seed in range(2)])
    found = []
    for runner in ("onnx", "torch"):
        with Registry.load().create("yolov5s-face", role="detector", runner=runner, weights=weights) as stage:
            assert stage.networks is not None
            found.append(stage.networks[NETWORK.name].infer({"images": images}))
    count = 3 * (8 * 20 + 4 * 10 + 2 * 5)
    assert found[0]["landmarks"].shape == (2, count, 5, 2)
    for name, value in found[0].items():
        assert value == pytest.approx(found[1][name], rel=1e-3, abs=1e-3)  # float32 in another order


class Fixed(Runner):
    """Finds the same anchors in every picture, and notes what it was given."""

    def __init__(self, boxes: list[list[float]], scores: list[float]) -> None:
        super().__init__(NETWORK, fingerprint="fixed")
        self.boxes, self.scores = np.array(boxes, np.float32), np.array(scores, np.float32)
        self.batches: list[Tensor] = []

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        batch = len(inputs["images"])
        self.batches.append(inputs["images"])
        corners = self.boxes.reshape(-1, 2, 2)
        points = np.concatenate([corners, corners, corners[:, :1]], 1)  # (A, 5, 2)
        values = {"boxes": self.boxes, "scores": self.scores, "landmarks": points}
        return {name: np.repeat(value[None], batch, 0) for name, value in values.items()}


def fixed(runner: Runner, **options: float) -> YoloV5Face:
    return YoloV5Face(Networks((NETWORK,), lambda spec: runner), YoloOptions(**{"close_up": 0, **options}))  # type: ignore[arg-type]


def test_faces_lie_in_the_picture_where_they_lay_in_the_letterbox() -> None:
    runner = Fixed([[7.5, 15.5, 31.5, 47.5]], [0.9])
    small, large = noise(32, 64), noise(256, 128)
    first, second = fixed(runner, size=128, enlarge=2).detect([small, large])
    # 64 px became 128: edges 8..32 and 16..48 are halved; 256 px became 128: they are doubled
    assert first.boxes.tolist() == [[3.5, 7.5, 15.5, 23.5]]
    assert second.boxes.tolist() == [[15.5, 31.5, 63.5, 95.5]]
    assert second.landmarks[0, 1].tolist() == [63.5, 95.5]
    assert [batch.shape for batch in runner.batches] == [(2, 128, 128, 3)]


def test_a_small_picture_is_made_larger_so_many_times_at_most() -> None:
    runner = Fixed([[7.5, 15.5, 31.5, 47.5]], [0.9])
    [faces] = fixed(runner, size=128, enlarge=1.5).detect([noise(32, 64)])
    # 64 px may become 96, which is a multiple of 32, and not 128
    assert [batch.shape for batch in runner.batches] == [(1, 96, 96, 3)]
    assert faces.boxes == pytest.approx(np.array([[8 / 1.5, 16 / 1.5, 32 / 1.5, 48 / 1.5]]) - 0.5, abs=1e-4)


class SeesInGreyAlone(Fixed):
    """Scores nothing in a picture with colours."""

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values, images = super()._infer(inputs), inputs["images"]
        grey = (images == images[..., :1]).all((1, 2, 3))
        return values | {"scores": values["scores"] * grey[:, None]}


def test_a_picture_in_which_nothing_was_found_is_looked_at_in_grey() -> None:
    runner = SeesInGreyAlone([[7.5, 15.5, 31.5, 47.5]], [0.9])
    colours, grey = noise(64, 64), np.repeat(noise(64, 64)[..., :1], 3, 2)
    found = fixed(runner, size=64).detect([colours, grey])
    assert [len(faces) for faces in found] == [1, 1]
    assert [len(batch) for batch in runner.batches] == [2, 1]  # the second look is at the first picture alone
    assert [len(faces) for faces in fixed(runner, size=64, fallback=False).detect([colours, grey])] == [0, 1]


def test_of_the_look_in_grey_only_sure_faces_count() -> None:
    runner = SeesInGreyAlone([[7.5, 15.5, 31.5, 47.5], [40, 4, 60, 30]], [0.61, 0.59])
    [faces] = fixed(runner, size=64).detect([noise(64, 64)])
    assert faces.scores.tolist() == pytest.approx([0.61])


@pytest.mark.parametrize("name", ["yolov5s-face", "yolov5s-face:int8"])
def test_a_face_in_the_dark_is_found_by_looking_again(name: str) -> None:
    person = portraits()[0]
    dark = (person.image * 0.06).astype(np.uint8)
    found = []
    for fallback in (False, True):
        with Registry.load().create(name, role="detector", size=320, fallback=fallback) as stage:
            assert isinstance(stage, Detector)
            found += stage.detect([dark])
    assert [len(faces) for faces in found] == [0, 1]
    assert found[1].boxes[0] == pytest.approx(person.box, abs=0.2 * float(person.box[3] - person.box[1]))


def test_a_picture_keeps_its_shape_in_the_letterbox() -> None:
    boxed = letterbox(np.full((30, 64, 3), 200, np.uint8), 32)
    assert boxed.scale.tolist() == [0.5, 0.5]
    assert (boxed.pixels[:15] == 200).all()
    assert (boxed.pixels[15:] == GREY).all()
    points = np.array([[0.0, 0.0], [31.5, 14.5]], np.float32)
    assert boxed.points_back(points).tolist() == [[0.5, 0.5], [63.5, 29.5]]


def test_pictures_of_one_shape_share_a_batch_of_rectangles() -> None:
    runner = Fixed([[7.5, 15.5, 31.5, 47.5]], [0.9])
    wide, tall = noise(48, 64), noise(128, 40)
    found = fixed(runner, size=128, square=False, enlarge=2).detect([wide, tall, wide])
    # 64 x 48 became 128 x 96, a multiple of 32; 40 x 128 stays and is filled up to 64 x 128
    assert [batch.shape for batch in runner.batches] == [(2, 96, 128, 3), (1, 128, 64, 3)]
    assert (runner.batches[1][0, :, 40:] == GREY).all()
    assert [faces.boxes.tolist() for faces in found] == [
        [[3.5, 7.5, 15.5, 23.5]],
        [[7.5, 15.5, 31.5, 47.5]],
        [[3.5, 7.5, 15.5, 23.5]],
    ]


def test_more_pictures_than_a_batch_holds_go_in_several() -> None:
    runner = Fixed([[0, 0, 10, 10]], [0.9])
    assert len(fixed(runner, size=32).detect([noise(8, 8)] * 20)) == 20
    assert [len(batch) for batch in runner.batches] == [16, 4]


class TwoLooks(Fixed):
    """Finds boxes of its own in the small square."""

    def __init__(self, large: list[list[float]], small: list[list[float]], scores: list[float]) -> None:
        super().__init__(large, scores)
        self.large, self.small = self.boxes, np.array(small, np.float32)

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.boxes = self.small if inputs["images"].shape[1] == 32 else self.large
        return super()._infer(inputs)


def test_a_face_that_fills_the_picture_comes_from_the_small_square_and_hides_its_parts() -> None:
    # of the large square: a face beside it, one inside it that is scored better, and its eye
    large = [[100.0, 2.0, 120.0, 26.0], [60.0, 40.0, 72.0, 50.0], [40.0, 40.0, 52.0, 50.0]]
    # of the small one, four times smaller: the face, and two too small to count there
    small = [[4.0, 4.0, 22.0, 28.0], [25.0, 1.0, 30.0, 6.0], [25.0, 10.0, 30.0, 16.0]]
    detector = fixed(TwoLooks(large, small, [0.7, 0.95, 0.6]), size=128, close_up=32)
    [faces] = detector.detect([noise(128, 128)])
    assert faces.scores.tolist() == pytest.approx([0.95, 0.7, 0.7])
    assert faces.boxes.tolist() == [large[1], large[0], [17.5, 17.5, 89.5, 113.5]]  # (x + 0.5) * 4 - 0.5


def test_scores_overlaps_and_candidates_decide() -> None:
    # the second overlaps the first by 80 / 120
    runner = Fixed([[0, 0, 10, 10], [2, 0, 12, 10], [20, 0, 30, 10]], [0.6, 0.9, 0.4])
    image = noise(32, 32)

    def scores(**options: float) -> list[float]:
        [faces] = fixed(runner, size=32, **options).detect([image])
        return [round(float(score), 3) for score in faces.scores]

    assert scores(threshold=0.3, iou=0.5) == [0.9, 0.4]
    assert scores(threshold=0.5, iou=0.5) == [0.9]
    assert scores(threshold=0.3, iou=0.7) == [0.9, 0.6, 0.4]
    assert scores(threshold=0.3, iou=0.7, candidates=2) == [0.9, 0.6]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("size", 100, "multiples of 32"),
        ("size", 0, "multiples of 32"),
        ("close_up", 100, "multiples of 32"),
        ("close_up", -32, "multiples of 32"),
        ("threshold", 1.5, "threshold <= 1"),
        ("iou", 0.0, "0 < iou"),
        ("candidates", 0, "candidates >= 1"),
    ],
)
def test_an_option_out_of_range_is_refused(option: str, value: float, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        fixed(Fixed([[0, 0, 1, 1]], [1.0]), **{option: value})
