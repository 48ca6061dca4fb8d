"""Every command over a folder with one entry of every troublesome kind: each is done, skipped or failed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facereg.gallery import Gallery
from tests import kinds
from tests.calling import Called, Run
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
