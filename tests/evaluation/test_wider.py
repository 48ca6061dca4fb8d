"""WIDER FACE's protocol against an example worked out by hand, in the layout of the published files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.data.wider import predictions_of, read_wider_predictions, read_wider_truth, write_wider_predictions
from facereg.errors import ContractError, DatasetError
from facereg.evaluation.wider import figures, score_wider
from facereg.types import Faces
from tests.data.layouts import write_wider_truth

EVENTS: dict[str, dict[str, list[list[float]]]] = {
    "0--Parade": {"a": [[0, 0, 9, 9], [50, 0, 9, 9], [100, 0, 9, 9]], "b": [[0, 0, 19, 19]]},
    "1--Handshaking": {"c": []},
}
ALL = {"a": [1, 2, 3], "b": [1]}
KEPT = {"easy": {"a": [1, 2], "b": [1]}, "medium": ALL, "hard": ALL}
# Stretched, the scores are 1, 0.8, 0.6, 0.4 and 0. Unstretched, all would lie between two thresholds.
PREDICTIONS = {
    "0--Parade/a": [
        (100, 0, 9, 9, 0.5002),  # the third face: ignored among the easy
        (50, 0, 9, 4, 0.5003),  # 10 x 5 of 10 x 10 pixels of the second: IoU 0.5, by x2 - x1 alone 0.44
        (0, 0, 9, 9, 0.5005),  # the first
        (1, 0, 9, 9, 0.5004),  # the first again: a false alarm
    ],
    "0--Parade/b": [(100, 100, 9, 9, 0.5)],  # a false alarm; the face is missed
    "1--Handshaking/c": [(5, 5, 9, 9, 0.5001)],  # no labelled face: goes unseen
}


@pytest.fixture
def truth_folder(tmp_path: Path) -> Path:
    return write_wider_truth(tmp_path / "ground_truth", EVENTS, KEPT)


@pytest.fixture
def predictions_folder(tmp_path: Path) -> Path:
    for name, rows in PREDICTIONS.items():
        path = tmp_path / "predictions" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [path.stem, str(len(rows)), *(" ".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return tmp_path / "predictions"


def test_published_files_give_the_figures_worked_out_by_hand(truth_folder: Path, predictions_folder: Path) -> None:
    truth = read_wider_truth(truth_folder)
    scores = score_wider(truth, read_wider_predictions(predictions_folder, truth.names))
    # easy, three faces: hit, false, hit, (ignored), false; precision 1 at recall 1/3, 2/3 at recall 2/3
    # medium and hard, four: hit, false, hit, hit, false; precision 1 at 1/4, then 2/3 raised to 3/4, 3/4 at 3/4
    assert figures(scores) == {
        "easy": pytest.approx(1 / 3 + 1 / 3 * 2 / 3),
        "medium": pytest.approx(1 / 4 + 2 / 4 * 3 / 4),
        "hard": pytest.approx(1 / 4 + 2 / 4 * 3 / 4),
        "faces_easy": 3,
        "faces_medium": 4,
        "faces_hard": 4,
    }
    assert scores["hard"].curve[-1].tolist() == pytest.approx([3 / 4, 3 / 5, 0.0])
    assert scores["hard"].curve[0].tolist() == pytest.approx([1 / 4, 1.0, 0.999])


def test_names_and_boxes_come_out_of_the_cells(truth_folder: Path) -> None:
    truth = read_wider_truth(truth_folder)
    assert truth.names == ("0--Parade/a", "0--Parade/b", "1--Handshaking/c")
    assert truth.boxes[1].tolist() == [[0, 0, 19, 19]]
    assert truth.boxes[2].shape == (0, 4)
    assert truth.kept["easy"][0].tolist() == [0, 1]  # from 0; the files count from 1


def test_nothing_found_scores_zero(truth_folder: Path) -> None:
    truth = read_wider_truth(truth_folder)
    scores = score_wider(truth, [np.empty((0, 5))] * 3)
    assert [own.ap for own in scores.values()] == [0.0, 0.0, 0.0]


def test_equal_scores_all_count_as_one(truth_folder: Path) -> None:
    truth = read_wider_truth(truth_folder)
    perfect = [np.concatenate([boxes, np.full((len(boxes), 1), 0.7)], 1).astype(np.float64) for boxes in truth.boxes]
    assert [own.ap for own in score_wider(truth, perfect).values()] == [1.0, 1.0, 1.0]


def test_written_predictions_are_read_again(tmp_path: Path) -> None:
    faces = Faces([[1, 2, 11, 22], [0, 0, 5, 5]], [0.9, 0.25])  # type: ignore[arg-type]
    write_wider_predictions(tmp_path, ["e/a", "e/b"], [faces, Faces.empty()])
    first, second = read_wider_predictions(tmp_path, ["e/a", "e/b"])
    assert first == pytest.approx(np.array([[1, 2, 10, 20, 0.9], [0, 0, 5, 5, 0.25]]))
    assert first == pytest.approx(predictions_of(faces))
    assert second.shape == (0, 5)


def test_a_missing_file_of_predictions_is_an_error(truth_folder: Path, predictions_folder: Path) -> None:
    (predictions_folder / "0--Parade" / "b.txt").unlink()
    with pytest.raises(DatasetError, match="1 of the files"):
        read_wider_predictions(predictions_folder, read_wider_truth(truth_folder).names)


@pytest.mark.parametrize("text", ["a\n2\n1 2 3 4 0.5\n", "a\n1\n1 2 3 4\n", "a\n1\n1 2 3 4 x\n", "a\n"])
def test_a_wrong_file_of_predictions_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"a\.txt: expected"):
        read_wider_predictions(tmp_path, ["a"])


def test_a_kept_row_that_is_no_face_is_refused(tmp_path: Path) -> None:
    folder = write_wider_truth(tmp_path, EVENTS, KEPT | {"hard": {"a": [4]}})
    with pytest.raises(DatasetError, match="faces 1 to 3 of 0--Parade/a"):
        read_wider_truth(folder)


def test_a_subset_without_faces_and_too_few_predictions_are_errors(tmp_path: Path) -> None:
    truth = read_wider_truth(write_wider_truth(tmp_path, EVENTS, KEPT | {"easy": {}}))
    with pytest.raises(ContractError, match="counts in easy"):
        score_wider(truth, [np.empty((0, 5))] * 3)
    with pytest.raises(ContractError, match="expected 3"):
        score_wider(truth, [])


def test_a_file_that_is_no_mat_is_named(tmp_path: Path) -> None:
    (tmp_path / "wider_face_val.mat").write_bytes(b"no such thing" * 20)
    with pytest.raises(DatasetError, match=r"wider_face_val\.mat"):
        read_wider_truth(tmp_path)
