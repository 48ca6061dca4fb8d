"""Groups of unknown faces against the people they show, by hand; each method on vectors whose groups are plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.collection.grouping import METHODS, Grouping, Method
from facereg.errors import ContractError
from facereg.evaluation.grouping import score_grouping
from facereg.images import write_image
from facereg.types import FloatArray
from tests.calling import Run
from tests.fakes import picture


def test_scores_by_hand() -> None:
    # people aaab b; groups {a a b} {a} {b}: the three shared cells have 2, 1, 1 and 1 faces
    scores = score_grouping(np.array([0, 0, 1, 0, 2]), ["a", "a", "a", "b", "b"])
    assert scores.groups == 3
    # pairs in one group: aa, ab, ab; pairs of one person: aa, aa, aa, bb
    assert (scores.pairwise_precision, scores.pairwise_recall) == pytest.approx((1 / 3, 1 / 4))
    assert scores.pairwise_f == pytest.approx(2 / 7)
    # precision of each face: 2/3 2/3 1 1/3 1; recall: 2/3 2/3 1/3 1/2 1/2
    assert scores.bcubed_precision == pytest.approx((2 / 3 + 2 / 3 + 1 + 1 / 3 + 1) / 5)
    assert scores.bcubed_recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 5)


def test_faces_alone_are_groups_of_their_own() -> None:
    scores = score_grouping(np.array([-1, -1, -1]), ["a", "a", "b"])
    assert (scores.groups, scores.bcubed_precision, scores.pairwise_precision) == (3, 1.0, 1.0)
    assert scores.bcubed_recall == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert (scores.pairwise_recall, scores.pairwise_f) == (0.0, 0.0)


def test_right_groups_have_full_marks() -> None:
    scores = score_grouping(np.array([5, 5, -1, 2, 2]), ["a", "a", "b", "c", "c"])
    assert (scores.bcubed_f, scores.pairwise_f) == (1.0, 1.0)


def test_groups_and_people_go_together() -> None:
    with pytest.raises(ContractError, match="expected a group for each of 2 faces"):
        score_grouping(np.array([0]), ["a", "b"])


def faces(sizes: list[int], spread: float, rng: np.random.Generator) -> FloatArray:
    """Return faces of people of those many pictures, each near its person's direction, all far from each other's."""
    centres = np.eye(64)[: len(sizes)]
    vectors = np.repeat(centres, sizes, 0) + spread * rng.normal(size=(sum(sizes), 64))
    unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.parametrize("method", METHODS)
def test_plain_groups_are_found_the_largest_first(method: Method, rng: np.random.Generator) -> None:
    groups = Grouping(method, threshold=0.5).groups_of(faces([3, 6, 4], 0.02, rng))
    assert groups.tolist() == [2] * 3 + [0] * 6 + [1] * 4


@pytest.mark.parametrize("method", ["agglomerative", "dbscan"])
def test_a_face_like_nobody_is_alone(method: Method, rng: np.random.Generator) -> None:
    groups = Grouping(method, threshold=0.5).groups_of(faces([3, 1, 2], 0.02, rng))
    assert groups.tolist() == [0] * 3 + [-1] + [1] * 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1])
def test_nobody_is_grouped_where_there_are_not_two(method: Method, count: int, rng: np.random.Generator) -> None:
    assert Grouping(method, threshold=0.3).groups_of(faces([count], 0.02, rng)).tolist() == [-1] * count


def test_taking_sets_that_hang_together_one_by_one_changes_no_group(rng: np.random.Generator) -> None:
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import adjusted_rand_score

    vectors = faces([5] * 40 + [1] * 20, 0.12, rng)  # cosines within a person of about 0.5
    whole = AgglomerativeClustering(n_clusters=None, metric="cosine", linkage="average", distance_threshold=0.6)
    groups = Grouping(threshold=0.4).groups_of(vectors)
    alone = np.where(groups < 0, -1 - np.arange(len(groups)), groups)
    assert 40 < len(set(alone.tolist())) < len(vectors)
    assert adjusted_rand_score(whole.fit_predict(vectors), alone) == 1.0


def test_more_faces_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr("facereg.collection.grouping.MOST", 9)
    with pytest.raises(ContractError, match="expected at most 9 faces that hang together, got 10"):
        Grouping(threshold=0.3).groups_of(faces([10], 0.02, rng))


@pytest.mark.parametrize("wrong", [{"method": "kmeans"}, {"threshold": 1.0}, {"neighbours": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="expected"):
        Grouping(**wrong)  # type: ignore[arg-type]


def test_evaluate_grouping_chooses_on_one_folder_and_reports_on_the_other(
    tmp_path: Path, painted: list[str], run: Run
) -> None:
    for folder, people in (("others", (1, 2, 3)), ("people", (4, 5))):
        for person in people:
            for number in range(3):
                write_image(tmp_path / folder / f"p{person}" / f"{number}.png", picture(person))
    (tmp_path / "people" / "p4" / "bad.png").write_bytes(b"no picture")
    called = run(
        *("evaluate", "grouping", "--images", tmp_path / "people", "--choose-on", tmp_path / "others", "--json"),
        *("--out", tmp_path / "grouping.json", *painted),
    )
    figures = called.document
    assert called.status == 1  # a picture could not be read: it is alone
    assert (figures["people"], figures["images"], figures["without_face"], figures["missing"]) == (2, 7, 1, 1)
    # p4: 3 of 4 in one group, so recall 3 * 3/4 + 1/4 of the 7 faces; precision is whole
    assert figures["bcubed_recall"] == {method: pytest.approx((3 * 3 / 4 + 1 / 4 + 3) / 7) for method in METHODS}
    assert figures["bcubed_precision"] == dict.fromkeys(METHODS, 1.0)
    assert (tmp_path / "grouping.png").stat().st_size > 0
