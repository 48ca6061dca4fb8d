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
    EmbedderSettings,
    EmbedderTraining,
    count_steps,
    fit_and_save,
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
class TripletSettings(EmbedderSettings):
    """Settings of the recipe: distances are squared; the card tells why the rate is not 1e-3."""

    each: int = 10  # triplets in which an image is the anchor
    triplets: str = ""  # file of triplets to read, or to write where it is missing; default OUT/triplets.csv
    size: int = SIZE
    batch: int = 32  # triplets, of all devices together
    dropout: float = 0.2


class TripletTraining(EmbedderTraining):
    """Network and the loss of the paper's section 3.2.2."""

    settings: TripletSettings

    def __init__(self, settings: TripletSettings, *, steps: int) -> None:
        super().__init__(InceptionV2(dropout=settings.dropout), settings, steps=steps)

    def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
        images = turned_and_mirrored(batch[0].flatten(0, 1), degrees=self.settings.degrees)  # (3 B, S, S, 3)
        vectors = self.vectors(images)
        loss = triplet_loss(vectors.reshape(-1, 3, vectors.shape[-1]), margin=self.settings.margin)
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
    fit_and_save(
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
