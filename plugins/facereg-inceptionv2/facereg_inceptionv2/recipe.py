"""Recipe `inceptionv2-triplet`: the paper's sections 3.2.2 and 4.2.2, triplets that are drawn before training starts.

`facereg train inceptionv2-triplet --data PEOPLE --out OUT`

PEOPLE holds a folder of aligned crops for each person, or is an MXNet record. The triplets are
written to OUT/triplets.csv, which a later run reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch.nn.functional as F
from torch import Tensor

from facereg.training import (
    EmbedderTraining,
    count_steps,
    fit_and_publish,
    load_embedder,
    parse_settings,
    read_identities,
    turned_and_mirrored,
)
from facereg_inceptionv2.networks import SIZE, InceptionV2
from facereg_inceptionv2.plugin import NETWORK
from facereg_inceptionv2.triplets import Triplets, draw_triplets, read_triplets, write_triplets

# a person's second picture is the positive; 32 px leave the last maps two cells a side
LOWEST = {"margin": 0, "least": 2, "each": 1, "keep_out": 0, "looks": 1, "size": 32, "batch": 1}


@dataclass(frozen=True, slots=True)
class TripletSettings:
    """Settings of the recipe; the margin is FaceNet's (Schroff et al. 2015, section 3.2), as the paper gives none."""

    margin: float = 0.2  # of squared distances between unit vectors
    least: int = 2  # people with fewer images are left out
    each: int = 10  # triplets in which an image is the anchor
    triplets: str = ""  # file of triplets to read, or to write where it is missing; default OUT/triplets.csv
    keep_out: int = 0  # one person in so many is not learned from, and chooses the network; 0: none is kept out
    looks: int = 20  # times in a run that the people kept out are looked at
    size: int = SIZE  # side the crops are resized to
    batch: int = 32  # triplets, of all devices together
    epochs: float = 1.0  # passes over the triplets
    lr: float = 1e-4  # the card tells why not 1e-3
    warmup: int = 200  # steps
    decay: float = 0.7  # share of the steps, at the end, over which the rate falls to zero
    weight_decay: float = 0.05
    dropout: float = 0.2
    degrees: float = 10.0  # of Random Rotation, either way
    init: str = ""  # ONNX, safetensors or checkpoint file to start from
    precision: str = "32-true"  # Lightning's: bf16-mixed on a GPU, and on CPUs that have bfloat16
    devices: int = 0  # that train together; 0: every GPU, or one process on the CPU
    compile: bool = False
    seed: int = 0


class TripletTraining(EmbedderTraining):
    """Network and the loss of the paper's section 3.2.2."""

    def __init__(self, settings: TripletSettings, *, steps: int) -> None:
        network = InceptionV2(dropout=settings.dropout)
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
        if settings.compile:
            self.network.compile()

    def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
        images = turned_and_mirrored(batch[0].flatten(0, 1), degrees=self.degrees)  # (3 B, S, S, 3)
        vectors = self.vectors(images)
        loss = triplet_loss(vectors.reshape(-1, 3, vectors.shape[-1]), margin=self.margin)
        self.watch(loss, vectors)
        return loss


def triplet_loss(vectors: Tensor, *, margin: float) -> Tensor:
    """Return the mean over (B, 3, D) unit vectors of anchor, positive and negative of max(0, d(a,p) - d(a,n) + margin).

    d is the squared Euclidean distance (the paper, section 3.2.2).
    """
    return F.triplet_margin_with_distance_loss(
        *vectors.unbind(1), distance_function=lambda one, other: (one - other).square().sum(1), margin=margin
    )


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Draw the triplets where they are missing, train, and write the ONNX file, curve and scores to `out`.

    Raises:
        ContractError: if a setting is unknown, or no folder of data is given.
        DatasetError: if fewer than two people have enough images, or the file of triplets is not of these data.
    """
    settings = parse_settings(TripletSettings, given, lowest=LOWEST)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    learned, strangers = read_identities(data, least=settings.least).split(settings.keep_out)
    path = Path(settings.triplets) if settings.triplets else out / "triplets.csv"
    if not path.is_file():
        drawn = draw_triplets(learned.labels, each=settings.each, seed=settings.seed)
        write_triplets(path, drawn, learned.files)
    rows = Triplets(learned, read_triplets(path, learned.files, learned.labels))
    steps = count_steps(len(rows), batch=settings.batch, epochs=settings.epochs)
    module = TripletTraining(settings, steps=steps)
    fit_and_publish(
        module,
        module.network,
        rows,
        out,
        spec=NETWORK,
        recipe=NETWORK.name,
        settings=settings,
        steps=steps,
        resume=resume,
        keep=("loss", "spread"),
        strangers=strangers,
        looks=settings.looks,
    )
