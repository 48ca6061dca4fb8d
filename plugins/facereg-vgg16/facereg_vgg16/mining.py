"""Which triplets of a batch are learned from, and the loss over them; no tensor is ever (B, B, B).

The paper's section 3.2.3 defines the loss as a (B, B, B) tensor of which the valid entries are averaged: anchor and
positive of one person and not the same image, the negative of another. 512 images would need 0.5 GB for it. Here the
distances are (B, B), and those of P genuine pairs to all negatives (P, B); with K images a person, P is B (K - 1).
"""

from __future__ import annotations

from typing import Literal

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BaseMiner, BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn

Mining = Literal["all", "semi-hard", "batch-hard"]


class PairMiner(BaseMiner):  # type: ignore[misc]  # pytorch-metric-learning has no types
    """All valid triplets, or the semi-hard ones: the negative farther than the positive, by less than the margin.

    pytorch-metric-learning's own miner of these builds the (B, B, B) tensor.

    Args:
        margin: below which a triplet is semi-hard; None takes all.
    """

    def __init__(self, *, margin: float | None, distance: LpDistance) -> None:
        super().__init__(distance=distance)
        self.margin = margin

    def mine(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows of anchors, positives and negatives."""
        anchors, positives, _, _ = get_all_pairs_indices(labels, ref_labels)  # (P,)
        kept = labels[anchors, None] != ref_labels[None]  # (P, B)
        if self.margin is not None:
            distances = self.distance(embeddings, ref_emb)  # (B, B)
            farther = distances[anchors] - distances[anchors, positives, None]  # (P, B)
            kept &= (farther > 0) & (farther < self.margin)
        pairs, negatives = kept.nonzero(as_tuple=True)
        return anchors[pairs], positives[pairs], negatives


class OnlineTripletLoss(nn.Module):
    """The mean of max(0, d(a, p) - d(a, n) + margin) over the triplets that are mined in a batch.

    d is the squared Euclidean distance (the paper, section 3.2.2), or the distance itself, with which hard triplets
    collapse less easily (Hermans et al. 2017, arXiv:1703.07737, section 2).

    Args:
        mining: `batch-hard`, the farthest positive and the nearest negative of each anchor (Hermans et al. 2017);
            `semi-hard` (Schroff et al. 2015, section 3.2); or `all` valid triplets.
    """

    def __init__(self, mining: Mining, *, margin: float, squared: bool) -> None:
        super().__init__()
        distance = LpDistance(normalize_embeddings=True, p=2, power=2 if squared else 1)
        self.loss = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())
        self.miner: BaseMiner = (
            BatchHardMiner(distance=distance)
            if mining == "batch-hard"
            else PairMiner(margin=margin if mining == "semi-hard" else None, distance=distance)
        )

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of vectors (B, D) with labels (B,); 0 where no triplet is mined."""
        loss: Tensor = self.loss(vectors, labels, self.miner(vectors, labels))
        return loss
