"""calibrate and evaluate on small trees of painted people, whose figures are known by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from facereg.errors import FaceregError
from facereg.gallery import Gallery, Source
from facereg.images import write_image
from facereg.testing.pictures import vectors
from tests.calling import Run
from tests.fakes import picture

PICTURES = 4


def paint(path: Path, *people: int) -> None:
    """Write a picture without loss under a .jpg name, as the LFW lists want it; files are told by what they hold."""
    write_image(path.with_suffix(".png"), picture(*people))
    path.with_suffix(".png").rename(path)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of four pictures; the second one of p6 shows nobody."""
    folder = tmp_path_factory.mktemp("tree")
    for person in range(1, 7):
        for number in range(1, PICTURES + 1):
            shown = [] if (person, number) == (6, 2) else [person]
            paint(folder / f"p{person}" / f"p{person}_{number:04d}.jpg", *shown)
    return folder


def pairs(path: Path, head: str, lines: Sequence[str]) -> Path:
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


IMPOSTORS = ["p1 1 p2 1", "p1 1 p3 1", "p1 1 p4 1", "p2 1 p3 1", "p2 1 p4 1"]
GENUINE = ["p1 1 2", "p2 1 2", "p3 1 2", "p4 1 2", "p5 1 2"]
UNSEEN = ["p6 1 2", *GENUINE[1:]]


def test_verification_counts_a_pair_without_a_face_as_refused(
    tree: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    listed = pairs(tmp_path / "pairs.txt", "2 5", [*UNSEEN, *IMPOSTORS, *GENUINE, *IMPOSTORS])
    out = tmp_path / "results" / "verification.json"
    words = [
        "evaluate",
        "verification",
        "--images",
        tree,
        "--pairs",
        listed,
        "--out",
        out,
        "--worst",
        tmp_path / "worst",
    ]
    called = run(*words, "--json", *painted)
    assert called.status == 0
    assert "drew 0 pairs into" in called.err  # the one judged wrongly lacks a face
    figures = called.document
    assert set(figures) >= {"pairs", "missing", "accuracy", "accuracy_std", "tpr_at_far", "threshold"}
    assert (figures["pairs"], figures["missing"]) == (20, 1)
    assert figures["accuracy"] == pytest.approx(0.95)  # folds of 0.9 and 1.0
    assert figures["accuracy_std"] == pytest.approx(0.05)
    # 10 impostor pairs show a rate of 0.1 and no smaller one
    assert figures["tpr_at_far"] == {"0.1": pytest.approx(0.9), "0.01": None, "0.001": None}
    written = json.loads(out.read_text("utf-8"))
    assert written["accuracy"] == figures["accuracy"]
    assert written["command"].startswith("facereg evaluate verification --images")
    assert written["models"] == {"detector": "painted", "aligner": "five-point", "embedder": "painted-colours"}
    assert out.with_suffix(".png").stat().st_size > 1000


def test_one_fold_needs_a_list_to_choose_the_threshold_on(
    tree: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    one = pairs(tmp_path / "one.txt", "5", [*GENUINE, *IMPOSTORS])
    words = ["evaluate", "verification", "--images", tree, "--pairs", one, *painted, "--json"]
    refused = run(*words)
    assert (refused.status, refused.out) == (1, "")
    assert "give a second list" in refused.error
    assert run(*words, "--threshold-pairs", one).document["accuracy"] == 1.0


def test_identification_names_everybody_and_no_stranger(
    tree: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "identification.json"
    words = ["evaluate", "identification", "--images", tree, "--enrolled-images", "3", "--seeds", "2", "--out", out]
    called = run(*words, "--json", *painted)
    assert called.status == 0
    assert set(called.document) >= {"rank1", "tpir_at_fpir"}
    assert called.document["without_face"] == 1
    # three enrolled with one probe left each, and 12 pictures of strangers: they show a rate of 0.1 and no smaller one.
    # the picture of nobody is never among those enrolled: with p6 enrolled it is the probe, and missed
    rank1 = called.document["rank1"]  # of two divisions: none, one or both with p6 enrolled
    assert rank1 in (pytest.approx(1.0), pytest.approx(5 / 6), pytest.approx(2 / 3))
    assert called.document["tpir_at_fpir"] == {"0.1": pytest.approx(rank1), "0.01": None}
    assert out.with_suffix(".png").stat().st_size > 1000


def wider(folder: Path) -> Path:
    path = folder / "list.txt"
    path.write_text("a.jpg\n2\n0 0 111 111\n112 0 111 111\nb.jpg\n2\n0 0 111 111\n60 60 50 50\n", encoding="utf-8")
    return path


def voc(folder: Path) -> Path:
    def boxes(*corners: str) -> str:
        names = ("xmin", "ymin", "xmax", "ymax")
        values = [zip(names, one.split(), strict=True) for one in corners]
        inside = ["".join(f"<{name}>{value}</{name}>" for name, value in one) for one in values]
        return "".join(f"<object><name>face</name><bndbox>{one}</bndbox></object>" for one in inside)

    for name, found in (
        ("a", boxes("1 1 111 111", "113 1 223 111")),  # from 1, both ends included
        ("b", boxes("1 1 111 111", "61 61 110 110")),
    ):
        text = f"<annotation><filename>{name}.jpg</filename>{found}</annotation>"
        (folder / f"{name}.xml").write_text(text, encoding="utf-8")
    return folder


def yolo(folder: Path) -> Path:
    def line(left: float, top: float, side: float, width: float) -> str:
        return f"0 {(left + side / 2) / width} {(top + side / 2) / 112} {side / width} {side / 112}\n"

    (folder / "a.txt").write_text(line(0, 0, 111, 224) + line(112, 0, 111, 224), encoding="utf-8")
    (folder / "b.txt").write_text(line(0, 0, 111, 112) + line(60, 60, 50, 112), encoding="utf-8")
    return folder


@pytest.mark.parametrize("make", [wider, voc, yolo], ids=["wider", "voc", "yolo"])
def test_detection_counts_faces_that_are_missed(make: object, painted: list[str], run: Run, tmp_path: Path) -> None:
    images, labels, out = tmp_path / "images", tmp_path / "labels", tmp_path / "detection.json"
    labels.mkdir()
    paint(images / "a.jpg", 1, 2)
    paint(images / "b.jpg", 3)
    annotations = make(labels)  # type: ignore[operator]
    words = ["--images", images, "--annotations", annotations, "--format", make.__name__]  # type: ignore[attr-defined]
    called = run("evaluate", "detection", *words, "--out", out, "--json", "--detector", "painted")
    assert called.status == 0
    figures = called.document
    assert figures["faces"] == 4  # three squares are found; the small face within one of them is not
    assert figures["precision"] == pytest.approx(1.0)
    assert figures["recall"] == pytest.approx(0.75)
    assert figures["mean_iou"] == pytest.approx(1.0, abs=1e-5)
    assert figures["ap50"] == pytest.approx(0.75)
    assert out.with_suffix(".png").stat().st_size > 1000


def test_detection_on_a_picture_cut_about_each_face(painted: list[str], run: Run, tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    labels.mkdir()
    paint(images / "a.jpg", 1, 2)
    paint(images / "b.jpg", 3)
    words = ["evaluate", "detection", "--images", images, "--annotations", wider(labels), "--detector", "painted"]
    figures = run(*words, "--close-up", "0.4", "--least", "100", "--json").document
    assert (figures["images"], figures["faces"], figures["close_up"]) == (3, 3, 0.4)  # the small one is left out
    called = run(*words, "--close-up", "0.4", "--worst", tmp_path / "worst")
    assert called.status == 2
    assert "expected whole pictures, got --close-up" in called.err


def test_a_calibrated_threshold_is_used_from_then_on(tree: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    listed = pairs(tmp_path / "pairs.txt", "5", [*GENUINE, *IMPOSTORS])
    words = ["calibrate", "--images", tree, "--pairs", listed, *painted, "--json"]
    first, second = tree / "p1" / "p1_0001.jpg", tree / "p1" / "p1_0002.jpg"
    unknown = run("verify", first, second, *painted)
    assert unknown.status == 1
    assert "no threshold is known for 'painted-colours:1'; measure one with 'facereg calibrate'" in unknown.error
    called = run(*words, "--far", "0.2")
    assert called.status == 0
    assert called.document["far"] == 0.2
    assert called.document["tpr"] == 1.0
    assert called.document["space"] == "painted-colours:1"
    assert called.document["file"] == str(tmp_path / "home" / "calibrations.json")
    told = run("verify", first, second, *painted, "--json").document
    assert told == {
        "same": True,
        "similarity": pytest.approx(1.0),
        "threshold": called.document["threshold"],
        "far": 0.2,
    }
    assert called.document["thresholds"] == {"0.2": called.document["threshold"]}  # one impostor pair shows no tenth
    every = run(*words, "--far", "0.2", "--every-pair").document  # of the 10 pictures that the list names
    assert (every["pairs"], every["missing"], every["tpr"]) == (45, 0, 1.0)
    too_fine = run(*words, "--far", "0.1")  # 5 impostor pairs cannot show it
    assert (too_fine.status, too_fine.out) == (1, "")
    assert "expected at least 0.2 with 5 impostor pairs, got 0.1" in too_fine.error


def test_pseudo_labels_are_written(tree: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    out = tmp_path / "labels.jsonl"
    words = ["data", "pseudo-label", tree / "p6", "--out", out, "--root", tree, "--detector", "painted", "--json"]
    assert run(*words).document == {"out": str(out), "images": 4, "faces": 3, "skipped": [], "failed": []}
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["image"] for row in rows] == [f"p6/p6_{number:04d}.jpg" for number in range(1, 5)]
    assert [len(row["boxes"]) for row in rows] == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("head", "lines", "expected"),
    [
        ("ten", [], "pairs.txt, line 1: expected 'N' or 'FOLDS N'"),
        ("1", ["p1 1 2"], "pairs.txt: expected 2 pairs by its first line, got 1"),
        ("1", ["p1 1 2", "p1 one p2 1"], "pairs.txt, line 3: expected 'name i j' or 'name i name j'"),
        ("2 1", ["p1 1 2", "p1 1 p2 99", "p2 1 2", "p3 1 p2 1"], "p2_0099.jpg; check --images"),
    ],
    ids=["head", "count", "line", "picture"],
)
def test_a_bad_list_of_pairs_is_named_with_its_line(
    head: str, lines: list[str], expected: str, tree: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    listed = pairs(tmp_path / "pairs.txt", head, lines)
    called = run("evaluate", "verification", "--images", tree, "--pairs", listed, *painted, "--json")
    assert (called.status, called.out) == (1, "")
    assert expected in called.error


def test_figures_that_cannot_be_written_are_named(tree: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    listed = pairs(tmp_path / "pairs.txt", "2 5", [*GENUINE, *IMPOSTORS, *GENUINE, *IMPOSTORS])
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "file" / "figures.json"
    called = run("evaluate", "verification", "--images", tree, "--pairs", listed, "--out", out, *painted)
    assert called.status == 1
    assert "file: expected a folder to write into, got a file; name another" in called.error


def test_figures_of_groups_stand_beside_those_of_all(tree: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    listed = pairs(tmp_path / "pairs.txt", "2 50", [*GENUINE * 10, *IMPOSTORS * 10] * 2)
    groups, out = tmp_path / "groups.csv", tmp_path / "v.json"
    groups.write_text("p1,left\np2,left\n\np3,right\np4, right\n")
    words = ["evaluate", "verification", "--images", tree, "--pairs", listed, "--groups", groups, *painted]
    figures = run(*words, "--out", out, "--json").document
    assert figures["genuine_of_groups"] == {"left": 40, "right": 40}
    assert figures["impostors_of_groups"] == {"left": 20, "right": 0}
    assert figures["far_of_groups"] == {"left": 0.0, "right": None}
    assert figures["tpr_of_groups"] == {"left": 1.0, "right": 1.0}
    assert "far_of_groups right: too few" in run(*words).out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p1,a\nMallory,b\n", "1 of 2 people are not in the list of pairs, such as 'Mallory'; write names as the list"),
        ("p1\n", "line 1: expected 'NAME,GROUP', got 'p1'"),
        ("p1,a\np1,b\n", "line 2: 'p1' is in 'a' already"),
        ("\n", "expected 'NAME,GROUP' a line, got none"),
    ],
    ids=["a stranger", "no group", "two groups", "nothing"],
)
def test_groups_that_do_not_read_are_one_line(
    text: str, words: str, tree: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    listed = pairs(tmp_path / "pairs.txt", "2 5", [*GENUINE, *IMPOSTORS] * 2)
    (tmp_path / "groups.csv").write_text(text)
    command = ["evaluate", "verification", "--images", tree, "--pairs", listed, "--groups", tmp_path / "groups.csv"]
    called = run(*command, *painted)
    assert (called.status, called.out) == (1, "")
    assert words in called.error


def test_a_gallery_is_calibrated_on_itself_and_the_threshold_is_kept(run: Run, tmp_path: Path) -> None:
    space, path = "painted-colours:1", tmp_path / "g"
    with Gallery.open(path, space=space, create=True) as gallery:
        for number in range(12):
            own = [Source(f"{number}{n}.jpg", f"{10 * number + n:064x}") for n in range(3)]
            gallery.enroll(f"P{number}", vectors(3, 16, space, seed=number), own)
    called = run("calibrate", "--gallery", path, "--far", "0.05", "--json").document
    assert (called["pairs"], called["people"], called["space"]) == (36 * 35 // 2, 12, space)
    low, value, high = (float(str(called[name])) for name in ("threshold_low", "threshold", "threshold_high"))
    assert low <= value <= high
    said = run("calibrate", "--gallery", path, "--far", "0.05")
    assert "in 95 % of draws of the people): false accept rate 0.05, true positive rate" in said.out
    with Gallery.open(path) as gallery:
        for number in range(3):
            gallery.remove(f"P{number}")
    few = run("calibrate", "--gallery", path, "--far", "0.05")
    assert few.status == 1
    assert "expected at least 10 in the gallery to calibrate on, got 9" in few.error


@pytest.mark.parametrize("given", [[], ["--images", "x"], ["--gallery", "g", "--every-pair"]], ids=" ".join)
def test_calibrate_takes_pairs_or_a_gallery(given: list[str], run: Run) -> None:
    assert run("calibrate", "--far", "0.1", *given).status == 2


@pytest.fixture
def unreadable(tree: Path, tmp_path: Path) -> Path:
    """Two people whose pictures are none: whoever opened them would say so."""
    for name in ("p1", "p2"):
        for number in (1, 2, 3):
            path = tmp_path / "images" / name / f"{name}_{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"no picture")
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evaluate", "verification", "--pairs", "genuine.txt"], "expected genuine and impostor pairs, got one kind"),
        (["evaluate", "verification", "--pairs", "one.txt"], "one fold needs a threshold chosen on other pairs"),
        (
            ["evaluate", "verification", "--pairs", "one.txt", "--threshold-pairs", "genuine.txt"],
            "expected genuine and impostor pairs, got one kind only",
        ),
        (["calibrate", "--pairs", "one.txt", "--far", "1"], "far: expected a rate between 0 and 1, got 1.0"),
        (["calibrate", "--pairs", "one.txt", "--far", "0.1"], "far: expected at least 0.5 with 2 impostor pairs, got"),
        (["calibrate", "--pairs", "one.txt", "--far", "0.1", "--every-pair"], "at least 0.17 with 6 impostor pairs"),
        (["evaluate", "identification"], "people: expected at least 2 with more than 3 pictures each, got 0; add"),
        (["evaluate", "detection", "--annotations", "boxes.txt"], "expected at least one face that counts, got none"),
    ],
)
def test_what_cannot_be_measured_is_told_before_a_picture_is_opened(
    words: list[str], expected: str, unreadable: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    genuine, impostors = ["p1 1 2", "p2 2 3"], ["p1 1 p2 1", "p1 2 p2 3"]
    pairs(tmp_path / "one.txt", "2", [*genuine, *impostors])
    pairs(tmp_path / "genuine.txt", "1", ["p1 1 2", "p2 1 2"])
    (tmp_path / "boxes.txt").write_text("p1/p1_0001.jpg\n0\n")
    places = [str(tmp_path / word) if ".txt" in word else word for word in words]
    called = run(*places, "--images", unreadable, *painted)
    assert (called.status, called.out) == (1, "")
    assert expected in called.error


def test_figures_that_cannot_be_written_are_printed_with_the_sum(
    tree: Path, painted: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **words: object) -> None:
        raise FaceregError("report.json: cannot be written (No space left on device); make space")

    monkeypatch.setattr("facereg.evaluation.reports.write_report", full)
    listed = pairs(tmp_path / "pairs.txt", "2 5", [*UNSEEN, *IMPOSTORS, *GENUINE, *IMPOSTORS])
    words = ["--images", tree, "--pairs", listed, "--out", tmp_path / "report.json", "--json"]
    called = run("evaluate", "verification", *words, *painted)
    assert called.status == 1
    assert called.document["accuracy"] == pytest.approx(19 / 20)
    assert "12 entries: 12 done, 0 skipped, 0 failed" in called.err
    assert called.err.splitlines()[-1].endswith("report.json: cannot be written (No space left on device); make space")
