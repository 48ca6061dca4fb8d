"""The exact matcher: the contract, and what removing and adding in turns leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facereg.builtin.exact import BLOCK, ExactMatcher
from facereg.errors import ContractError
from facereg.testing import MatcherContract
from facereg.testing.pictures import vectors
from facereg.types import Embeddings


class TestExactKeepsTheContract(MatcherContract):
    def make(self) -> ExactMatcher:
        return ExactMatcher(threshold=0.5)


def test_a_person_is_as_similar_as_the_best_of_their_vectors() -> None:
    axes = np.eye(4, dtype=np.float32)
    probe = Embeddings(np.array([[0.6, 0.8, 0, 0]], np.float32), "a")
    with ExactMatcher(threshold=0.7, templates=False) as matcher:
        matcher.add(["ada", "bob", "ada"], Embeddings(axes[[2, 0, 1]], "a"))
        [match] = matcher.match(probe)
    assert match.label == "ada"
    assert [name for name, _ in match.candidates] == ["ada", "bob"]
    assert [value for _, value in match.candidates] == pytest.approx([0.8, 0.6])


def test_a_template_is_the_mean_of_a_persons_vectors() -> None:
    axes = np.eye(3, dtype=np.float32)
    probe = Embeddings(axes[:1], "a")
    with ExactMatcher(threshold=0.5) as matcher:
        matcher.add(["ada", "bob"], Embeddings(axes[[0, 2]], "a"))
        matcher.add(["ada"], Embeddings(axes[1:2], "a"))
        [match] = matcher.match(probe)
        assert match.similarity == pytest.approx(np.sqrt(0.5))
        assert matcher.remove("bob") == 1
        [match] = matcher.match(probe)
    assert match.similarity == pytest.approx(np.sqrt(0.5))


def test_vectors_that_cancel_out_are_like_nobody() -> None:
    axes = np.eye(2, dtype=np.float32)
    with ExactMatcher(threshold=0.5) as matcher:
        matcher.add(["ada", "ada"], Embeddings(np.stack([axes[0], -axes[0]]), "a"))
        [match] = matcher.match(Embeddings(axes[:1], "a"))
    assert match.similarity == 0.0


def test_a_similarity_of_the_threshold_itself_is_accepted() -> None:
    axes = np.eye(2, dtype=np.float32)
    with ExactMatcher(threshold=1.0) as matcher:
        matcher.add(["ada"], Embeddings(axes[:1], "a"))
        assert [match.label for match in matcher.match(Embeddings(axes, "a"))] == ["ada", None]


def test_who_is_left_after_removals_is_found_under_the_right_name() -> None:
    known = vectors(30, 16, "a")
    names = [f"person {row % 10}" for row in range(30)]  # three vectors each, not side by side
    with ExactMatcher(threshold=0.9, templates=False) as matcher:
        matcher.add(names[:20], known[:20])
        assert matcher.remove("person 3") == 2
        matcher.add(names[20:], known[20:])  # person 3 comes back with one vector
        assert matcher.remove("person 7") == 3
        found = [match.label for match in matcher.match(known)]
    gone = {3, 13, 7, 17, 27}
    assert found == [None if row in gone else names[row] for row in range(30)]


def test_more_probes_than_a_block_give_what_few_give() -> None:
    known, probes = vectors(40, 8, "a"), vectors(BLOCK + 5, 8, "a", seed=1)
    with ExactMatcher(threshold=0.5) as matcher:
        matcher.add([str(row) for row in range(40)], known)
        whole = matcher.match(probes, k=3)
        tail = matcher.match(probes[BLOCK - 1 :], k=3)
    assert list(whole.labels)[BLOCK - 1 :] == list(tail.labels)
    assert whole.similarities[BLOCK - 1 :] == pytest.approx(tail.similarities, abs=1e-6)  # sums in another order


def test_adding_while_others_match_loses_nothing() -> None:
    known = vectors(200, 8, "a")
    with ExactMatcher(threshold=0.99) as matcher:
        matcher.add(["first"], known[:1])

        def add_and_look(row: int) -> str | None:
            matcher.add([str(row)], known[row : row + 1])
            return next(iter(matcher.match(known[row : row + 1]))).label

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(add_and_look, range(1, 200))) == [str(row) for row in range(1, 200)]
        assert len(matcher) == 200


@pytest.mark.parametrize("threshold", [-1.1, 1.1, float("nan")])
def test_a_threshold_is_a_cosine(threshold: float) -> None:
    with pytest.raises(ContractError, match="cosine similarity in -1..1"):
        ExactMatcher(threshold=threshold)
    with ExactMatcher(threshold=0.5) as matcher, pytest.raises(ContractError, match="cosine similarity in -1..1"):
        matcher.threshold = threshold


def test_k_is_at_least_one() -> None:
    with ExactMatcher(threshold=0.5) as matcher, pytest.raises(ContractError, match="k: expected at least 1"):
        matcher.match(vectors(1, 8, "a"), k=0)
