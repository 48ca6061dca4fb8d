"""What the recipe learns, it finds: a short run on four pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from facereg_yolov5.detector import YoloV5Face
from facereg_yolov5.networks import DeployedYolo
from facereg_yolov5.options import YoloOptions
from facereg_yolov5.pictures import Pictures, pack_pictures
from facereg_yolov5.plugin import NETWORK
from facereg_yolov5.recipe import YoloSettings, YoloTraining
from torch.utils.data import DataLoader, TensorDataset

from facereg.data.boxes import LabelledImage
from facereg.geometry import box_overlap
from facereg.images import write_image
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.testing.pictures import FACE_OF_PHOTOGRAPH, photograph
from facereg.training.fitting import fit
from facereg.types import FloatArray, Image

pytestmark = pytest.mark.train
STEPS = 240  # of 120, four pictures of two seeds were not all learned on every machine
POINTS = np.array([[200, 115], [240, 112], [222, 138], [206, 160], [242, 158]], np.float32)  # about, by eye


def pictures_of_a_face() -> list[tuple[Image, FloatArray, FloatArray]]:
    """Return four parts of one photograph, 320 x 320, with the box (1, 4) and the points (5, 2) of its face."""
    image = photograph()
    assert image is not None
    found = []
    for x, y in ((0, 0), (100, 0), (20, 40), (120, 20)):
        box = np.array([FACE_OF_PHOTOGRAPH], np.float32) - np.array([x, y, x, y], np.float32)
        part = np.ascontiguousarray(image[y : y + 320, x : x + 320])
        found.append((part, box, POINTS - np.array([x, y], np.float32)))
    return found


class Trained(Runner):
    """A network as it left training, without files."""

    def __init__(self, module: DeployedYolo) -> None:
        super().__init__(NETWORK, fingerprint="trained")
        self.module = module

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode():
            values = self.module(torch.from_numpy(inputs["images"]))
        return {tensor.name: value.numpy() for tensor, value in zip(NETWORK.outputs, values, strict=True)}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several threads add up in an order of their own, and so short a run shows it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings(  # Lightning's hints about loaders and checkpoints, and its own deprecated calls
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_the_best_face_found_is_the_one_that_was_learned(tmp_path: Path) -> None:
    scenes, items = pictures_of_a_face(), []
    for number, (image, box, points) in enumerate(scenes):
        path = tmp_path / f"{number}.png"
        write_image(path, image)
        items.append(LabelledImage(path, box, np.zeros(1, np.bool_), points[None]))
    torch.manual_seed(0)
    settings = YoloSettings(
        size=160, steps=STEPS, batch=4, warmup=10, average=0.9, mosaic=0.0, smallest=1.0, largest=1.0, devices=1
    )
    module = YoloTraining(settings, Pictures.decode(pack_pictures(items, [], longest=320)))
    for part in module.network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.3  # statistics that follow by 3 % a step, as they do, lag behind so short a run
    fit(module, DataLoader(TensorDataset(torch.arange(STEPS))), tmp_path / "out", steps=STEPS, devices=1)
    runner = Trained(DeployedYolo(module.averaged).eval())
    with YoloV5Face(
        Networks((NETWORK,), lambda spec: runner), YoloOptions(size=160, close_up=0)
    ) as detector:  # faces of one size
        found = detector.detect([image for image, _, _ in scenes])
    for faces, (_, box, points) in zip(found, scenes, strict=True):
        assert len(faces) >= 1  # so short a run may leave a lesser box on the same face
        assert box_overlap(faces.boxes, box)[0, 0] > 0.5
        # a tenth of the face's height, on average
        assert np.linalg.norm(faces.landmarks[0] - points, axis=1).mean() < 15
