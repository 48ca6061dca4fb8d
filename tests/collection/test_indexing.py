"""A collection in an index: each picture once, whatever ends a run; who is in it, and where a face is."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.alignment import FivePointAligner
from facereg.collection.indexing import Look, Looked, index_folder, looking
from facereg.collection.schema import is_index
from facereg.collection.searching import find_face
from facereg.collection.store import Index, Seen
from facereg.errors import ContractError, GalleryError, SpaceMismatchError
from facereg.gallery import Gallery
from facereg.images import write_image
from facereg.pipeline.composer import Pipeline
from facereg.types import Embeddings, Faces, Image
from tests.calling import Run
from tests.fakes import PaintedDetector, PaintedEmbedder, picture

SPACE = "painted:1"


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    with Pipeline(PaintedDetector(), FivePointAligner(), PaintedEmbedder()) as made:
        yield made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of 12 pictures of one to three people, in folders."""
    folder = tmp_path / "photos"
    for number in range(12):
        write_image(
            folder / f"{number % 3}" / f"{number:02d}.png", picture(*range(number % 4, number % 4 + 1 + number % 3))
        )
    return folder


def opened(tmp_path: Path, name: str = "photos.index") -> Index:
    return Index.open(tmp_path / name, space=SPACE, create=True)


def content(index: Index) -> list[tuple[object, ...]]:
    """Return all that an index says, whatever the numbers of its rows."""
    return sorted(
        (str(file), sha256, box.tobytes(), float(score), vector.tobytes())
        for faces in index.faces(size=5)
        for files, sha256, box, score, vector in zip(
            faces.files, faces.sha256, faces.boxes, faces.scores, faces.embeddings.vectors, strict=True
        )
        for file in files
    )


def test_every_face_is_held_with_its_file_and_box(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    with opened(tmp_path) as index:
        report = index_folder(index, photos, looking(pipeline, index))
        assert (report.indexed, report.held, report.faces, report.failed) == (12, 0, 24, 0)
        assert index.counts() == (12, 12, 24)
        [faces] = index.faces()
        third = next(row for row in range(24) if faces.files[row] == (photos / "2" / "02.png",))
        assert faces.boxes[third : third + 3].tolist() == [[112 * n, 0, 112 * n + 111, 111] for n in range(3)]
        assert faces.people.tolist() == [-1] * 24


def test_a_second_run_opens_nothing_and_changes_nothing(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        before = content(index)
        report = index_folder(index, photos, lambda blocks: [pytest.fail(f"looked at {block}") for block in blocks])
        assert (report.indexed, report.held) == (0, 12)
        assert content(index) == before


def test_what_moved_or_was_copied_is_known_by_its_content(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        shutil.copy(photos / "0" / "00.png", photos / "copy.png")
        detector = pipeline.detector
        assert isinstance(detector, PaintedDetector)
        detector.calls.clear()
        report = index_folder(index, photos, looking(pipeline, index))
        assert (report.indexed, report.faces, detector.calls) == (1, 0, [])
        assert index.counts() == (13, 12, 24)
        [faces] = index.faces()
        assert (photos / "0" / "00.png", photos / "copy.png") in faces.files


def test_copies_in_one_block_are_looked_at_once(tmp_path: Path, pipeline: Pipeline) -> None:
    for name in ("a", "b", "c"):
        write_image(tmp_path / "photos" / f"{name}.png", picture(1))
    with opened(tmp_path) as index:
        report = index_folder(index, tmp_path / "photos", looking(pipeline, index))
        assert (report.indexed, report.faces, index.counts()) == (3, 1, (3, 1, 1))


def test_a_file_with_other_content_has_its_new_faces_alone(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    changed = photos / "0" / "00.png"
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        write_image(changed, picture(7, 8, 9))
        report = index_folder(index, photos, looking(pipeline, index))
        assert (report.indexed, report.held, report.faces) == (1, 11, 3)
        assert index.counts() == (12, 12, 26)
        assert sum(changed in files for faces in index.faces() for files in faces.files) == 3


def test_a_file_that_was_touched_keeps_its_faces(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        before = content(index)
        os.utime(photos / "0" / "00.png", (1, 1))
        assert index_folder(index, photos, looking(pipeline, index)).indexed == 1
        assert (content(index), index.counts()) == (before, (12, 12, 24))


def test_what_cannot_be_read_has_failed_and_is_tried_again(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("no picture either")
    left_out: list[str] = []
    with opened(tmp_path) as index:
        for _ in range(2):
            left_out.clear()
            report = index_folder(
                index,
                photos,
                looking(pipeline, index),
                leave_out=lambda skipped, failed: left_out.extend(item.path.name for item in (*skipped, *failed)),
            )
            assert sorted(left_out) == ["bad.png", "notes.txt"]
            assert report.failed == 1
        assert index.counts()[0] == 12


def interrupted(look: Look, blocks_done: int) -> Look:
    def some(blocks: Iterable[list[Path]]) -> Iterator[Looked]:
        for number, looked in enumerate(look(blocks)):
            if number == blocks_done:
                raise KeyboardInterrupt
            yield looked

    return some


@pytest.mark.parametrize("blocks_done", [0, 1, 2])
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, photos: Path, pipeline: Pipeline, blocks_done: int) -> None:
    with opened(tmp_path, "whole.index") as whole, opened(tmp_path) as index:
        index_folder(whole, photos, looking(pipeline, whole))
        with pytest.raises(KeyboardInterrupt):
            index_folder(index, photos, interrupted(looking(pipeline, index), blocks_done), block=5)
        assert index.counts()[0] == 5 * blocks_done
        report = index_folder(index, photos, looking(pipeline, index), block=5)
        assert (report.indexed, report.held) == (12 - 5 * blocks_done, 5 * blocks_done)
        assert content(index) == content(whole)


def test_a_block_is_held_whole_or_not_at_all(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    def spoilt(blocks: Iterable[list[Path]]) -> Iterator[Looked]:
        for looked in looking(pipeline, index)(blocks):
            last = looked[-1]
            assert isinstance(last, Seen)
            yield [*looked[:-1], Seen(last.file, last.sha256)]  # as if its picture were known

    with opened(tmp_path) as index:
        with pytest.raises(ContractError, match="expected its faces, as its picture is not known, got none"):
            index_folder(index, photos, spoilt)
        assert index.counts() == (0, 0, 0)


def test_files_that_are_gone_are_forgotten_when_asked(
    tmp_path: Path, photos: Path, painted: list[str], run: Run
) -> None:
    out = tmp_path / "photos.index"
    shutil.copy(photos / "0" / "00.png", photos / "copy.png")
    assert run("index", photos, "--out", out, "--json", *painted).document["faces"] == 24
    (photos / "0" / "00.png").unlink()  # its copy keeps its faces
    (photos / "2" / "02.png").unlink()  # three faces
    assert run("index", photos, "--out", out, "--json", *painted).document["files"] == 13
    told = run("index", photos, "--out", out, "--prune", "--json", *painted).document
    assert (told["forgotten"], told["files"], told["pictures"], told["faces"]) == (2, 11, 11, 21)
    shutil.rmtree(photos)
    photos.mkdir()  # as a disk that is not mounted looks
    assert run("index", photos, "--out", out, "--prune", "--json", *painted).document["files"] == 11


def test_the_command_accounts_for_every_entry(tmp_path: Path, photos: Path, painted: list[str], run: Run) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    called = run("index", photos, "--out", tmp_path / "photos.index", "--json", *painted)
    assert called.status == 1
    assert {key: called.document[key] for key in ("indexed", "held", "new_faces", "files", "pictures", "faces")} == {
        **{"indexed": 12, "held": 0, "new_faces": 24, "files": 12, "pictures": 12, "faces": 24}
    }
    assert [Path(str(item["image"])).name for item in called.document["failed"]] == ["bad.png"]  # type: ignore[attr-defined]
    assert called.err.splitlines()[-1] == "facereg: 13 entries: 12 done, 0 skipped, 1 failed"
    assert stat.S_IMODE((tmp_path / "photos.index").stat().st_mode) == 0o600


def test_identify_says_who_is_in_an_index_without_opening_a_picture(
    tmp_path: Path, photos: Path, painted: list[str], run: Run
) -> None:
    write_image(tmp_path / "people" / "Ada" / "1.png", picture(1))
    assert run("enroll", tmp_path / "people", "--gallery", tmp_path / "g", "--no-check", *painted).status == 0
    assert run("index", photos, "--out", tmp_path / "photos.index", *painted).status == 0
    words = ("--gallery", tmp_path / "g", "--threshold", "0.999", "--json", *painted)
    pictures = run("identify", photos, *words).lines
    shutil.rmtree(photos)
    lines = run("identify", tmp_path / "photos.index", *words).lines
    assert sorted(map(str, lines)) == sorted(map(str, pictures))
    assert {line["label"] for line in lines} == {"Ada", None}


def test_find_lists_the_pictures_of_a_face(tmp_path: Path, photos: Path, painted: list[str], run: Run) -> None:
    assert run("index", photos, "--out", tmp_path / "photos.index", *painted).status == 0
    write_image(tmp_path / "probe.png", picture(3))
    words = ("find", tmp_path / "probe.png", "--index", tmp_path / "photos.index", "--json", *painted)
    lines = run(*words, "--threshold", "0.999").lines
    # person 3 is where number % 4 + number % 3 reaches it: 02 (2, 3, 4), 03, 05 (1, 2, 3), 06 (2), 07, 10, 11
    numbers = {n for n in range(12) if 3 in range(n % 4, n % 4 + 1 + n % 3)}
    assert {int(Path(str(line["image"])).stem) for line in lines} == numbers
    assert lines[0]["similarity"] == pytest.approx(1.0, abs=1e-6)
    assert len(run(*words, "--threshold", "-1", "--most", "4").lines) == 4


def test_an_index_is_told_from_everything_else(tmp_path: Path, photos: Path, painted: list[str], run: Run) -> None:
    Gallery.open(tmp_path / "g", space=SPACE, create=True).close()
    (tmp_path / "text").write_text("no database")
    opened(tmp_path).close()
    assert [is_index(tmp_path / name) for name in ("photos.index", "g", "text", "gone", "photos")] == [
        *(True, False, False, False, False)
    ]
    for name, words in (("g", "no index but another database"), ("text", "another kind of file")):
        called = run("index", photos, "--out", tmp_path / name, *painted)
        assert called.status == 1
        assert words in called.err.splitlines()[-1]
    with pytest.raises(GalleryError, match="found no index there; make one with 'facereg index DIR --out"):
        Index.open(tmp_path / "gone")
    with pytest.raises(SpaceMismatchError, match="holds faces of 'painted:1', expected 'other:1'"):
        Index.open(tmp_path / "photos.index", space="other:1")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE faces SET vector = x'00' WHERE id = 3",
        "UPDATE faces SET vector = zeroblob(32) WHERE id = 3",
        "UPDATE faces SET box = x'00' WHERE id = 3",
        "UPDATE faces SET vector = 'text' WHERE id = 1",
        "UPDATE faces SET person = 'text' WHERE id = 3",
        "UPDATE files SET path = 5 WHERE path = (SELECT min(path) FROM files)",
        "UPDATE collection SET dim = 'text'",
        "DELETE FROM collection",
        "DELETE FROM files",
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, photos: Path, pipeline: Pipeline, change: str) -> None:
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        with closing(sqlite3.connect(tmp_path / "photos.index", isolation_level=None)) as other:
            other.execute(change)
        with pytest.raises(GalleryError, match=r"photos.index: is damaged; index the collection again"):
            list(index.faces())


def test_a_file_without_tables_yet_becomes_an_index(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    # as a run leaves it that is killed at once, or has no room; and as another finds it that began at the same time
    with closing(sqlite3.connect(tmp_path / "photos.index")) as half_made:
        half_made.execute("PRAGMA journal_mode = WAL")
        assert (tmp_path / "photos.index").stat().st_size
        with pytest.raises(GalleryError, match="is empty, no index yet; call 'facereg index' with it again"):
            Index.open(tmp_path / "photos.index")
        with opened(tmp_path) as index:
            assert index_folder(index, photos, looking(pipeline, index)).indexed == 12


def test_two_runs_on_a_new_index_make_one(tmp_path: Path, photos: Path, pipeline: Pipeline) -> None:
    def one(number: int) -> int:
        with opened(tmp_path) as index:
            return index_folder(index, photos, looking(pipeline, index), block=3).indexed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(one, range(4))) >= 12  # a file may be looked at by each of them
    with opened(tmp_path, "whole.index") as whole, opened(tmp_path) as index:
        index_folder(whole, photos, looking(pipeline, whole))
        assert content(index) == content(whole)


def test_an_index_that_another_program_fills_is_read_by_who_opened_it_empty(
    tmp_path: Path, photos: Path, pipeline: Pipeline
) -> None:
    with opened(tmp_path) as index, opened(tmp_path) as other:
        index_folder(other, photos, looking(pipeline, other))
        assert index_folder(index, photos, looking(pipeline, index)).held == 12
        assert content(index) == content(other)


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_file_that_changes_while_it_is_looked_at_has_failed(
    tmp_path: Path, photos: Path, pipeline: Pipeline, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, copy = photos / "0" / "00.png", photos / "2" / "copy.png"
    shutil.copy(changed, copy)
    real, left_out = pipeline.detector.detect, list[str]()

    def detect(images: Sequence[Image]) -> list[Faces]:
        write_image(changed, picture(7, 8, 9)) if how == "changed" else changed.unlink(missing_ok=True)
        return real(images)

    with opened(tmp_path) as index:
        with monkeypatch.context() as patched:
            patched.setattr(pipeline.detector, "detect", detect)
            report = index_folder(
                index,
                photos,
                looking(pipeline, index),
                leave_out=lambda skipped, failed: left_out.extend(str(item) for item in failed),
            )
        assert (report.indexed, report.failed) == (11, 2)  # the copy's faces are not known either
        assert all("changed while it was looked at" in line for line in left_out), left_out
        index_folder(index, photos, looking(pipeline, index))
        with opened(tmp_path, "whole.index") as whole:
            index_folder(whole, photos, looking(pipeline, whole))
            assert content(index) == content(whole)


KEY = "FACEREG_GALLERY_KEY"


def test_with_a_key_no_vector_stands_in_the_file(
    tmp_path: Path, photos: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, "plain.index") as plain:
        index_folder(plain, photos, looking(pipeline, plain))
        expected = content(plain)
    monkeypatch.setenv(KEY, "a key of sixteen bytes or more")
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        assert content(index) == expected
        stored = (tmp_path / "photos.index").read_bytes() + (tmp_path / "photos.index-wal").read_bytes()
        assert not [vector for *_, vector in expected if vector in stored]  # type: ignore[operator]
        assert expected[0][2] in stored  # type: ignore[operator]  # the box


@pytest.mark.parametrize(
    ("made_with", "given", "words"),
    [
        ("a" * 32, None, "is encrypted with a key, got none; name its file in FACEREG_GALLERY_KEY_FILE"),
        ("a" * 32, "b" * 32, "expected the key that it is encrypted with, got another"),
        (None, "b" * 32, "its vectors are not encrypted, and a key was given; unset it, or index into another file"),
    ],
)
def test_an_index_of_another_key_is_refused_before_any_work(
    tmp_path: Path,
    photos: Path,
    painted: list[str],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    made_with: str | None,
    given: str | None,
    words: str,
) -> None:
    def use(key: str | None) -> None:
        if key is None:
            monkeypatch.delenv(KEY, raising=False)
        else:
            monkeypatch.setenv(KEY, key)

    index, probe = tmp_path / "photos.index", photos / "0" / "00.png"
    use(made_with)
    assert run("index", photos, "--out", index, *painted).status == 0
    write_image(photos / "new.png", picture(5))
    use(given)
    for command in (
        ("index", photos, "--out", index, *painted),
        ("find", probe, "--index", index, "--threshold", "0.9", *painted),
        ("group", "make", index),
        ("group", "merge", index, "1", "2"),
    ):
        called = run(*command)
        assert called.status == 1
        assert called.error.startswith(f"facereg: {index}: {words}")
    with Index.open(index) as left:
        assert left.counts() == (12, 12, 24)


def test_an_encrypted_vector_opens_in_its_place_alone(
    tmp_path: Path, photos: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "a key of sixteen bytes or more")
    with opened(tmp_path) as index:
        index_folder(index, photos, looking(pipeline, index))
        with closing(sqlite3.connect(tmp_path / "photos.index", isolation_level=None)) as other:
            other.execute("UPDATE faces SET vector = (SELECT vector FROM faces WHERE id = 3) WHERE id = 7")
        with pytest.raises(GalleryError, match=r"photos.index: is damaged; index the collection again"):
            list(index.faces())


def test_a_foreign_trigger_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "photos.index")) as other:
        other.execute("CREATE TRIGGER t AFTER INSERT ON faces BEGIN DELETE FROM files; END")
    with pytest.raises(GalleryError, match="no index"):
        Index.open(tmp_path / "photos.index")


def test_a_probe_of_another_embedder_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as index, pytest.raises(SpaceMismatchError):
        find_face(index, Embeddings(np.eye(8, dtype=np.float32)[:1], "other:1"), threshold=0.5)
    with pytest.raises(ContractError, match="expected the embedder's space"):
        Index.open(tmp_path / "new.index", create=True)


CHILD = """
import sys
from facereg import Pipeline
from facereg.collection.indexing import index_folder, looking
from facereg.collection.store import Index
folder, out, block = sys.argv[1:]
with Pipeline.create(detector="aligned", threads=1, options={"embedder": {"flip": False}}) as made:
    with Index.open(out, space=made.embedder.space, create=True) as index:
        index_folder(index, folder, looking(made, index), block=int(block))
"""


def held(path: Path) -> int:
    """Return how many files an index holds so far, as any reader sees it; 0 until it is made."""
    if not is_index(path):
        return 0
    with Index.open(path) as index:
        return index.counts()[0]


@pytest.mark.data
@pytest.mark.parametrize(
    ("crops", "block"),
    [(300, 20), pytest.param(None, 256, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(0)])],
)
def test_five_kills_at_random_change_nothing(tmp_path: Path, face_data: Path, crops: int | None, block: int) -> None:
    rng = random.Random(7)
    for crop in sorted((face_data / "celeba-faces112").glob("*/*.jpg"))[:crops]:
        link = tmp_path / "crops" / crop.parent.name / crop.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(crop)
    count = sum(1 for _ in (tmp_path / "crops").glob("*/*.jpg"))
    whole, often = tmp_path / "whole.index", tmp_path / "often.index"
    command = [sys.executable, "-c", CHILD, str(tmp_path / "crops")]
    left = []
    for goal in sorted(rng.sample(range(count * 9 // 10), 5)):
        with subprocess.Popen([*command, str(often), str(block)]) as child:
            while held(often) < goal and child.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.random() / 10)
            child.send_signal(signal.SIGKILL)
        left.append(held(often))
    assert any(0 < files < count for files in left), left  # a quick machine may finish before the last kills
    for path in (often, whole):
        subprocess.run([*command, str(path), str(block)], check=True)
    with Index.open(often) as index, Index.open(whole) as undisturbed:
        assert index.counts() == (count, len({row[1] for row in content(index)}), len(content(index)))
        assert index.counts()[0] == count
        assert content(index) == content(undisturbed)
