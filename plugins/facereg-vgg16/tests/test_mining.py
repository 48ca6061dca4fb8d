"""The paper's definition of the online triplet loss, a (B, B, B) tensor worked by loops, against what is used."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("pytorch_metric_learning")

import torch
from facereg_vgg16.mining import Mining, OnlineTripletLoss
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = pytest.mark.train
MARGIN = 0.2
LABELS = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]  # the last has no positive


def batch(seed: int, *, near: float = 0.3) -> tuple[Tensor, Tensor]:
    """Return unit vectors of ten images, those of one person near each other."""
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.tensor(LABELS)
    centres = torch.randn(4, 6, generator=drawn)[labels]
    return torch.nn.functional.normalize(centres * near + torch.randn(10, 6, generator=drawn)), labels


def distance(one: Tensor, other: Tensor, *, squared: bool) -> float:
    total = sum((float(a) - float(b)) ** 2 for a, b in zip(one, other, strict=True))
    return total if squared else total**0.5


def by_loops(vectors: Tensor, labels: Tensor, mining: Mining, *, squared: bool) -> float:
    """Return the loss as section 3.2.3 states it: of every valid (i, j, k), averaged over those that are mined."""
    rows = range(len(labels))
    losses: list[float] = []
    for i in rows:
        positives = [j for j in rows if j != i and labels[j] == labels[i]]
        negatives = [k for k in rows if labels[k] != labels[i]]
        to = [distance(vectors[i], vectors[j], squared=squared) for j in rows]
        if mining == "batch-hard" and positives:
            losses.append(max(0.0, max(to[j] for j in positives) - min(to[k] for k in negatives) + MARGIN))
        elif mining != "batch-hard":
            for j in positives:
                for k in negatives:
                    if mining == "all" or to[j] < to[k] < to[j] + MARGIN:
                        losses.append(max(0.0, to[j] - to[k] + MARGIN))  # noqa: PERF401  (the definition, as it reads)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("squared", [True, False], ids=["squared", "distance"])
@pytest.mark.parametrize("mining", ["all", "semi-hard", "batch-hard"])
def test_the_loss_is_the_papers(mining: Mining, squared: bool) -> None:
    loss = OnlineTripletLoss(mining, margin=MARGIN, squared=squared)
    for seed in range(5):
        vectors, labels = batch(seed)
        expected = by_loops(vectors, labels, mining, squared=squared)
        assert expected > 0
        assert float(loss(vectors, labels)) == pytest.approx(expected, rel=1e-4)
        assert float(loss(3 * vectors, labels)) == pytest.approx(expected, rel=1e-4)  # of unit vectors


@pytest.mark.parametrize("mining", ["all", "semi-hard", "batch-hard"])
def test_a_batch_without_triplets_has_no_loss_and_a_slope(mining: Mining) -> None:
    vectors = torch.randn(4, 6, requires_grad=True)
    loss = OnlineTripletLoss(mining, margin=MARGIN, squared=True)(vectors, torch.arange(4))
    loss.backward()
    assert float(loss.detach()) == 0
    assert vectors.grad is not None
    assert float(vectors.grad.abs().max()) == 0


def test_vectors_that_are_all_one_lose_the_margin() -> None:
    vectors, labels = torch.ones(8, 6), torch.arange(8) // 2
    for mining in ("all", "batch-hard"):
        loss = OnlineTripletLoss(mining, margin=MARGIN, squared=True)
        assert float(loss(vectors, labels)) == pytest.approx(MARGIN, abs=1e-6)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the bytes of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        given = function(*args, **(kwargs or {}))
        for tensor in given if isinstance(given, tuple | list) else (given,):
            if isinstance(tensor, Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return given


@pytest.mark.parametrize("mining", ["all", "semi-hard", "batch-hard"])
def test_no_tensor_of_all_triplets_is_made(mining: Mining) -> None:
    images, dims, each = 512, 256, 4
    vectors = torch.randn(images, dims, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = OnlineTripletLoss(mining, margin=MARGIN, squared=True)
    with Largest() as largest:
        loss(vectors, torch.arange(images) // each).backward()
    # rows and columns, int64, of all pairs for batch-hard; else of all valid triplets: 12 MB, and not 512 MB
    found = images * images if mining == "batch-hard" else images * (each - 1) * (images - each)
    assert largest.bytes <= 2 * 8 * found < 4 * images**3 / 32
