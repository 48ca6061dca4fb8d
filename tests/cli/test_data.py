"""data convert, check, sheet, fetch; evaluate wider, landmarks and what detection draws, on sets made here."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facereg.evaluation.enlarging import EnlargingDetector
from facereg.geometry import TEMPLATE_112
from facereg.images import read_image, write_image
from facereg.roles import Detector
from facereg.types import Faces, Image
from tests.calling import Run
from tests.data.layouts import pictures, write_wider_truth
from tests.fakes import picture

LIST = "a.jpg\n1\n10 20 30 40 0 0 0 0 0 0\n0--Parade/b.jpg\n2\n0 0 20 20 0 0 0 0 0 0\n50 50 10 10 0 0 0 1 0 0\n"


@pytest.fixture
def crowds(tmp_path: Path) -> Path:
    pictures(tmp_path / "images", "a.jpg", "0--Parade/b.jpg")
    (tmp_path / "list.txt").write_text(LIST)
    return tmp_path


def words_for(folder: Path, listed: str = "list.txt") -> list[object]:
    return ["--images", folder / "images", "--annotations", folder / listed]


def test_convert_there_and_back_gives_the_same_list(crowds: Path, run: Run) -> None:
    there = run(
        "data", "convert", "--from", "wider", "--to", "voc", *words_for(crowds), "--out", crowds / "xml", "--json"
    )
    assert there.status == 0
    assert there.document == {
        "out": str(crowds / "xml"),
        "images": 2,
        "faces": 3,
        "left_out": 0,
        "skipped": [],
        "failed": [],
    }
    words = ["--from", "voc", "--to", "wider", *words_for(crowds, "xml"), "--out", crowds / "back.txt"]
    back = run("data", "convert", *words)
    assert (back.status, back.out) == (0, f"{crowds / 'back.txt'}: 3 faces in 2 pictures\n")
    assert sorted((crowds / "back.txt").read_text().split()) == sorted(LIST.split())


def test_convert_says_how_many_faces_were_left_out(crowds: Path, run: Run) -> None:
    words = ["--from", "wider", "--to", "yolo", *words_for(crowds), "--out", crowds / "labels"]
    called = run("data", "convert", *words)
    assert called.err.splitlines() == [
        "facereg: left out 1 face, which the layout yolo cannot hold",
        "facereg: 2 entries: 2 done, 0 skipped, 0 failed",
    ]
    assert (crowds / "labels" / "a.txt").read_text() == "0 0.125000 0.400000 0.150000 0.400000\n"


def test_check_of_a_sound_set_ends_with_0(crowds: Path, run: Run) -> None:
    called = run("data", "check", *words_for(crowds), "--json")
    assert (called.status, called.out) == (0, "")
    assert called.error == "facereg: 2 pictures, 3 faces: nothing wrong"


def test_check_names_each_problem_on_a_line_and_ends_with_1(crowds: Path, run: Run) -> None:
    more = "a.jpg\n1\n190 20 30 40 0 0 0 0 0 0\ngone.jpg\n1\n1 1 0 5 0 0 0 0 0 0\n"
    (crowds / "list.txt").write_text(LIST + more)
    called = run("data", "check", *words_for(crowds), "--json")
    assert called.status == 1
    assert [(Path(str(line["image"])).name, line["problem"]) for line in called.lines] == [
        ("a.jpg", "listed-twice"),
        ("gone.jpg", "empty"),
        ("gone.jpg", "missing"),
    ]
    plain = run("data", "check", *words_for(crowds))
    assert plain.out.splitlines()[0].startswith(f"{crowds / 'images' / 'a.jpg'}: listed-twice: expected one entry")


def test_sheet_draws_the_pictures_asked_for(crowds: Path, run: Run) -> None:
    out = crowds / "sheets" / "sheet.png"
    called = run("data", "sheet", *words_for(crowds), "--out", out, "--side", 50, "--columns", 1, "--json")
    assert called.document == {"out": str(out), "images": 2, "skipped": [], "failed": []}
    assert read_image(out).shape == (2 * 54 + 4, 54 + 4, 3)
    assert run("data", "sheet", *words_for(crowds), "--out", out, "--count", 1, "--json").document["images"] == 1


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        archive.writestr("images/a.txt", "A")

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/faces.zip"
        server.shutdown()
        thread.join()


def test_fetch_checks_places_and_unpacks(address: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "got").mkdir()
    digest = hashlib.sha256((tmp_path / "served" / "faces.zip").read_bytes()).hexdigest()
    words = [address, "--sha256", digest, "--out", tmp_path / "got", "--unpack", tmp_path / "set", "--json"]
    called = run("data", "fetch", *words)
    assert called.status == 0
    assert called.document["file"] == str(tmp_path / "got" / "faces.zip")
    assert (called.document["sha256"], called.document["files"]) == (digest, 1)
    assert (tmp_path / "set" / "images" / "a.txt").read_text() == "A"


def test_fetch_finds_a_name_in_the_table_of_this_home(address: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "home").mkdir()
    digest = hashlib.sha256((tmp_path / "served" / "faces.zip").read_bytes()).hexdigest()
    table = f'[faces]\naddress = "{address}"\nsha256 = "{digest}"\nunpack = true\n'
    (tmp_path / "home" / "sources.toml").write_text(table)
    assert run("data", "fetch", "faces", "--out", tmp_path / "f.zip").status == 0
    assert (tmp_path / "f" / "images" / "a.txt").read_text() == "A"
    called = run("data", "fetch", "voices", "--out", tmp_path / "v.zip")
    assert called.status == 1
    assert "no source named 'voices'; it holds faces" in called.error


def test_fetch_with_a_wrong_sum_leaves_nothing(address: str, tmp_path: Path, run: Run) -> None:
    called = run("data", "fetch", address, "--sha256", "0" * 64, "--out", tmp_path / "f.zip")
    assert called.status == 1
    assert f"expected {'0' * 64} but got" in called.error
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def painted_tree(folder: Path, *names: str) -> Path:
    """Write pictures of two people side by side; the painted detector finds each square of 112 px."""
    for name in names:
        write_image(folder / f"{name}.png", picture(1, 2))
        (folder / f"{name}.png").rename(folder / f"{name}.jpg")  # without loss; files are told by what they hold
    return folder


def test_wider_is_judged_from_pictures_and_again_from_what_was_saved(
    painted: Sequence[str], tmp_path: Path, run: Run
) -> None:
    images = painted_tree(tmp_path / "images", "0--Parade/a", "1--Riot/b")
    # squares of 111 px by x2 - x1; the third face is not there to be found
    faces = {"a": [[0, 0, 111, 111], [112, 0, 111, 111]], "b": [[0, 0, 111, 111], [0, 500, 50, 50]]}
    events = {"0--Parade": {"a": faces["a"]}, "1--Riot": {"b": faces["b"]}}
    kept = {"easy": {"a": [1, 2], "b": [1]}, "medium": {"a": [1], "b": [1, 2]}, "hard": {"a": [1, 2], "b": [1, 2]}}
    truth = write_wider_truth(tmp_path / "truth", events, kept)
    words = ["evaluate", "wider", "--ground-truth", truth, "--json", *painted]
    out = tmp_path / "results" / "wider.json"
    seen = run(*words, "--images", images, "--save", tmp_path / "predictions", "--out", out)
    assert seen.status == 0
    # each picture gives a hit at 1 and, at 0, the second square: a hit in a (ignored in medium), a false alarm in b
    # easy: 2/3 at precision 1, the last third at 3/4; medium: 2 of 3 at 1; hard: 2/4 at 1, then 3/4 at 3/4
    assert seen.document == {
        "images": 2,
        "easy": pytest.approx(2 / 3 + 1 / 3 * 3 / 4),
        "medium": pytest.approx(2 / 3),
        "hard": pytest.approx(2 / 4 + 1 / 4 * 3 / 4),
        "faces_easy": 3,
        "faces_medium": 3,
        "faces_hard": 4,
        "missing": 0,
        "skipped": [],
        "failed": [],
    }
    assert json.loads(out.read_text())["models"] == {"detector": "painted"}
    assert out.with_suffix(".png").stat().st_size > 1000
    assert run(*words, "--predictions", tmp_path / "predictions").document == seen.document


@pytest.mark.parametrize("given", [[], ["--images", "x", "--predictions", "y"], ["--predictions", "x", "--save", "y"]])
def test_wider_takes_pictures_or_predictions(given: list[str], run: Run) -> None:
    assert run("evaluate", "wider", "--ground-truth", "x", *given).status == 2


def test_landmarks_are_measured_between_the_eyes(painted: Sequence[str], tmp_path: Path, run: Run) -> None:
    images = painted_tree(tmp_path / "images", "a", "b")
    write_image(images / "c.png", picture())  # nobody
    eyes = float(np.linalg.norm(TEMPLATE_112[0] - TEMPLATE_112[1]))
    lines = []
    for name, share in (("a.jpg", 0.0), ("b.jpg", 0.2), ("c.png", 0.0)):
        points = TEMPLATE_112 + np.array([0, share * eyes], np.float32)
        lines.append(" ".join([name, *(f"{value:.4f}" for value in points.reshape(-1))]))
    (tmp_path / "list.txt").write_text("\n".join(lines))
    out = tmp_path / "results" / "landmarks.json"
    words = [*words_for(tmp_path), "--format", "5pt", "--out", out, "--json", *painted]
    figures = run("evaluate", "landmarks", *words).document
    assert (figures["images"], figures["missed"], figures["normaliser"]) == (3, 1, "inter-ocular")
    assert figures["nme"] == pytest.approx(10.0, abs=0.01)  # 0 % and 20 %
    assert figures["fr10"] == pytest.approx(2 / 3)  # 20 %, and not found
    assert figures["auc10"] == pytest.approx(1 / 3, abs=1e-3)
    assert out.with_suffix(".png").stat().st_size > 1000


def test_landmarks_of_pictures_are_given_and_drawn(painted: Sequence[str], tmp_path: Path, run: Run) -> None:
    images = tmp_path / "images"
    write_image(images / "a.png", picture(1, 2))
    write_image(images / "b.png", picture())
    (images / "c.png").write_bytes(b"no picture")
    called = run("landmarks", images, "--draw", tmp_path / "drawn", "--json", *painted[:2])
    assert called.status == 1  # c.png
    lines = {Path(str(line["image"])).stem: line for line in called.lines}
    assert set(lines["c"]) == {"image", "faces", "error"}
    assert lines["b"]["faces"] == []
    faces = lines["a"]["faces"]
    assert isinstance(faces, list)
    first, second = faces
    assert set(first) == {"box", "score", "points"}
    assert np.array(first["points"]) == pytest.approx(TEMPLATE_112, abs=1e-3)
    assert np.array(second["points"]) == pytest.approx(TEMPLATE_112 + np.array([112, 0]), abs=1e-3)
    drawn = read_image(tmp_path / "drawn" / "a.png")
    x, y = TEMPLATE_112[2].round().astype(int)
    assert drawn[y, x].tolist() == [255, 221, 0]
    shown = run("landmarks", images / "a.png", *painted[:2]).out.splitlines()
    assert [line.split()[-2:] for line in shown] == [["2", "faces"], ["5", "points"], ["5", "points"]]


def test_faces_are_drawn_close_up_on_one_sheet(painted: Sequence[str], tmp_path: Path, run: Run) -> None:
    images = tmp_path / "images"
    write_image(images / "a.png", picture(1, 2))
    write_image(images / "b.png", picture(*range(3, 8)))
    called = run("landmarks", images, "--sheet", tmp_path / "sheet.png", *painted[:2])
    assert called.status == 0
    assert "drew 7 faces on" in called.err
    height, width = read_image(tmp_path / "sheet.png").shape[:2]
    assert (height, width) == (2 * 244 + 4, 6 * 244 + 4)  # six in a row
    refused = run("landmarks", images, "--sheet", images / "a.png", *painted[:2])
    assert (refused.status, "would replace" in refused.err) == (2, True)


def test_the_worst_faces_are_drawn_by_the_command(painted: Sequence[str], tmp_path: Path, run: Run) -> None:
    painted_tree(tmp_path / "images", "a")
    (tmp_path / "list.txt").write_text(" ".join(["a.jpg", *(str(value + 3) for value in TEMPLATE_112.reshape(-1))]))
    words = [*words_for(tmp_path), "--format", "5pt", "--worst", tmp_path / "worst", *painted[:2]]
    assert run("evaluate", "landmarks", *words).status == 0
    assert [path.name for path in (tmp_path / "worst").iterdir()] == ["01-a.jpg"]


class WholePicture(Detector):
    """Finds one face, from corner to corner, its points on the four corners and in the middle."""

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = []
        for image in images:
            right, bottom = image.shape[1] - 0.5, image.shape[0] - 0.5
            corners = [
                [-0.5, -0.5],
                [right, -0.5],
                [(right - 0.5) / 2, (bottom - 0.5) / 2],
                [-0.5, bottom],
                [right, bottom],
            ]
            box = np.array([[-0.5, -0.5, right, bottom]], np.float32)
            found.append(Faces(box, np.ones(1, np.float32), np.array([corners], np.float32)))
        return found


@pytest.mark.parametrize("factor", [1.0, 2.5, 0.5])
def test_what_is_found_on_an_enlarged_picture_lies_where_it_did(factor: float) -> None:
    [faces] = EnlargingDetector(WholePicture(), factor).detect([np.zeros((60, 80, 3), np.uint8)])
    assert faces.boxes[0] == pytest.approx([-0.5, -0.5, 79.5, 59.5], abs=1e-4)
    assert faces.landmarks[0, 2] == pytest.approx([39.5, 29.5], abs=1e-4)


def test_detection_draws_the_worst_of_the_first_pictures(painted: Sequence[str], tmp_path: Path, run: Run) -> None:
    painted_tree(tmp_path / "images", "000001", "000002", "000003")
    head = "3\nimage_id x_1 y_1 width height\n"
    rows = ["000001.jpg 0 0 111 111", "000002.jpg 500 0 111 111", "000003.jpg 0 0 111 111"]
    (tmp_path / "list_bbox_celeba.txt").write_text(head + "\n".join(rows) + "\n")
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 2\n000002.jpg 2\n000003.jpg 2\n")
    celeba = ["--format", "celeba", "--partition", "test", "--limit", 2, "--worst", tmp_path / "worst"]
    called = run("evaluate", "detection", *words_for(tmp_path, ""), *celeba, "--json", *painted)
    # the first: one hit and one false alarm; the second: one miss and two false alarms
    assert called.document["images"] == 2
    assert called.document["accuracy"] == pytest.approx(1 / 5)
    assert called.document["precision"] == pytest.approx(1 / 4)
    assert sorted(path.name for path in (tmp_path / "worst").iterdir()) == ["01-000002.jpg", "02-000001.jpg"]
    assert called.err.splitlines() == [
        f"facereg: drew 2 pictures into {tmp_path / 'worst'}",
        "facereg: 2 entries: 2 done, 0 skipped, 0 failed",
    ]


@pytest.mark.parametrize("command", ["convert --from wider --to wider", "sheet"])
@pytest.mark.parametrize("out", ["list.txt", "images/../list.txt", "images/a.jpg"])
def test_no_output_replaces_what_is_read(crowds: Path, run: Run, command: str, out: str) -> None:
    before = (crowds / out).read_bytes()
    called = run("data", *command.split(), *words_for(crowds), "--out", crowds / out)
    assert (called.status, (crowds / out).read_bytes()) == (2, before)
    assert "Invalid value for --out: expected another place than that of what is read" in called.err


@pytest.mark.parametrize("words", [("people",), ("clean", "--detector", "aligned")], ids=["people", "clean"])
def test_a_set_is_not_written_into_the_one_that_is_read(words: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "src" / "Ada" / "1.png", picture(1))
    before = sorted(tmp_path.rglob("*"))
    called = run("data", words[0], tmp_path / "src", "--out", tmp_path / "src" / "in", *words[1:])
    assert called.status == 1
    assert "expected a folder outside" in called.err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_written_is_said_before_the_work(painted: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.png", picture(1))
    sheet = run("landmarks", tmp_path / "images", "--sheet", tmp_path / "sheet.txt", *painted[:2])
    assert (sheet.status, sheet.out) == (1, "")
    assert "cannot write '.txt'" in sheet.err
    words = ["--images", tmp_path, "--annotations", tmp_path / "none.txt"]
    for command in ("landmarks", "detection"):
        called = run("evaluate", command, *words, "--worst", tmp_path / "images" / "a.png")
        assert called.status == 2
        assert "is a file" in called.err


def test_an_extra_keeps_its_name_in_the_help(run: Run) -> None:
    assert "[train]" in run("study", "run", "--help").out
