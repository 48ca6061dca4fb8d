"""How far a figure would move with other people: intervals by drawing the people anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facereg.errors import ContractError
from facereg.evaluation.verification import FARS
from facereg.types import BoolArray, FloatArray, IntArray

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals (low, high) that hold a share `level` of the draws.

    Args:
        accuracy: each pair judged at the threshold that its fold had.
        tpr_at_far: by false accept rate, over all pairs, the threshold read anew in each draw; None where a draw
            would have too few impostor pairs.
        level: share of the draws inside.
        draws: how many.
        over: what was drawn, `people` or, where nobody knows who is in a picture, `pairs`.
    """

    accuracy: tuple[float, float]
    tpr_at_far: dict[float, tuple[float, float] | None]
    level: float
    draws: int
    over: str


def bootstrap(
    similarities: FloatArray,
    same: BoolArray,
    right: BoolArray,
    people: tuple[IntArray, IntArray] | None,
    *,
    fars: Sequence[float] = FARS,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Return intervals by drawing as many people as there are, with replacement.

    Pairs that share a person are not independent, and drawing pairs would promise too much. A person drawn k times
    counts k times in each genuine pair, and an impostor pair counts as often as both of its people together: k times l.

    Args:
        similarities, same: (N,) of the pairs.
        right: (N,) which pairs were judged rightly, as in `VerificationScores`.
        people: (N,) numbers of the people in the first and second pictures; None draws pairs instead.
    Raises:
        ContractError: if lengths differ, or draws or level are none.
    Source: Bolle, Ratha, Pankanti 2004, "Error analysis of pattern recognition systems: the subsets bootstrap".
    """
    lengths = {len(similarities), len(same), len(right), *(map(len, people) if people else ())}
    if len(lengths) != 1:
        raise ContractError(f"pairs: expected equal lengths, got {sorted(lengths)}")
    if draws < 1 or not 0 < level < 1:
        raise ContractError(f"draws, level: expected at least 1 and a share in 0..1, got {draws} and {level}")
    rng = np.random.default_rng(seed)
    impostors = np.flatnonzero(~same)[np.argsort(-similarities[~same], kind="stable")]
    allowed = [far for far in fars if len(impostors) * far >= 1]
    accuracies, rates = [], []
    for _ in range(draws):
        weights = _drawn(rng, len(same), same, people)
        total = weights.sum()
        if not total or not weights[same].any() or not weights[impostors].any():
            continue  # of a handful of people, a draw may hold no pair of a kind
        accuracies.append(weights @ right / total)
        rates.append([_tpr(similarities, same, impostors, weights, far) for far in allowed])
    if not accuracies:
        raise ContractError("people: expected several with pairs of both kinds, got too few to draw from")
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(accuracies, tails)
    spans = dict(zip(allowed, np.quantile(rates, tails, axis=0).T.tolist(), strict=True)) if allowed else {}
    return Intervals(
        accuracy=(float(low), float(high)),
        tpr_at_far={far: (spans[far][0], spans[far][1]) if far in spans else None for far in fars},
        level=level,
        draws=draws,
        over="pairs" if people is None else "people",
    )


def _drawn(rng: np.random.Generator, pairs: int, same: BoolArray, people: tuple[IntArray, IntArray] | None) -> Weights:
    """Return how often each pair counts in one draw, (N,)."""
    if people is None:
        return np.bincount(rng.integers(0, pairs, pairs), minlength=pairs).astype(np.float64)
    first, second = people
    count = int(max(first.max(), second.max())) + 1
    times = np.bincount(rng.integers(0, count, count), minlength=count)
    weights: Weights = np.where(same, times[first], times[first] * times[second]).astype(np.float64)
    return weights


def _tpr(similarities: FloatArray, same: BoolArray, impostors: IntArray, weights: Weights, far: float) -> float:
    """Return the largest share of genuine weight accepted where at most `far` of the impostors' is.

    Args:
        impostors: rows of the impostor pairs, by falling similarity.
    """
    reached = np.cumsum(weights[impostors])
    refused = int(np.searchsorted(reached, far * reached[-1] + 1e-9, side="right"))
    accepted = weights[same]
    if refused < len(impostors):  # equal similarities are refused together
        accepted = accepted * (similarities[same] > similarities[impostors[refused]])
    return float(accepted.sum() / weights[same].sum())
