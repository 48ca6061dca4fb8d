"""The values: what they accept, what they refuse, that nobody can change them."""

from __future__ import annotations

import numpy as np
import pytest

from facereg.errors import ContractError, SpaceMismatchError
from facereg.types import Crops, Embeddings, Faces, Matches, check_image


def faces(count: int) -> Faces:
    boxes = np.tile(np.array([[1.0, 2.0, 11.0, 22.0]], np.float32), (count, 1))
    return Faces(boxes, np.linspace(0.9, 0.5, count, dtype=np.float32), np.zeros((count, 5, 2), np.float32))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), "(4, 4)"),
        (np.zeros((4, 4, 4), np.uint8), "(4, 4, 4)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        ("photo.jpg", "str"),
        (np.full((2, 2, 3), np.nan), "float64"),
    ],
    ids=["float", "grey", "alpha", "empty", "path", "nan"],
)
def test_what_is_no_image_is_refused_by_name(value: object, word: str) -> None:
    with pytest.raises(ContractError, match="photo") as caught:
        check_image(value, name="photo")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        ([[5, 5, 1, 9]], [0.5], "inverted"),
        ([[0, 0, 1, 1], [0, 0, 1, 1]], [0.1, 0.9], "descending"),
        ([[0, 0, np.nan, 1]], [0.5], "finite"),
        ([[0, 0, 1, 1]], [0.5, 0.4], "shape"),
    ],
    ids=["inverted", "ascending", "nan", "lengths"],
)
def test_faces_that_break_the_contract_are_refused(boxes: list[list[float]], scores: list[float], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Faces(np.array(boxes, np.float32), np.array(scores, np.float32))


def test_values_are_read_only_and_do_not_alias_what_they_were_made_from() -> None:
    boxes = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
    value = Faces(boxes, np.array([0.5], np.float32))
    boxes[0, 0] = -9.0
    assert value.boxes[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        value.boxes[0, 0] = 1.0


def test_no_faces_is_an_empty_value() -> None:
    empty = Faces.empty(landmarks=5)
    assert len(empty) == 0
    assert empty.landmarks.shape == (0, 5, 2)
    assert list(empty) == []


def test_rows_keep_their_order_and_landmarks() -> None:
    chosen = faces(4)[np.array([1, 3])]
    assert len(chosen) == 2
    assert chosen.scores[0] > chosen.scores[1]
    assert [face.landmarks.shape for face in chosen] == [(5, 2), (5, 2)]


def test_counts_of_crops_must_sum_to_their_number() -> None:
    with pytest.raises(ContractError, match="sum to 2"):
        Crops(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 2, 3), np.float32), (1,))


def test_vectors_must_have_unit_length() -> None:
    with pytest.raises(ContractError, match="length"):
        Embeddings(np.array([[3.0, 4.0]], np.float32), "a")
    assert len(Embeddings(np.array([[0.6, 0.8]], np.float32), "a")) == 1


def test_two_spaces_do_not_meet() -> None:
    with pytest.raises(SpaceMismatchError, match="'a'.*'b'"):
        Embeddings(np.array([[0.6, 0.8]], np.float32), "a").require_space("b")


def test_a_match_below_the_threshold_has_no_label_but_keeps_its_candidates() -> None:
    matches = Matches([("ada", "bob")], np.array([[0.4, 0.1]], np.float32), np.array([False]), 0.5)
    [match] = matches
    assert match.label is None
    assert [name for name, _ in match.candidates] == ["ada", "bob"]
