"""The exact matcher: the contract, and what removing and adding in turns leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facereg.builtin import indexed
from facereg.builtin.exact import ExactMatcher
from facereg.builtin.indexed import BLOCK, PROBES
from facereg.errors import ContractError
from facereg.testing import MatcherContract
from facereg.testing.pictures import vectors
from facereg.types import Embeddings, FloatArray


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
    known, probes = vectors(40, 8, "a"), vectors(PROBES + 5, 8, "a", seed=1)
    with ExactMatcher(threshold=0.5) as matcher:
        matcher.add([str(row) for row in range(40)], known)
        whole = matcher.match(probes, k=3)
        tail = matcher.match(probes[PROBES - 1 :], k=3)
    assert list(whole.labels)[PROBES - 1 :] == list(tail.labels)
    assert whole.similarities[PROBES - 1 :] == pytest.approx(tail.similarities, abs=1e-6)  # sums in another order


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


def crowd(count: int, dim: int, *, alike: float = 0.0) -> Embeddings:
    """Return unit vectors that share a part, so that the closest of a probe lie near each other."""
    rng = np.random.default_rng(3)
    made = rng.standard_normal((count, dim), np.float32) + np.float32(alike)
    return Embeddings(made / np.linalg.norm(made, axis=1, keepdims=True), "a")


@pytest.mark.parametrize("alike", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("probes", [1, PROBES + 1])
def test_codes_leave_nobody_out(probes: int, alike: float) -> None:
    known = crowd(2 * BLOCK + 100, 32, alike=alike)
    asked = Embeddings(crowd(probes + 7, 32, alike=alike).vectors[7:] * np.float32(-1 if alike == 1.0 else 1), "a")
    with ExactMatcher(threshold=0.5) as matcher:
        matcher.add([f"{row:05}" for row in range(len(known))], known)
        found = matcher.match(asked, k=7)
    expected = -np.sort(-asked.vectors @ known.vectors.T, axis=1)[:, :7]
    assert found.similarities == pytest.approx(expected, abs=1e-6)  # sums in another order
    rows = np.array([[int(name) for name in names] for names in found.labels])
    assert np.einsum("pkd,pd->pk", known.vectors[rows], asked.vectors) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("templates", [True, False])
@pytest.mark.parametrize("int8", [True, False])
def test_coming_and_going_leaves_what_a_plain_comparison_finds(
    templates: bool, int8: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexed, "FRESH", 40)  # the index is built, and built anew, on the way
    rng, held = np.random.default_rng(5), dict[str, list[FloatArray]]()
    with ExactMatcher(threshold=0.5, templates=templates, int8=int8) as matcher:
        for step in range(60):
            names = [f"person {one}" for one in rng.integers(0, 150, rng.integers(1, 30))]
            given = vectors(len(names), 16, "a", seed=step)
            if step % 3 == 2:
                for name in names:
                    assert matcher.remove(name) == len(held.pop(name, []))
            else:
                matcher.add(names, given)
                for name, vector in zip(names, given.vectors, strict=True):
                    held.setdefault(name, []).append(vector)
            assert len(matcher) == len(held)
            probe = vectors(2, 16, "a", seed=1000 + step)
            people = [np.mean(own, 0, keepdims=True) if templates else np.stack(own) for own in held.values()]
            scores = np.stack(
                [(probe.vectors @ (own / np.linalg.norm(own, axis=1, keepdims=True)).T).max(1) for own in people], 1
            )
            best = -np.sort(-scores, axis=1)[:, :9]
            found = matcher.match(probe, k=9)
            assert found.similarities == pytest.approx(best, abs=1e-5)  # templates are added to as float32 sums
            assert found.labels[0][0] == list(held)[int(scores[0].argmax())]
            assert matcher.vectors_compared == (len(held) if templates else sum(map(len, held.values())))


@pytest.mark.parametrize("threshold", [-1.1, 1.1, float("nan")])
def test_a_threshold_is_a_cosine(threshold: float) -> None:
    with pytest.raises(ContractError, match="cosine similarity in -1..1"):
        ExactMatcher(threshold=threshold)
    with ExactMatcher(threshold=0.5) as matcher, pytest.raises(ContractError, match="cosine similarity in -1..1"):
        matcher.threshold = threshold


def test_k_is_at_least_one() -> None:
    with ExactMatcher(threshold=0.5) as matcher, pytest.raises(ContractError, match="k: expected at least 1"):
        matcher.match(vectors(1, 8, "a"), k=0)
