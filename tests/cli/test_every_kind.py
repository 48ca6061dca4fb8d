"""Every command over a folder with one entry of every troublesome kind: each is done, skipped or failed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facereg.gallery import Gallery
from facereg.geometry import TEMPLATE_112
from facereg.names import shown
from tests import kinds
from tests.calling import Called, Run
from tests.data.layouts import write_wider_truth
from tests.kinds import FAILED, READ, SAID_ONCE, SKIPPED, make_all, remove_deep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("kinds") / "pictures"
    made.mkdir()
    make_all(made, made.parent / "outside")
    yield made
    remove_deep(made / "deep")


def names(items: object, folder: Path) -> set[str]:
    """Return the entries of a list of `image` and `reason` in a command's JSON, that of folders as deep as they go."""
    assert isinstance(items, list)
    found = [str(Path(item["image"]).relative_to(folder)) for item in items]
    assert len(found) == len(set(found))
    assert all(item["reason"] for item in items)
    return {"deep" if name.startswith("deep/") else name for name in found}


def last_line(called: Called) -> str:
    return called.err.splitlines()[-1]


SUM = f"{len(READ | SKIPPED | FAILED)} entries: {len(READ)} done, {len(SKIPPED)} skipped, {len(FAILED)} failed"


def test_the_kinds_are_told_apart(folder: Path) -> None:
    top = {name.split("/")[0] for name in READ | SKIPPED | FAILED}
    assert {entry.name for entry in os.scandir(folder)} == top


def test_detect_accounts_for_every_entry(folder: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    called = run("detect", folder, "--draw", tmp_path / "drawn", "--json", *painted[:2])
    assert called.status == 1
    done = {
        str(Path(str(line["image"])).relative_to(folder)) for line in called.lines if set(line) == {"image", "faces"}
    }
    assert done == READ
    for key, expected in (("skipped", SKIPPED), ("error", FAILED)):
        items = [{"image": line["image"], "reason": line[key]} for line in called.lines if key in line]
        assert names(items, folder) == expected
    assert last_line(called) == f"facereg: {SUM}"
    drawn = [path for path in (tmp_path / "drawn").rglob("*") if path.is_file()]
    assert len(drawn) == len(READ)
    assert {path.name for path in tmp_path.iterdir()} <= {"drawn", "home"}  # nothing beside the folder


def test_embed_accounts_for_every_entry(folder: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    called = run("embed", folder, "--out", tmp_path / "out.npz", "--json", *painted)
    assert (called.status, called.document["images"]) == (1, len(READ))
    assert names(called.document["skipped"], folder) == SKIPPED
    assert names(called.document["failed"], folder) == FAILED
    assert last_line(called) == f"facereg: {SUM}"
    with np.load(tmp_path / "out.npz") as held:
        assert {str(Path(str(name)).relative_to(folder)) for name in held["images"]} == READ


def test_identify_accounts_for_every_entry(folder: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    Gallery.open(tmp_path / "g", space="painted-colours:1", create=True).close()
    called = run("identify", folder, "--gallery", tmp_path / "g", "--threshold", "0.9", "--json", *painted)
    assert called.status == 1
    for key, expected in (("skipped", SKIPPED), ("error", FAILED)):
        items = [{"image": line["image"], "reason": line[key]} for line in called.lines if key in line]
        assert names(items, folder) == expected
    assert {str(Path(str(line["image"])).relative_to(folder)) for line in called.lines if "label" in line} == READ
    assert last_line(called) == f"facereg: {SUM}"


def test_pseudo_label_accounts_for_every_entry(folder: Path, painted: list[str], run: Run, tmp_path: Path) -> None:
    words = ["data", "pseudo-label", folder, "--out", tmp_path / "labels.jsonl", "--root", folder.parent]
    called = run(*words, "--json", *painted[:2])
    assert called.status == 1
    assert names(called.document["skipped"], folder) == SKIPPED
    assert names(called.document["failed"], folder) == FAILED
    assert last_line(called) == f"facereg: {SUM}"


def test_enroll_accounts_for_every_entry_of_a_person(
    folder: Path, painted: list[str], run: Run, tmp_path: Path
) -> None:
    called = run("enroll", folder.parent, "--gallery", tmp_path / "g", "--json", *painted)
    assert called.status == 1
    held = {name for name in READ if "/" not in name}  # a folder in a person's is skipped
    skipped, failed = called.document["skipped"], called.document["failed"]
    assert isinstance(skipped, list)
    own = [item for item in skipped if Path(item["image"]).is_relative_to(folder)]
    beside = [item for item in skipped if item not in own]
    repeated = {item["image"] for item in own if item["reason"] == "enrolled already"}  # of equal bytes
    left_out = [item for item in own if item["image"] not in repeated]
    assert names(left_out, folder) == SKIPPED | {"sub", "linked", "deep"}
    assert names(failed, folder) == FAILED - {"deep"}
    enrolled = called.document["enrolled"]
    assert enrolled == len(held) - len(repeated) + 1  # and outside/target.png
    assert [Path(item["image"]).name for item in beside] == ["far"]
    total = enrolled + len(skipped) + len(FAILED) - 1
    assert f"facereg: {total} entries: {enrolled} done, {len(skipped)} skipped, {len(FAILED) - 1} failed" in called.err


BAD = sorted(FAILED - {"deep"} | {"pipe.jpg", "socket.jpg", "null.jpg", "sub"})  # that a list may name


@pytest.fixture
def listed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder `images` of three good pictures and every bad one, of one face each by the lists beside it."""
    monkeypatch.setattr("facereg.decoding.source.SILENCE_S", 0.05)  # nobody writes to the pipe
    good = ["plain.jpg", "deep.png", "link.png"]
    box = (f"{name}\n1\n0 0 111 111\n" for name in [*good, *BAD])
    (tmp_path / "wider.txt").write_text("".join(box))
    points = " ".join(f"{value:.3f}" for value in TEMPLATE_112.reshape(-1))
    (tmp_path / "5pt.txt").write_text("".join(f"{name} {points}\n" for name in [*good, *BAD]))
    (tmp_path / "images").mkdir()
    for name in [*good, *BAD]:
        (tmp_path / "images" / name).symlink_to(folder / name)
        (tmp_path / "labels" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "labels" / name).with_suffix(".txt").write_text("0 0.4955 0.4955 0.991 0.991\n")
    return tmp_path


def accounted(called: Called, *, done: int, skipped: int = 0, bad: list[str] = BAD) -> dict[str, object]:
    """Check that the bad pictures have failed, each with its line, and the others are done; return the JSON."""
    assert called.status == 1
    failed = called.document["failed"]
    assert isinstance(failed, list)
    assert {Path(item["image"]).name for item in failed} == set(bad)
    for item in failed:
        assert shown(f"facereg: {item['image']}: {item['reason']}") in called.err.splitlines()
    total = done + skipped + len(failed)
    assert last_line(called) == f"facereg: {total} entries: {done} done, {skipped} skipped, {len(failed)} failed"
    return called.document


@pytest.mark.parametrize("close_up", [[], ["--close-up", "0.4"]], ids=["whole", "close-up"])
def test_detection_counts_the_faces_of_bad_pictures_as_missed(
    listed: Path, close_up: list[str], painted: list[str], run: Run
) -> None:
    words = ["--images", listed / "images", "--annotations", listed / "wider.txt", "--worst", listed / "worst"]
    called = run("evaluate", "detection", *(words[:4] if close_up else words), *close_up, "--json", *painted[:2])
    figures = accounted(called, done=3)
    assert (figures["images"], figures["faces"], figures["missing"]) == (3 + len(BAD), 3 + len(BAD), len(BAD))
    assert figures["recall"] == pytest.approx(3 / (3 + len(BAD)))
    assert figures["precision"] == 1.0


def test_detection_by_shares_counts_them_too(folder: Path, listed: Path, painted: list[str], run: Run) -> None:
    words = ["--images", folder, "--annotations", listed / "labels", "--format", "yolo", "--json"]
    bad = sorted(FAILED - {"deep"})
    figures = accounted(run("evaluate", "detection", *words, *painted[:2]), done=len(READ), bad=[*bad, "d"])
    # the labels are of the three good ones and of the bad ones; what is no picture is no entry of the set
    assert (figures["faces"], figures["missing"]) == (3 + len(bad), len(FAILED))


def test_landmarks_of_bad_pictures_are_missed(listed: Path, painted: list[str], run: Run) -> None:
    words = ["--images", listed / "images", "--annotations", listed / "5pt.txt", "--enlarge", "1"]
    figures = accounted(run("evaluate", "landmarks", *words, "--json", *painted[:2]), done=3)
    assert (figures["images"], figures["missing"], figures["missed"]) == (3 + len(BAD), len(BAD), len(BAD))


def test_wider_counts_the_faces_of_bad_pictures_as_missed(
    folder: Path, listed: Path, painted: list[str], run: Run
) -> None:
    (listed / "wider" / "0--all").mkdir(parents=True)
    names = {f"{name}".replace(".", "-"): name for name in ["plain.jpg", *BAD]}
    for name, source in names.items():
        (listed / "wider" / "0--all" / f"{name}.jpg").symlink_to(folder / source)
    rows = {subset: {name: [1] for name in names} for subset in ("easy", "medium", "hard")}
    truth = write_wider_truth(listed / "truth", {"0--all": {name: [[0, 0, 111, 111]] for name in names}}, rows)
    words = ["--ground-truth", truth, "--images", listed / "wider", "--save", listed / "saved", "--json"]
    called = run("evaluate", "wider", *words, *painted[:2])
    figures = accounted(called, done=1, bad=[f"{name.replace('.', '-')}.jpg" for name in BAD])
    assert (figures["easy"], figures["missing"]) == (pytest.approx(1 / (1 + len(BAD))), len(BAD))
    assert len(list((listed / "saved" / "0--all").iterdir())) == 1 + len(BAD)


@pytest.fixture
def tree(folder: Path, listed: Path) -> Path:
    """Return a folder of as many people as there are bad pictures: four good ones of each, the fifth is bad."""
    for person, name in enumerate(BAD):
        for number in range(1, 5):
            kinds.painted(listed / "tree" / f"p{person}" / f"p{person}_{number:04d}.jpg", person)
        (listed / "tree" / f"p{person}" / f"p{person}_0005.jpg").symlink_to(folder / name)
    people = range(len(BAD))
    same = [f"p{person} 1 5" for person in people]
    apart = [f"p{person} 1 p{(person + 1) % len(BAD)} 2" for person in people]
    halves = [*same, *apart, *(line.replace(" 5", " 3") for line in same), *apart]
    (listed / "pairs.txt").write_text("\n".join([f"2 {len(BAD)}", *halves]))
    return listed / "tree"


def fifths(count: int) -> list[str]:
    return [f"p{person}_0005.jpg" for person in range(count)]


@pytest.mark.parametrize("command", [["evaluate", "verification"], ["calibrate", "--far", "0.2"]])
def test_pairs_with_a_bad_picture_are_missing_and_refused(
    command: list[str], tree: Path, painted: list[str], run: Run
) -> None:
    called = run(*command, "--images", tree, "--pairs", tree.parent / "pairs.txt", "--json", *painted)
    figures = accounted(called, done=3 * len(BAD), bad=fifths(len(BAD)))
    assert (figures["pairs"], figures["missing"]) == (4 * len(BAD), len(BAD))
    assert figures.get("tpr", 0.5) == 0.5  # of the genuine pairs half have a bad picture


def test_identification_counts_bad_pictures_as_without_a_face(tree: Path, painted: list[str], run: Run) -> None:
    called = run("evaluate", "identification", "--images", tree, "--seeds", "1", "--json", *painted)
    assert called.status == 1
    left_out = [item for key in ("skipped", "failed") for item in called.document[key]]  # type: ignore[attr-defined]
    assert sorted(Path(item["image"]).name for item in left_out) == fifths(len(BAD))
    missing = called.document["missing"]
    assert called.document["images"] == 4 * len(BAD) + missing  # type: ignore[operator]
    assert called.document["without_face"] == missing
    total = 5 * len(BAD)
    failed = len(called.document["failed"])  # type: ignore[arg-type]
    counts = f"{4 * len(BAD)} done, {len(BAD) - failed} skipped, {failed} failed"
    assert last_line(called) == f"facereg: {total} entries: {counts}"


@pytest.mark.parametrize("bad", BAD)
def test_verify_names_the_bad_one_of_two(bad: str, listed: Path, painted: list[str], run: Run) -> None:
    pictures = [listed / "images" / "plain.jpg", listed / "images" / bad]
    for words in (pictures, pictures[::-1]):
        called = run("verify", *words, "--threshold", "0.5", *painted)
        assert (called.status, called.out) == (1, "")
        assert called.error.startswith(f"facereg: {pictures[1]}: ")


@pytest.mark.parametrize("layout", ["wider", "voc", "yolo"])
def test_convert_writes_the_others(layout: str, folder: Path, listed: Path, run: Run) -> None:
    words = ["--images", folder, "--annotations", listed / "labels", "--from", "yolo", "--to", layout]
    called = run("data", "convert", *words, "--out", listed / "new", "--json")
    unfit = {"caf\udce9.png", "\x1b[31mred.png", "two\nlines.png"}  # names that the layouts cannot hold
    bad = [*sorted(FAILED - {"deep"} | unfit), "d"]
    assert accounted(called, done=len(READ - unfit), bad=bad)["images"] == len(READ - unfit)
    assert called.document["faces"] == 3


def test_sheet_shows_the_others(listed: Path, run: Run) -> None:
    words = ["--images", listed / "images", "--annotations", listed / "wider.txt", "--out", listed / "sheet.png"]
    assert accounted(run("data", "sheet", *words, "--side", "32", "--json"), done=3)["images"] == 3


@pytest.mark.parametrize(("layout", "labels"), [("wider", "wider.txt"), ("yolo", "labels")])
def test_check_names_every_bad_picture(layout: str, labels: str, folder: Path, listed: Path, run: Run) -> None:
    images, bad = (folder, {*FAILED} - {"deep"} | {"d"}) if layout == "yolo" else (listed / "images", set(BAD))
    words = ["--images", images, "--annotations", listed / labels, "--format", layout, "--json"]
    called = run("data", "check", *words)
    assert called.status == 1
    named = [Path(str(line["image"])) for line in called.lines if line["problem"] in ("missing", "unreadable")]
    lone = {f"{Path(name).stem}.jpg" for name in BAD} if layout == "yolo" else set()  # labels without a picture
    assert {path.name for path in named} - lone == bad - lone
    assert len(named) == len(set(named))


def test_entries_of_systems_have_a_line_only_where_they_hold_pictures(
    folder: Path, painted: list[str], run: Run
) -> None:
    said = [line for line in run("detect", folder, *painted[:2]).err.splitlines() if "hidden or system" in line]
    assert {line.split(": a hidden")[0].removeprefix(f"facereg: skipped {folder}/") for line in said} == SAID_ONCE


def test_names_cannot_break_what_people_read(folder: Path, painted: list[str], run: Run) -> None:
    called = run("detect", folder, *painted[:2])
    assert "\x1b" not in called.out + called.err
    assert f"{folder}/\\x1b[31mred.png: 1 face" in called.out.splitlines()
    assert f"{folder}/two\\x0alines.png: 1 face" in called.out.splitlines()
    assert f"{folder}/caf\\udce9.png: 1 face" in called.out.splitlines()


@pytest.mark.parametrize(
    ("command", "words"),
    [("detect", []), ("embed", ["--out", "OUT"]), ("identify", ["--gallery", "GALLERY", "--threshold", "0.9"])],
)
def test_a_folder_of_good_pictures_is_done_and_the_status_is_0(
    command: str, words: list[str], painted: list[str], run: Run, tmp_path: Path
) -> None:
    for name in ("a.png", "sub/b.png"):
        _painted(tmp_path / "good" / name)
    Gallery.open(tmp_path / "g", space="painted-colours:1", create=True).close()
    places = {"OUT": tmp_path / "o.npz", "GALLERY": tmp_path / "g"}
    stages = painted if command != "detect" else painted[:2]
    called = run(command, tmp_path / "good", *[places.get(word, word) for word in words], *stages)
    assert (called.status, called.error) == (0, "facereg: 2 entries: 2 done, 0 skipped, 0 failed")


def test_json_stays_json_whatever_the_names(folder: Path, painted: list[str], run: Run) -> None:
    for line in run("detect", folder, "--json", *painted[:2]).out.splitlines():
        assert isinstance(json.loads(line), dict)


def _painted(path: Path) -> None:
    kinds.painted(path, 1)
