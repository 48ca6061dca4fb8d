"""Figures against numbers worked out by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.builtin.main_face import main_face
from facereg.data.boxes import LabelledImage
from facereg.errors import ContractError
from facereg.evaluation.close_ups import close_ups
from facereg.evaluation.detection import average_precision, score_detections
from facereg.evaluation.identification import score_identification
from facereg.evaluation.main_faces import embed_main_faces
from facereg.evaluation.verification import best_threshold, roc, score_groups, score_pairs, thresholds_from, tpr_at
from facereg.images import write_image
from facereg.pipeline.composer import Pipeline
from facereg.types import Faces
from tests.fakes import PaintedDetector, PaintedEmbedder, picture


def labelled(*boxes: list[float], ignored: tuple[int, ...] = ()) -> LabelledImage:
    flags = np.array([row in ignored for row in range(len(boxes))], np.bool_)
    return LabelledImage.without_points(Path("a.jpg"), np.array(boxes, np.float32), flags)


def found(*rows: tuple[float, list[float]]) -> Faces:
    return Faces(np.array([box for _, box in rows], np.float32), np.array([score for score, _ in rows], np.float32))


def test_precision_recall_and_ap_by_hand() -> None:
    # two faces; given: hit at 0.9, miss at 0.8, hit at 0.7. Precision at the hits: 1, 2/3; AP = (1 + 2/3) / 2
    items = [labelled([0, 0, 10, 10], [50, 50, 60, 60])]
    scores = score_detections(items, [found((0.9, [0, 0, 10, 10]), (0.8, [80, 80, 90, 90]), (0.7, [50, 50, 60, 55]))])
    assert scores.faces == 2
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == 1.0
    assert scores.mean_iou == pytest.approx((1.0 + 0.5) / 2)
    assert scores.ap50 == pytest.approx(5 / 6)


def test_a_second_box_on_a_face_is_a_false_one() -> None:
    scores = score_detections([labelled([0, 0, 10, 10])], [found((0.9, [0, 0, 10, 10]), (0.8, [0, 0, 10, 9]))])
    assert scores.precision == 0.5


def test_a_box_on_an_ignored_face_counts_neither_way() -> None:
    items = [labelled([0, 0, 10, 10], [50, 50, 60, 60], ignored=(1,))]
    scores = score_detections(items, [found((0.9, [50, 50, 60, 60]), (0.8, [0, 0, 10, 10]))])
    assert (scores.faces, scores.precision, scores.recall, scores.ap50) == (1, 1.0, 1.0, 1.0)


def test_faces_below_the_least_size_are_ignored_and_so_are_small_boxes_elsewhere() -> None:
    items = [labelled([0, 0, 30, 30], [50, 50, 60, 60])]
    given = found((0.9, [50, 50, 60, 60]), (0.8, [0, 0, 30, 30]), (0.7, [80, 80, 90, 90]), (0.6, [100, 0, 130, 30]))
    scores = score_detections(items, [given], least=24)
    assert scores.faces == 1
    assert scores.precision == 0.5  # the large box elsewhere is the only false one


def test_nothing_found_scores_zero() -> None:
    scores = score_detections([labelled([0, 0, 10, 10])], [Faces.empty()])
    assert (scores.precision, scores.recall, scores.mean_iou, scores.ap50) == (0.0, 0.0, 0.0, 0.0)


def test_no_face_that_counts_is_an_error() -> None:
    with pytest.raises(ContractError, match="at least one face"):
        score_detections([labelled([0, 0, 10, 10])], [Faces.empty()], least=24)


def test_precision_is_made_monotone_before_the_area() -> None:
    assert average_precision(np.array([0.5, 0.5, 1.0]), np.array([0.5, 0.4, 0.8])) == pytest.approx(0.8)


def test_the_best_threshold_lies_between_the_two_similarities() -> None:
    similarities = np.array([0.9, 0.8, 0.3, 0.1], np.float32)
    assert best_threshold(similarities, np.array([True, True, False, False])) == pytest.approx(0.55)


def test_each_fold_is_scored_at_the_threshold_of_the_others() -> None:
    # fold 0 separates at 0.5, fold 1 at 0.15: each is scored at the other's, and half of it is wrong
    similarities = np.array([0.8, 0.2, 0.2, 0.1], np.float32)
    same = np.array([True, False, True, False])
    scores = score_pairs(similarities, same, (0, 0, 1, 1))
    assert scores.accuracy == pytest.approx(0.5)
    assert scores.threshold == pytest.approx((0.5 + 0.15) / 2)


def test_one_fold_needs_a_threshold_from_elsewhere() -> None:
    with pytest.raises(ContractError, match="one fold"):
        score_pairs(np.array([0.9, 0.1], np.float32), np.array([True, False]), (0, 0))
    scores = score_pairs(np.array([0.9, 0.1], np.float32), np.array([True, False]), (0, 0), threshold=0.95)
    assert (scores.accuracy, scores.accuracy_std) == (0.5, 0.0)


def test_tpr_at_far_by_hand() -> None:
    # ten impostors; one of them is above half of the genuine pairs
    similarities = np.array([0.9, 0.8, 0.7, 0.6, 0.75, *np.linspace(0.1, 0.5, 9)], np.float32)
    same = np.array([True] * 4 + [False] * 10)
    curve = roc(similarities, same)
    assert tpr_at(curve, 0.1, 10) == 1.0
    assert tpr_at(curve, 0.09, 10) is None  # one false accept is 0.1 already
    assert curve[curve[:, 0] == 0, 1].max() == 0.5


def test_equal_similarities_are_accepted_together() -> None:
    curve = roc(np.array([0.5, 0.5], np.float32), np.array([True, False]))
    assert curve[:, :2].tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_the_threshold_of_a_far_lets_that_share_through() -> None:
    impostors = np.linspace(0.0, 0.99, 100, dtype=np.float32)
    similarities = np.concatenate([impostors, np.array([0.995], np.float32)])
    same = np.array([False] * 100 + [True])
    [value] = thresholds_from(similarities, same, 0.05).values()
    assert (impostors >= value).sum() == 5
    with pytest.raises(ContractError, match="at least 0.01 with 100"):
        thresholds_from(similarities, same, 0.001)


def test_tenths_of_a_rate_are_measured_as_far_as_the_pairs_can_show_them() -> None:
    impostors = np.linspace(0.0, 0.99, 1000, dtype=np.float32)
    similarities = np.concatenate([impostors, np.array([0.995], np.float32)])
    thresholds = thresholds_from(similarities, np.array([False] * 1000 + [True]), 0.1)
    assert list(thresholds) == pytest.approx([0.1, 0.01])  # 10 impostors are a hundredth, 1 would be too few
    assert [int((impostors >= value).sum()) for value in thresholds.values()] == [100, 10]


def test_cosines_rounded_over_one_give_no_threshold_over_one() -> None:
    over = np.nextafter(np.float32(1), np.float32(2))  # of equal float32 vectors
    similarities = np.array([over, over, 0.9], np.float32)
    assert thresholds_from(similarities, np.array([False, False, True]), 0.5) == {0.5: 1.0}


exact = partial(ExactMatcher, threshold=-1.0)


def test_identification_of_perfect_and_of_useless_vectors() -> None:
    people = {str(person): list(range(person * 5, person * 5 + 5)) for person in range(6)}
    perfect = np.eye(6, dtype=np.float32).repeat(5, 0)
    scores = score_identification(perfect, np.ones(30, np.bool_), people, matcher=exact, images=3)
    assert scores.rank1 == 1.0
    assert scores.tpir_at_fpir == {0.1: 1.0, 0.01: None}  # 15 strangers cannot show one in a hundred
    assert (scores.known, scores.strangers) == (3 * 2, 3 * 5)
    same = np.tile(np.eye(6, dtype=np.float32)[:1], (30, 1))
    assert score_identification(same, np.ones(30, np.bool_), people, matcher=exact, images=3).tpir_at_fpir[0.1] == 0.0


def test_a_picture_without_a_face_is_a_miss() -> None:
    people = {str(person): list(range(person * 5, person * 5 + 5)) for person in range(6)}
    vectors, seen = np.eye(6, dtype=np.float32).repeat(5, 0), np.ones(30, np.bool_)
    seen[::5] = False  # the first picture of everybody; enrolled are the others
    vectors[~seen] = 0
    scores = score_identification(vectors, seen, people, matcher=exact, images=3)
    assert scores.rank1 == pytest.approx(0.5)  # of the two probes of each person one has no face


def test_identification_is_that_of_the_matcher() -> None:
    rng = np.random.default_rng(0)
    people = {str(person): list(range(person * 8, person * 8 + 8)) for person in range(40)}
    noisy = np.eye(40, dtype=np.float32).repeat(8, 0) + rng.normal(0, 0.35, (320, 40)).astype(np.float32)
    vectors = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    best = score_identification(vectors, np.ones(320, np.bool_), people, matcher=partial(exact, templates=False))
    mean = score_identification(vectors, np.ones(320, np.bool_), people, matcher=exact)
    assert mean.rank1 > best.rank1  # the mean of three noisy vectors is less noisy


def test_a_close_up_is_filled_by_its_face() -> None:
    image = np.arange(200 * 300 * 3, dtype=np.uint32).reshape(200, 300, 3).astype(np.uint8)
    item = labelled([100, 50, 140, 110], [0, 0, 30, 30], [105, 60, 110, 65], [200, 100, 240, 160], ignored=(3,))
    [(middle, pixels), (corner, beside)] = close_ups(item, image, share=0.25, least=20)
    # twice as wide and high as its face
    assert pixels.tolist() == image[20:140, 80:160].tolist()
    assert middle.boxes[0].tolist() == [20, 30, 60, 90]
    assert middle.ignored.tolist() == [False, True, True, True]
    assert beside.tolist() == image[0:45, 0:45].tolist()  # the picture ends at the face
    assert corner.boxes[1].tolist() == [0, 0, 30, 30]
    assert corner.ignored.tolist() == [True, False, True, True]
    with pytest.raises(ContractError, match="share: expected"):
        close_ups(item, image, share=1.0)


def test_the_main_face_is_large_and_central() -> None:
    faces = found((0.9, [0, 0, 30, 30]), (0.8, [80, 80, 130, 130]), (0.7, [95, 95, 105, 105]))
    assert main_face(faces, 200, 200) == 1
    assert main_face(Faces.empty(), 200, 200) is None


def test_the_main_face_is_rather_sure_than_large() -> None:
    large, small = [60.0, 90.0, 180.0, 200.0], [80.0, 20.0, 120.0, 70.0]
    assert main_face(found((0.999, small), (0.71, large)), 200, 200) == 0  # a shirt taken for a face
    assert main_face(found((0.999, small), (0.99, large)), 200, 200) == 1


def test_main_faces_keep_their_rows_around_bad_files(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(1))
    write_image(tmp_path / "b.png", picture())
    (tmp_path / "c.png").touch()
    write_image(tmp_path / "d.png", picture(2))
    from facereg.builtin.alignment import FivePointAligner

    pipeline = Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder())
    faces = embed_main_faces(pipeline, [tmp_path / f"{name}.png" for name in "abcd"])
    assert faces.found.tolist() == [True, False, False, True]
    assert [error.path for error in faces.errors] == [str(tmp_path / "c.png")]
    assert faces.vectors[3] == pytest.approx(pipeline.run([picture(2)])[0].embeddings.vectors[0])


def test_a_larger_gallery_has_the_same_strangers_and_more_mistakes() -> None:
    rng = np.random.default_rng(0)
    people = {str(person): list(range(person * 8, person * 8 + 8)) for person in range(40)}
    noisy = np.eye(40, dtype=np.float32).repeat(8, 0) + rng.normal(0, 0.35, (320, 40)).astype(np.float32)
    vectors = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    few, all_ = (
        score_identification(vectors, np.ones(320, np.bool_), people, matcher=exact, share=share)
        for share in (0.25, 1.0)
    )
    assert [few.enrolled, all_.enrolled] == [5, 20]
    assert [few.known, all_.known] == [25, 100]
    assert few.strangers == all_.strangers == 160
    assert few.rank1 > all_.rank1


def test_groups_are_judged_at_one_threshold() -> None:
    # impostors of A 0.01 to 0.80, of B 0.21 to 1.00; at 10 % over all 160 the 16 highest are accepted
    impostors = np.concatenate([np.arange(1, 81), np.arange(21, 101)]).astype(np.float32) / 100
    values = np.concatenate([impostors, [0.95, 0.5, 0.95, 0.99]]).astype(np.float32)
    same = np.arange(164) >= 160
    names = ["A"] * 80 + ["B"] * 80 + ["A", "A", "B", "B"]
    groups = [(name, name) for name in names]
    groups[0] = ("A", "B")  # in neither
    scores = score_groups(values, same, groups, 0.1)
    assert [(name, own.impostors, own.genuine) for name, own in scores.items()] == [("A", 79, 2), ("B", 80, 2)]
    assert [own.tpr for own in scores.values()] == [0.5, 1.0]
    assert [own.far for own in scores.values()] == [0.0, pytest.approx(0.2)]
    assert scores["B"].curve.shape[1] == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_similarity_that_is_no_number_is_named(bad: float) -> None:
    similarities = np.array([0.9, bad, 0.1, 0.2], np.float32)
    with pytest.raises(ContractError, match=r"similarities: expected finite numbers, got (nan|inf) at 1"):
        score_pairs(similarities, np.array([True, True, False, False]), [0, 1, 0, 1])


def test_two_neighbours_in_float32_are_told_apart() -> None:
    """As 1 and the float32 below it, which the cosines of equal vectors come out as."""
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    similarities = np.array([high, low] * 4, np.float32)
    same = np.array([True, False] * 4)
    assert score_pairs(similarities, same, [0, 0, 0, 0, 1, 1, 1, 1]).accuracy == 1.0
    below = np.nextafter(low, np.float32(0))
    assert score_pairs(np.where(same, low, below), same, [0, 0, 0, 0, 1, 1, 1, 1]).accuracy == 1.0
