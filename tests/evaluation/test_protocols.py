"""The protocols of verification: rates of the folds, intervals over people, mirrored crops."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from facereg.builtin.alignment import FivePointAligner
from facereg.data.pairs import Pair, PairList
from facereg.errors import ContractError
from facereg.evaluation.bootstrap import bootstrap
from facereg.evaluation.comparing import Similarities, measure_verification, score_list
from facereg.evaluation.flipping import Flip, FlippedEmbedder
from facereg.evaluation.verification import FARS, fold_rate, score_pairs, tpr_at
from facereg.images import write_image
from facereg.pipeline.composer import Pipeline
from tests.fakes import PaintedDetector, PaintedEmbedder, picture

PAIRS = 6000


def view2(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return cosines of 6,000 pairs as LFW's second view has them: ten folds of 300 genuine and 300 impostor."""
    rng = np.random.default_rng(seed)
    same = np.tile(np.repeat([True, False], 300), 10)
    cosines = np.where(same, rng.normal(0.6, 0.15, PAIRS), rng.normal(0.1, 0.12, PAIRS)).astype(np.float32)
    return cosines, same, [row // 600 for row in range(PAIRS)]


def test_six_thousand_pairs_are_scored_within_two_seconds_and_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(2 * PAIRS, 512)).astype(np.float32)
    _, same, folds = view2()
    vectors[1::2][same] += 0.8 * vectors[::2][same]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    people = tuple(rng.integers(0, 4000, PAIRS) for _ in range(2))
    began = time.process_time()  # of this process: others at work beside it do not count
    cosines = (vectors[::2] * vectors[1::2]).sum(1)
    scores = score_pairs(cosines, same, folds)
    bootstrap(cosines, same, scores.right, (people[0], people[1]), draws=1000)
    assert time.process_time() - began < 2
    far, tpr, _ = roc_curve(same, cosines, drop_intermediate=False)
    assert scores.curve[:, :2] == pytest.approx(np.stack([far, tpr], 1))
    for rate in FARS:
        assert scores.tpr_at_far[rate] == pytest.approx(tpr[far <= rate].max())


def test_a_folds_rate_is_taken_at_the_threshold_of_the_others() -> None:
    # fold 0: impostors 0.05 to 0.50, genuine 0.30 and 0.90; fold 1: the same, 0.3 higher
    impostors = np.arange(1, 11, dtype=np.float32) / 20
    cosines = np.concatenate([impostors, [0.30, 0.90], impostors + 0.3, [0.60, 1.00]]).astype(np.float32)
    same = np.array(([False] * 10 + [True] * 2) * 2)
    rate = fold_rate(cosines, same, np.repeat([0, 1], 12), 0.1)
    assert rate is not None
    # at fold 1's threshold, 0.775, fold 0 accepts 0.90 and no impostor; at fold 0's, 0.475, fold 1 accepts both
    # genuine pairs and the impostors 0.50 to 0.80, seven of ten
    assert [rate.tpr, rate.tpr_std, rate.far] == pytest.approx([0.75, 0.25, 0.35])


def test_a_rate_that_the_other_folds_cannot_show_is_none() -> None:
    cosines, same, folds = view2()
    scores = score_pairs(cosines, same, folds)
    assert scores.fold_rates[0.001] is not None  # 2,700 impostors of nine folds allow two
    assert fold_rate(cosines, same, np.array(folds), 1e-4) is None
    one = score_pairs(cosines, same, [0] * PAIRS, threshold=0.3)
    assert one.fold_rates == {}


def test_intervals_over_people_are_wider_than_over_pairs() -> None:
    # forty people with fifty pictures each; four are never told right: the pairs of a person stand or fall together
    person = np.repeat(np.arange(40), 50)
    same = np.tile([True, False], 1000)
    other = np.where(same, person, (person + 1) % 40)
    hard = (person % 10 == 0) & same
    cosines = np.where(same & ~hard, 0.9, 0.1).astype(np.float32)
    right = (cosines >= 0.5) == same
    over_people = bootstrap(cosines, same, right, (person, other), fars=(0.1,), draws=400)
    over_pairs = bootstrap(cosines, same, right, None, fars=(0.1,), draws=400)
    for drawn in (over_people, over_pairs):
        assert drawn.accuracy[0] <= right.mean() <= drawn.accuracy[1]
    assert np.ptp(over_people.accuracy) > 3 * np.ptp(over_pairs.accuracy)
    assert (over_people.over, over_pairs.over) == ("people", "pairs")


def test_an_interval_of_one_possible_draw_is_the_figure_itself() -> None:
    cosines, same, _ = view2()
    nobody_twice = (np.zeros(PAIRS, np.int64), np.zeros(PAIRS, np.int64))  # one person: every draw is that person
    right = np.ones(PAIRS, np.bool_)
    scores = score_pairs(cosines, same, [0] * PAIRS, threshold=0.3)
    drawn = bootstrap(cosines, same, right, nobody_twice, draws=5)
    for far in FARS:
        expected = tpr_at(scores.curve, far, 3000)
        assert drawn.tpr_at_far[far] == pytest.approx([expected, expected])
    assert drawn.accuracy == (1.0, 1.0)


def test_bootstrap_refuses_what_it_cannot_draw() -> None:
    cosines, same, _ = view2()
    right = np.ones(PAIRS, np.bool_)
    with pytest.raises(ContractError, match="equal lengths"):
        bootstrap(cosines, same[:-1], right, None)
    with pytest.raises(ContractError, match="draws, level"):
        bootstrap(cosines, same, right, None, draws=0)


class HalvesEmbedder(PaintedEmbedder):
    """Gives the mean colour of the left half: the mirrored crop's is that of the right."""

    name, dim = "halves", 3

    def _embed(self, pixels: np.ndarray) -> np.ndarray:
        halves: np.ndarray = pixels[:, :, :56].mean((1, 2)).astype(np.float32)
        return halves


@pytest.mark.parametrize(
    ("flip", "expected"),
    [
        ("none", [1, 0, 0]),
        ("sum", [0.5**0.5, 0.5**0.5, 0]),
        ("concat", [0.5**0.5, 0, 0, 0, 0.5**0.5, 0]),
    ],
)
def test_the_mirrored_crop_is_added_put_beside_or_left_out(flip: Flip, expected: list[float]) -> None:
    crop = np.zeros((1, 112, 112, 3), np.uint8)
    crop[0, :, :56, 0] = 100  # left red, right green
    crop[0, :, 56:, 1] = 100
    inner = HalvesEmbedder()
    embeddings = FlippedEmbedder(inner, flip).embed(crop)
    assert embeddings.vectors[0].tolist() == pytest.approx(expected)
    assert inner.flip is False
    assert (embeddings.space == inner.embed(crop).space) == (flip != "concat")  # other numbers, other space


def test_no_pair_is_skipped_and_the_folds_and_intervals_are_told(tmp_path: Path) -> None:
    for person in range(1, 5):
        for number in (1, 2):
            shown = [] if (person, number) == (4, 2) else [person]
            write_image(tmp_path / f"{person}_{number}.png", picture(*shown))

    def pair(first: str, second: str) -> Pair:
        paths = [tmp_path / f"{name}.png" for name in (first, second)]
        return Pair(paths[0], paths[1], first[0] == second[0], (first[0], second[0]))

    genuine = [pair(f"{person}_1", f"{person}_2") for person in range(1, 5)]
    impostors = [pair(f"{a}_1", f"{b}_1") for a in range(1, 5) for b in range(a + 1, 5)]
    folds = [row % 2 for row in range(len(genuine) + len(impostors))]
    listed = PairList((*genuine, *impostors), tuple(folds))
    with Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder()) as pipeline:
        result = measure_verification(pipeline, listed, flip="concat", draws=50)
        figures = result.figures()
        assert pipeline.embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)).vectors.shape[1] == 8  # as it was
    assert (figures["pairs"], figures["missing"], figures["drawn"]) == (10, 1, "people")
    assert result.scores.right.tolist() == [True, True, True, False, *[True] * 6]
    assert float(str(figures["accuracy_low"])) <= 0.9 <= float(str(figures["accuracy_high"]))


def test_people_of_a_list_are_numbered_only_where_all_are_known() -> None:
    known = Pair(Path("a"), Path("b"), False, ("Ann", "Bob"))
    unknown = Pair(Path("a"), Path("c"), True)
    people = PairList((known, Pair(Path("c"), Path("a"), True, ("Bob", "Bob"))), (0, 0)).people
    assert people is not None
    assert [numbers.tolist() for numbers in people] == [[0, 1], [1, 1]]
    assert PairList((known, unknown), (0, 0)).people is None
    compared = Similarities(np.array([0.1, 0.9], np.float32), np.array([False, True]), 0)
    result = score_list(PairList((known, unknown), (0, 0)), compared, threshold=0.5, draws=20)
    assert result.intervals is not None
    assert result.intervals.over == "pairs"
