"""Templates: pooling by hand, and IJB's lists over small trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facereg.data.templates import read_templates
from facereg.errors import ContractError, DatasetError
from facereg.evaluation.templates import pool_vectors
from facereg.evaluation.verification import tpr_at
from facereg.images import write_image
from tests.calling import Run
from tests.fakes import picture

AXES = np.eye(3, dtype=np.float32)


def test_the_frames_of_a_video_are_one_mean_before_they_join_the_photographs() -> None:
    # template 7: a photograph along x and three frames of one video, two along y and one along z
    vectors = AXES[[0, 1, 1, 2]]
    numbers, pooled = pool_vectors(vectors, np.array([7, 7, 7, 7]), np.array([1, 5, 5, 5]))
    expected = np.array([1, 2 / 3, 1 / 3])
    assert numbers.tolist() == [7]
    assert pooled[0] == pytest.approx(expected / np.linalg.norm(expected))
    _, each_its_own = pool_vectors(vectors, np.array([7, 7, 7, 7]))
    assert each_its_own[0] == pytest.approx(np.array([1, 2, 1]) / 6**0.5)


def test_templates_are_told_apart_in_any_order_and_weights_count() -> None:
    numbers, pooled = pool_vectors(
        AXES[[2, 0, 1]], np.array([9, 4, 4]), np.array([1, 1, 2]), weights=np.array([1.0, 0.6, 0.8], np.float32)
    )
    assert numbers.tolist() == [4, 9]
    assert pooled == pytest.approx(np.array([[0.6, 0.8, 0], [0, 0, 1]]))


def test_pooling_refuses_what_gives_no_vector() -> None:
    with pytest.raises(ContractError, match="template 3: expected vectors that do not cancel"):
        pool_vectors(np.array([[1, 0], [-1, 0]], np.float32), np.array([3, 3]))
    with pytest.raises(ContractError, match="equal lengths"):
        pool_vectors(AXES, np.array([1, 2]))


def test_a_rate_of_a_millionth_is_not_doubled_by_rounding() -> None:
    curve = np.array([[0, 0.2, 1], [1e-6, 0.5, 0.9], [1.5e-6, 0.7, 0.8], [1, 1, 0]], np.float32)
    assert tpr_at(curve, 1e-6, 10**7) == pytest.approx(0.5)


@pytest.fixture
def lists(tmp_path: Path) -> dict[str, Path]:
    """Templates of four people, two pictures each; the second of person 2 shows nobody, those of person 4 neither."""
    for person in range(1, 5):
        for number in (1, 2):
            shown = [] if person == 4 or (person, number) == (2, 2) else [person]
            write_image(tmp_path / "images" / f"{person}_{number}.png", picture(*shown))
    rows = [
        f"{person}_{number}.png {template} {number}"
        for template, person in ((1, 1), (2, 2), (3, 3), (4, 4))
        for number in (1, 2)
    ]
    rows += ["1_1.png 11 1", "2_1.png 12 1"]  # a picture may be in several templates
    pairs = ["1 11 1", "2 12 1", "3 4 0", "1 2 0", "1 3 0", *["2 3 0"] * 7]
    points = [f"{person}_{number}.png 38 52 74 52 56 72 42 92 71 92 0.9" for person in range(1, 5) for number in (1, 2)]
    for name, lines in (("templates", rows), ("pairs", pairs), ("points", points)):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n", "ascii")
    return {name: tmp_path / f"{name}.txt" for name in ("templates", "pairs", "points")} | {
        "images": tmp_path / "images"
    }


def test_templates_without_a_face_are_counted_and_refused(lists: dict[str, Path], painted: list[str], run: Run) -> None:
    words = [word for name in ("templates", "pairs", "images") for word in (f"--{name}", lists[name])]
    figures = run("evaluate", "templates", *words, *painted, "--json").document
    assert {name: figures[name] for name in ("pairs", "templates", "images", "missing", "without_face")} == {
        **{"pairs": 12, "templates": 6, "images": 8, "missing": 1, "without_face": 3}
    }
    rates = figures["tpr_at_far"]
    assert rates == {"1e-06": None, "1e-05": None, "0.0001": None, "0.001": None, "0.01": None, "0.1": 1.0}


def test_points_of_a_list_take_the_place_of_a_detector(lists: dict[str, Path], painted: list[str], run: Run) -> None:
    words = [word for name, path in lists.items() for word in (f"--{name}", path)]
    called = run("evaluate", "templates", *words, *painted, "--flip", "none", "--weighted", "--json")
    # the embedder gives black crops no vector: each is a failed picture, and the others of its batch are done
    assert (called.status, called.document["without_face"], called.document["missing"]) == (1, 3, 1)
    assert [Path(one["image"]).stem for one in called.document["failed"]] == ["2_2", "4_1", "4_2"]  # type: ignore[attr-defined]


def test_lists_saved_on_windows_are_read(lists: dict[str, Path]) -> None:
    expected = read_templates(lists["templates"], lists["pairs"], lists["images"], lists["points"])
    for name in ("templates", "pairs", "points"):
        text = lists[name].read_text("ascii").replace("\n", "\n\n")
        lists[name].write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    got = read_templates(lists["templates"], lists["pairs"], lists["images"], lists["points"])
    assert got.paths == expected.paths
    assert (got.first == expected.first).all()
    assert (got.same == expected.same).all()
    assert got.faces is not None


def test_a_face_of_no_weight_is_none_and_the_others_go_on(lists: dict[str, Path], painted: list[str], run: Run) -> None:
    """A list's score of 0 says that there is no face: its template is refused, in place of all of them."""
    rows = [line.split() for line in lists["points"].read_text("ascii").splitlines()]
    unsure = [[*row[:-1], "0"] if row[0].startswith("3_") else row for row in rows]
    lists["points"].write_text("\n".join(map(" ".join, unsure)), "ascii")
    words = [word for name, path in lists.items() for word in (f"--{name}", path)]
    called = run("evaluate", "templates", *words, *painted, "--flip", "none", "--weighted", "--json")
    assert (called.document["templates"], called.document["missing"]) == (6, 2)  # that of person 4 has no face


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("templates", "1_1.png 1", "templates.txt, line 1: expected 'NAME TEMPLATE MEDIA'"),
        ("templates", "../1.png 1 1", "line 1: '../1.png': expected a name without"),
        ("templates", "", "expected 'NAME TEMPLATE MEDIA' a line, got none"),
        ("pairs", "1 2", "pairs.txt: expected 'TEMPLATE TEMPLATE 1' or '0' a line"),
        ("pairs", "1 2 3", "got other columns or labels"),
        ("pairs", "1 b 1", "pairs.txt: expected 'TEMPLATE TEMPLATE 1' or '0' a line"),
        ("pairs", "1 99 1", "pairs.txt: 1 templates have no picture in templates.txt, as 99"),
        ("points", "1_1.png 1 2 3", "points.txt, line 1: expected 'NAME', five x y and a score"),
        ("points", "1_1.png 1 2 3 4 5 6 7 8 9 10 1", "points.txt: 7 pictures have no points there"),
    ],
)
def test_bad_lists_are_named(name: str, text: str, expected: str, lists: dict[str, Path]) -> None:
    lists[name].write_text(text + "\n", "ascii")
    with pytest.raises(DatasetError, match=expected):
        read_templates(lists["templates"], lists["pairs"], lists["images"], lists["points"])
