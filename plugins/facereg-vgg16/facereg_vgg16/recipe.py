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
    EmbedderTraining,
    Identities,
    count_steps,
    fit_and_publish,
    load_embedder,
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
class OnlineTripletSettings:
    """Settings of the recipe; where the paper gives a number, it is that one."""

    mining: Mining = "semi-hard"  # which triplets of a batch: all, semi-hard or batch-hard
    margin: float = 0.2  # of distances between unit vectors; FaceNet's (Schroff et al. 2015), as the paper gives none
    squared: bool = True  # distances
    people: int = 16  # in a batch, of all devices together
    each: int = 4  # images of each of them; they come more than once where a person has fewer
    least: int = 2  # people with fewer images are left out
    keep_out: int = 0  # one person in so many is not learned from, and chooses the network; 0: none is kept out
    looks: int = 20  # times in a run that the people kept out are looked at
    size: int = SIZE  # side the crops are resized to
    crop: int = 112  # side that images are read at, and turned; 256 where they were aligned at it
    epochs: float = 10.0  # passes, each as many images as there are
    lr: float = 1e-4
    warmup: int = 200  # steps
    decay: float = 0.7  # share of the steps, at the end, over which the rate falls to zero
    weight_decay: float = 0.05
    dropout: float = 0.0  # torchvision's 0.5 would drown the distances of a network that has not learned yet
    degrees: float = 10.0  # of random rotation, either way
    init: str = ""  # checkpoint or safetensors file to start from
    precision: str = "32-true"  # Lightning's: bf16-mixed on a GPU, and on CPUs that have bfloat16
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    compile: bool = False
    seed: int = 0

    @property
    def batch(self) -> int:
        """Return the images of a batch."""
        return self.people * self.each


class OnlineTripletTraining(EmbedderTraining):
    """Network and the loss of the paper's section 3.2.3."""

    def __init__(self, settings: OnlineTripletSettings, *, steps: int) -> None:
        network = build_network(dropout=settings.dropout)
        if settings.init:
            load_embedder(network, Path(settings.init))
        super().__init__(
            network,
            size=settings.size,
            steps=steps,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            warmup=settings.warmup,
            decay=settings.decay,
            margin=settings.margin,
        )
        self.degrees = settings.degrees
        self.loss = OnlineTripletLoss(settings.mining, margin=settings.margin, squared=settings.squared)
        if settings.compile:
            self.network.compile()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, labels = batch
        vectors = self.vectors(turned_and_mirrored(images, degrees=self.degrees))
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
    fit_and_publish(
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
