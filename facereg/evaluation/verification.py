"""Verification: the LFW protocol (Huang et al. 2007; facts of facenet's lfw.py) without skipping any pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facereg.errors import ContractError, require_package
from facereg.types import BoolArray, FloatArray, IntArray

FARS = (0.1, 0.01, 0.001)
FEWEST = 10  # false accepts that a rate beside the one asked for rests on
REFUSED = -1.0  # similarity of a pair one of whose pictures gave no face: the system refuses it


@dataclass(frozen=True, slots=True)
class FoldRate:
    """What a false accept rate comes to where its threshold is chosen on other people's pairs.

    Args:
        tpr: mean over the folds of the true positive rate, each fold at the threshold of the others.
        tpr_std: population standard deviation over the folds.
        far: mean over the folds of the false accept rate there: the one asked for, and what chance adds.
    """

    tpr: float
    tpr_std: float
    far: float


@dataclass(frozen=True, slots=True, eq=False)
class VerificationScores:
    """Figures over all pairs.

    Args:
        accuracy: mean over the folds, each at the threshold that is best for the others (or at the one given).
        accuracy_std: population standard deviation over the folds; 0 for one fold.
        tpr_at_far: by false accept rate; None where there are too few impostor pairs to show it.
        fold_rates: the same with the threshold of each fold chosen on the others; empty for one fold.
        threshold: the one given, or the mean over the folds.
        right: (P,) which pairs were judged rightly at their fold's threshold.
        curve: (N, 3) float32 FAR, TPR, threshold, by falling threshold.
    """

    accuracy: float
    accuracy_std: float
    tpr_at_far: dict[float, float | None]
    fold_rates: dict[float, FoldRate | None]
    threshold: float
    right: BoolArray
    curve: FloatArray


def require_roc() -> None:
    """Raise MissingExtraError where no ROC can be computed; whoever needs one is told before the work."""
    require_package("sklearn", "evaluation needs scikit-learn")


def score_pairs(
    similarities: FloatArray, same: BoolArray, folds: Sequence[int], *, threshold: float | None = None
) -> VerificationScores:
    """Score pairs by their cosine similarity.

    Args:
        similarities: (N,) float32.
        same: (N,) bool.
        folds: fold of each pair.
        threshold: chosen on other pairs; needed where there is one fold, since the best one on the pairs
            that are scored would flatter.
    Raises:
        ContractError: if lengths differ, a similarity is no number, a kind of pair is missing, or one fold comes
            without a threshold.
    """
    fold = np.asarray(folds)
    if not len(similarities) == len(same) == len(fold):
        raise ContractError(f"pairs: expected equal lengths, got {len(similarities)}, {len(same)}, {len(fold)}")
    if not np.isfinite(similarities).all():
        row = int(np.isfinite(similarities).argmin())
        raise ContractError(f"similarities: expected finite numbers, got {similarities[row]:g} at {row}")
    require_kinds(same)
    names = np.unique(fold)
    similarities = similarities.astype(np.float64)  # a threshold between two float32 neighbours is none of them
    if threshold is None:
        require_folds(names)
    right, thresholds = np.empty(len(same), np.bool_), []
    for name in names:
        test = fold == name
        chosen = best_threshold(similarities[~test], same[~test]) if threshold is None else threshold
        right[test] = (similarities[test] >= chosen) == same[test]
        thresholds.append(chosen)
    accuracies = [float(right[fold == name].mean()) for name in names]
    curve = roc(similarities, same)
    return VerificationScores(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        tpr_at_far={far: tpr_at(curve, far, int((~same).sum())) for far in FARS},
        fold_rates={far: fold_rate(similarities, same, fold, far) for far in FARS} if len(names) > 1 else {},
        threshold=float(np.mean(thresholds)),
        right=right,
        curve=curve,
    )


def require_kinds(same: BoolArray, *, named: str = "pairs") -> None:
    """Raise ContractError, naming the list, unless there are genuine and impostor pairs."""
    if same.all() or not same.any():
        raise ContractError(f"{named}: expected genuine and impostor pairs, got one kind only")


def require_folds(folds: Sequence[int] | IntArray) -> None:
    """Raise ContractError unless each fold has others to choose its threshold on."""
    if len(np.unique(folds)) < 2:
        raise ContractError("threshold: one fold needs a threshold chosen on other pairs; give a second list")


@dataclass(frozen=True, slots=True, eq=False)
class GroupScores:
    """Figures of the pairs within a group of people, at the threshold of a false accept rate over all pairs.

    Args:
        genuine, impostors: how many pairs of each kind.
        far, tpr: of them; None where there is none of the kind.
        curve: (N, 3) float32 FAR, TPR, threshold; empty where a kind is missing.
    """

    genuine: int
    impostors: int
    far: float | None
    tpr: float | None
    curve: FloatArray


def score_groups(
    similarities: FloatArray, same: BoolArray, groups: Sequence[tuple[str | None, str | None]], far: float
) -> dict[str, GroupScores]:
    """Score the pairs within each group at the threshold that gives `far` over all pairs.

    One threshold serves everybody: where it accepts more strangers of one group than of another, the rates say so.

    Args:
        groups: (N,) of the people in the first and second picture; None where one has no group. A pair of two groups
            counts in neither.
    Raises:
        ContractError: if there are too few impostor pairs to show `far`.
    """
    similarities = similarities.astype(np.float64)  # as in `score_pairs`
    threshold = thresholds_from(similarities, same, far)[far]
    within = np.array([first if first == second else None for first, second in groups], np.object_)
    scores = {}
    for name in sorted({name for name in within if name is not None}):
        own = within == name
        kinds = [similarities[own & same], similarities[own & ~same]]
        tpr, rate = (float((kind >= threshold).mean()) if len(kind) else None for kind in kinds)
        curve = roc(similarities[own], same[own]) if tpr is not None and rate is not None else np.empty((0, 3), "f4")
        scores[name] = GroupScores(len(kinds[0]), len(kinds[1]), rate, tpr, curve)
    return scores


def fold_rate(similarities: FloatArray, same: BoolArray, folds: IntArray, far: float) -> FoldRate | None:
    """Return the rates of the folds, each at the lowest threshold that keeps `far` on all the others.

    Known code (facts of facenet's and InsightFace's) reads that threshold from a grid of squared distances in steps of
    0.001, by interpolation; here it is exact, halfway between the last impostor accepted and the first refused. As
    there, a fold in which one impostor is more than `far` allows is scored all the same: `FoldRate.far` says what
    came of it.

    Returns:
        None where the others have too few impostor pairs to show `far`, or a fold lacks a kind of pair.
    """
    tprs, fars = [], []
    similarities = similarities.astype(np.float64)  # as in `score_pairs`
    for name in np.unique(folds):
        test = folds == name
        refused = np.sort(similarities[~test & ~same])[::-1]
        allowed = _allowed(len(refused), far)
        if allowed < 1 or allowed >= len(refused) or same[test].all() or not same[test].any():
            return None
        accepted = similarities[test] >= _threshold_above(refused[allowed], similarities[~test])
        tprs.append(float(accepted[same[test]].mean()))
        fars.append(float(accepted[~same[test]].mean()))
    return FoldRate(float(np.mean(tprs)), float(np.std(tprs)), float(np.mean(fars)))


def best_threshold(similarities: FloatArray, same: BoolArray) -> float:
    """Return the threshold of highest accuracy, halfway to the next lower similarity; of several, the middle one."""
    order = np.argsort(-similarities, kind="stable")
    values, genuine = similarities[order].astype(np.float64), same[order]
    right = np.cumsum(genuine) + (~genuine).sum() - np.cumsum(~genuine)  # accepting the first i + 1
    last = np.flatnonzero(np.append(np.diff(values) < 0, True))  # equal similarities are accepted together
    best = last[right[last] == right[last].max()]
    row = int(best[len(best) // 2])
    below = values[row + 1] if row + 1 < len(values) else values[row]
    return float((values[row] + below) / 2)


def roc(similarities: FloatArray, same: BoolArray) -> FloatArray:
    """Return (N, 3) float32 rows of FAR, TPR and threshold, by falling threshold, from accepting nobody."""
    require_roc()
    from sklearn.metrics import roc_curve  # here: verify and calibrate need none

    far, tpr, thresholds = roc_curve(same, similarities, drop_intermediate=False)
    return np.stack([far, tpr, thresholds], 1).astype(np.float32)


def tpr_at(curve: FloatArray, far: float, impostors: int) -> float | None:
    """Return the largest TPR at a FAR of at most `far`; None where one false accept of `impostors` is more already."""
    if impostors * far < 1:
        return None
    return float(curve[curve[:, 0] <= far * (1 + 1e-6), 1].max())  # float32 rounds a rate up, too


def thresholds_from(similarities: FloatArray, same: BoolArray, far: float) -> dict[float, float]:
    """Return the threshold of a false accept rate, and of each tenth of it that 10 false accepts or more can show.

    Each is the lowest at which the rate is kept, halfway between the last accepted and the first refused similarity.

    Raises:
        ContractError: if there are too few impostor pairs to measure `far` itself.
    """
    impostors = np.sort(similarities[~same].astype(np.float64))[::-1]
    require_rate(far, len(impostors))
    rates = [far]
    while len(impostors) * rates[-1] / 10 >= FEWEST:
        rates.append(rates[-1] / 10)
    return {rate: _threshold_above(impostors[_allowed(len(impostors), rate)], similarities) for rate in rates}


def require_rate(far: float, impostors: int) -> None:
    """Raise ContractError where it is no false accept rate, or so many impostor pairs are too few to measure it."""
    if not 0 < far < 1:
        raise ContractError(f"far: expected a rate between 0 and 1, got {far}; 1 would accept everybody")
    if _allowed(impostors, far) < 1:
        raise ContractError(
            f"far: expected at least {1 / max(impostors, 1):.2g} with {impostors} impostor pairs, got {far}; "
            "use more pairs or a higher rate"
        )


def _allowed(impostors: int, far: float) -> int:
    """Return how many false accepts a rate allows; a product rounded just below a whole number is that number."""
    return int(impostors * far + 1e-9)


def _threshold_above(refused: np.float64, similarities: FloatArray) -> float:
    above = similarities[similarities > refused]
    middle = float((refused + (above.min() if len(above) else 1.0)) / 2)
    return min(middle, 1.0)  # a float32 cosine of equal vectors may come out above 1, a threshold may not
