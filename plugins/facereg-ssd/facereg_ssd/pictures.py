"""Labelled pictures as the recipe sees them: painted over, distorted, cut and stretched to the network's square."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from facereg import DatasetError, FloatArray, Image, read_image, resize
from facereg.training import LabelledImage, read_each, step_seed
from facereg_ssd.plugin import SIDE

MEAN = (123, 117, 104)  # the network's mean pixel: what lies outside pictures, and over ignored faces
Sample = tuple[Tensor, Tensor]  # (3, 300, 300) uint8 and boxes (N, 4) from the corner


class FacePictures(Dataset[Sample]):
    """What torchvision's recipe for SSD makes of pictures, which are held decoded: a row for each sample of a run.

    A row is a function of its number and the seed: each `len(pictures)` rows show every picture once, in an order of
    their own, and each is distorted by itself. So a run that goes on sees what it would have seen.

    Args:
        items: the labelled pictures; those that cannot be read are left out, see `read_each`.
        longest: px; longer pictures are made smaller.
        rows: samples of the whole run.
        augment: photometric distortion, zooming out, crops by IoU and mirroring; False only stretches.
    Raises:
        DatasetError: if there is no picture.
        ImageError: if one cannot be read.
    """

    def __init__(
        self, items: Sequence[LabelledImage], *, longest: int, rows: int, seed: int = 0, augment: bool = True
    ) -> None:
        if not items:
            raise DatasetError("pictures: expected at least one labelled picture, got none; check the lists")
        self.pictures = read_each(items, partial(read_sample, longest=longest))
        self.rows, self.seed = rows, seed
        changes = [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill={tv_tensors.Image: MEAN, "others": 0}),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(0.5),
        ]
        shape = [v2.Resize((SIDE, SIDE), antialias=True), v2.SanitizeBoundingBoxes(min_size=2, labels_getter=None)]
        self.transform = v2.Compose([*(changes if augment else []), *shape])

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Sample:
        turn, place = divmod(row, len(self.pictures))
        order = np.random.default_rng((self.seed, turn)).permutation(len(self.pictures))
        image, boxes = self.pictures[order[place]]
        pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        faces = tv_tensors.BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=image.shape[:2])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(self.seed, row, 0))
            seen, placed = self.transform(pixels, faces)
        return seen.as_subclass(Tensor).contiguous(), placed.as_subclass(Tensor).float()


def read_sample(item: LabelledImage, *, longest: int) -> tuple[Image, FloatArray]:
    """Return the pixels of a picture, ignored faces painted over, and its boxes from the picture's corner."""
    image = read_image(item.path, whole=True)
    painted = image.copy()
    for x1, y1, x2, y2 in _cells(item.boxes[item.ignored]):
        painted[y1:y2, x1:x2] = MEAN
    boxes = item.boxes[~item.ignored]
    for x1, y1, x2, y2 in _cells(boxes):
        painted[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    small = resize(painted, min(1.0, longest / max(image.shape[:2])))
    return small.pixels, ((boxes + 0.5) * np.tile(small.scale, 2)).astype(np.float32)


def _cells(boxes: FloatArray) -> list[list[int]]:
    """Return the pixels that boxes cover, first and past the last."""
    cells: list[list[int]] = np.round(np.clip(boxes + 0.5, 0, None)).astype(int).tolist()
    return cells


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
    """Return pixels (B, 3, 300, 300) uint8, boxes (T, 4) of all pictures, and how many each has (B,)."""
    pixels, boxes = zip(*samples, strict=True)
    return torch.stack(pixels), torch.cat(boxes), torch.tensor([len(one) for one in boxes])
