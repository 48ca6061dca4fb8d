"""Recipe `vgg16-online-triplet`: the paper's sections 3.2.3 and 4.2.3, triplets mined in each batch.

`facereg train vgg16-online-triplet --data PEOPLE --out OUT --set size=64`

PEOPLE holds a folder of aligned crops for each person, or is an MXNet record. A batch holds
`each` images of each of `people` people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import Tensor
from torch.utils.data import TensorDataset

from facereg import DatasetError
from facereg.training import (
    EmbedderSettings,
    EmbedderTraining,
    Identities,
    count_steps,
    fit_and_save,
    parse_settings,
    read_identities,
    turned_and_mirrored,
)
from facereg_vgg16.mining import Mining, OnlineTripletLoss
from facereg_vgg16.networks import SIZE, build_network
from facereg_vgg16.plugin import NETWORK

# triplets need two pictures of each of two people; 32 px are what five pools leave something of
LOWEST = {"margin": 0, "people": 2, "each": 2, "least": 2, "keep_out": 0, "looks": 1, "size": 32, "crop": 32}


@dataclass(frozen=True, slots=True)
class OnlineTripletSettings(EmbedderSettings):
    """Settings of the recipe: torchvision's dropout of 0.5 would drown the distances of an untrained network."""

    mining: Mining = "semi-hard"  # which triplets of a batch: all, semi-hard or batch-hard
    squared: bool = True  # distances
    people: int = 16  # in a batch, of all devices together
    each: int = 4  # images of each of them; they come more than once where a person has fewer
    size: int = SIZE
    crop: int = 112  # side that images are read at, and turned; 256 where they were aligned at it
    epochs: float = 10.0

    @property
    def batch(self) -> int:
        """Return the images of a batch."""
        return self.people * self.each


class OnlineTripletTraining(EmbedderTraining):
    """Network and the loss of the paper's section 3.2.3."""

    settings: OnlineTripletSettings

    def __init__(self, settings: OnlineTripletSettings, *, steps: int) -> None:
        super().__init__(build_network(dropout=settings.dropout), settings, steps=steps)
        self.loss = OnlineTripletLoss(settings.mining, margin=settings.margin, squared=settings.squared)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, labels = batch
        vectors = self.vectors(turned_and_mirrored(images, degrees=self.settings.degrees))
        with torch.autocast(self.device.type, enabled=False):
            loss: Tensor = self.loss(vectors, labels)
        self.watch(loss, vectors)
        return loss


def draw_batches(identities: Identities, *, people: int, each: int) -> MPerClassSampler:
    """Return a sampler of batches of `each` images of each of `people` people.

    Raises:
        DatasetError: if there are fewer people.
    """
    if len(identities.people) < people:
        raise DatasetError(
            f"data: expected at least {people} people, those of a batch, got {len(identities.people)}; "
            f"pass --set people={len(identities.people)}"
        )
    batch = people * each
    return MPerClassSampler(
        identities.labels, each, batch_size=batch, length_before_new_iter=max(batch, len(identities.labels))
    )


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Train, and write the ONNX file, its checkpoint, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown, or no folder of data is given.
        DatasetError: if there are too few people with images enough.
    """
    settings = parse_settings(OnlineTripletSettings, given, lowest=LOWEST)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    learned, strangers = read_identities(data, least=settings.least, size=settings.crop).split(settings.keep_out)
    sampler = draw_batches(learned, people=settings.people, each=settings.each)
    steps = count_steps(len(sampler), batch=settings.batch, epochs=settings.epochs)
    module = OnlineTripletTraining(settings, steps=steps)
    fit_and_save(
        module,
        module.network,
        TensorDataset(torch.from_numpy(learned.images), torch.from_numpy(learned.labels)),
        out,
        spec=NETWORK,
        recipe=NETWORK.name,
        settings=settings,
        steps=steps,
        resume=resume,
        keep=("loss", "spread"),
        sampler=sampler,
        strangers=strangers,
        looks=settings.looks,
    )
