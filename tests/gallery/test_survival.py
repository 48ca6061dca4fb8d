"""What a kill, a full disk and damage leave of a gallery."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, rotate_key
from facereg.testing.pictures import vectors
from tests.disks import filled, small_disk

CACHE = 2_000_000  # bytes that SQLite holds before it writes the pages of an open transaction


def sources(count: int, *, first: int = 0) -> list[Source]:
    return [Source(f"{number}.jpg", f"{number:064x}") for number in range(first, first + count)]


HALFWAY = """
import sys, time
from facereg.gallery import Gallery, Source, rotate_key
from facereg.testing.pictures import vectors

def slowly(count):
    for number in range(count):
        if number == count // 2:
            print("halfway", flush=True)
            time.sleep(600)
        yield Source(f"{number}.jpg", f"{number:064x}")

class Sources:
    def __len__(self): return 4000
    def __iter__(self): return slowly(len(self))

with Gallery.open(sys.argv[1], space="a") as gallery:
    gallery.enroll("Bob", vectors(4000, 512, "a"), Sources())
"""
WITHOUT_END = """
import sys
from facereg.gallery import Gallery, Source, rotate_key
from facereg.testing.pictures import vectors

batch = vectors(50, 128, "a")
with Gallery.open(sys.argv[1], space="a", create=True) as gallery:
    for person in range(1_000_000):
        gallery.enroll(f"{sys.argv[2]} {person}", batch, [Source(f"{n}.jpg", f"{n:064x}") for n in range(50)])
"""


def test_a_kill_in_the_middle_of_an_enrolment_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "team.gallery"
    with Gallery.open(path, space="a", create=True) as gallery:
        gallery.enroll("Ada", vectors(2, 512, "a"), sources(2))
    with subprocess.Popen([sys.executable, "-c", HALFWAY, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "halfway\n"
        assert path.with_name("team.gallery-wal").stat().st_size > 2000 * 4 * 512 - CACHE  # half of it is on the disk
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    with Gallery.open(path, space="a") as gallery:
        assert [(person.name, person.embeddings) for person in gallery.people()] == [("Ada", 2)]
        assert gallery.check() == []
        gallery.enroll("Bob", vectors(2, 512, "a"), sources(2))
        assert len(gallery) == 2


def test_kills_at_any_moment_leave_whole_people(tmp_path: Path) -> None:
    path = tmp_path / "team.gallery"
    known: set[str] = set()
    for run, pause in enumerate((0.0, 0.03)):
        with subprocess.Popen([sys.executable, "-c", WITHOUT_END, path, str(run)]) as writer:
            while not any(name.startswith(f"{run} ") for name in names(path)):
                time.sleep(0.005)
            time.sleep(pause)
            writer.send_signal(signal.SIGKILL)
        with Gallery.open(path) as gallery:
            assert {person.embeddings for person in gallery.people()} == {50}
            assert gallery.check() == []
            assert known < {person.name for person in gallery.people()}
            known = {person.name for person in gallery.people()}


def names(path: Path) -> list[str]:
    try:
        with Gallery.open(path) as gallery:
            return [person.name for person in gallery.people()]
    except GalleryError:  # not made yet
        return []


ENROL_TOO_MUCH = """
import resource, sys
from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, rotate_key
from facereg.testing.pictures import vectors

with Gallery.open(sys.argv[1], space="a") as gallery:
    if sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        gallery.enroll("Bob", vectors(2000, 128, "a"), [Source(f"{n}.jpg", f"{n:064x}") for n in range(2000)])
    except GalleryError as error:
        print(error)
    print(gallery.check(), [person.name for person in gallery.people()])
"""


def fill_up(path: Path, how: str) -> None:
    with Gallery.open(path, space="a", create=True) as gallery:
        gallery.enroll("Ada", vectors(2, 128, "a"), sources(2))
    done = subprocess.run([sys.executable, "-c", ENROL_TOO_MUCH, path, how], capture_output=True, text=True, check=True)
    message, state = done.stdout.splitlines()  # one line of error, then the state
    assert message.startswith(f"{path}: the disk ")
    assert "make room" in message
    assert message.endswith("nothing was changed")
    assert state == "[] ['Ada']"
    with Gallery.open(path, space="a") as gallery:
        assert gallery.check() == []
        assert gallery.embeddings()[1].vectors.tolist() == vectors(2, 128, "a").vectors.tolist()
        gallery.enroll("Eve", vectors(1, 128, "a"), sources(1))  # what fits still goes in
        assert len(gallery) == 2


def test_a_disk_that_is_full_while_enrolling_leaves_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        fill_up(tmp_path / "disk" / "team.gallery", "disk")


def test_a_gallery_on_a_full_disk_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "team.gallery"
        with Gallery.open(path, space="a", create=True) as gallery:
            gallery.enroll("Ada", vectors(2, 128, "a"), sources(2))
        with filled(disk), Gallery.open(path, space="a") as gallery:
            assert gallery.check() == []
            assert [person.name for person in gallery.people()] == ["Ada"]
            with pytest.raises(GalleryError, match="make room.*; nothing was changed"):
                gallery.enroll("Eve", vectors(1, 128, "a"), sources(1))
        with Gallery.open(path, space="a") as gallery:
            gallery.enroll("Eve", vectors(1, 128, "a"), sources(1))
            assert len(gallery) == 2


def test_a_log_that_a_full_disk_keeps_from_being_read_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path, log = disk / "team.gallery", disk / "team.gallery-wal"
        with Gallery.open(path, space="a", create=True) as gallery:
            gallery.enroll("Ada", vectors(2, 128, "a"), sources(2))
            copies = {file: file.read_bytes() for file in (path, log)}
        for file, content in copies.items():  # as a kill leaves them
            file.write_bytes(content)
        with filled(disk), pytest.raises(GalleryError, match="changes lie in its log .* without room on the disk"):
            Gallery.open(path)
        with Gallery.open(path) as gallery:
            assert len(gallery) == 1


def test_a_key_that_was_rotated_before_the_disk_was_full_is_said(tmp_path: Path) -> None:
    key, made, rows = b"a key of 16 bytes", tmp_path / "made", 400
    with Gallery.open(made, space="a", create=True) as gallery:
        gallery.enroll("Ada", vectors(rows, 128, "a"), sources(rows))
    # room for the log of the rotation, not for the file to grow by what is added to each vector
    room = 2 * made.stat().st_size + (80 << 10)
    with small_disk(tmp_path / "disk", str(room)) as disk:
        path = Path(shutil.copy(made, disk))
        (disk / "made.exact.index").touch()
        with pytest.raises(GalleryError, match="the change is made, but the disk .*; make room, then run .*check"):
            rotate_key(path, old_key=None, key=key)
        assert not (disk / "made.exact.index").exists()
        for file in os.listdir(disk):
            shutil.copy(disk / file, tmp_path)  # there is room
    with Gallery.open(tmp_path / "made", key=key) as gallery:
        assert gallery.check() == []
        assert gallery.embeddings()[1].vectors.tolist() == vectors(rows, 128, "a").vectors.tolist()
    plain = vectors(rows, 128, "a").vectors
    assert not [row for row in plain if row.tobytes() in made.read_bytes()]


def test_a_limit_of_file_sizes_while_enrolling_leaves_what_was_there(tmp_path: Path) -> None:
    fill_up(tmp_path / "team.gallery", "limit")


def test_an_export_to_a_full_disk_leaves_the_old_export(tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "team.gallery", space="a", create=True) as gallery:
        gallery.enroll("Ada", vectors(2, 128, "a"), sources(2))
        with small_disk(tmp_path / "disk"):
            file = tmp_path / "disk" / "team.npz"
            gallery.export(file)
            before = file.read_bytes()
            gallery.enroll("Bob", vectors(2000, 128, "a"), sources(2000))
            with pytest.raises(GalleryError, match=r"team.npz: cannot be written .*No space left.*; check") as caught:
                gallery.export(file)
            assert "\n" not in str(caught.value)
            assert file.read_bytes() == before
            assert os.listdir(file.parent) == ["team.npz"]


def contents(path: Path) -> object:
    with Gallery.open(path) as gallery:
        held = gallery.embeddings()
        return gallery.space, gallery.people(), held[0], held[1].vectors.tolist()


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "team.gallery"
    with Gallery.open(path, space="model:0123456789ab", create=True) as gallery:
        for number, name in enumerate(("Ada", "Bob", "Eve")):
            given = vectors(4, 64, gallery.space, seed=number)
            gallery.enroll(name, given, sources(4, first=4 * number))
    return path


def verdict(path: Path) -> list[str]:
    """Return what opening and checking say."""
    try:
        with Gallery.open(path) as gallery:
            return gallery.check()
    except GalleryError as error:
        return [str(error)]


def test_each_byte_that_is_altered_is_found_or_holds_nothing(sound: Path, tmp_path: Path) -> None:
    before, expected = sound.read_bytes(), contents(sound)
    rng = np.random.default_rng(0)
    found = 0
    for number, place in enumerate(rng.permutation(len(before))[:400]):
        altered = bytearray(before)
        altered[place] ^= 1 << int(rng.integers(8))
        damaged = tmp_path / f"{number}.gallery"
        damaged.write_bytes(altered)
        problems = verdict(damaged)
        assert all("\n" not in problem for problem in problems)
        assert problems or contents(damaged) == expected, f"byte {place} was altered and nobody noticed"
        found += bool(problems)
    assert found > 400 * 12 * 64 * 4 // len(before) // 2  # half the share of the vectors alone: it is a sample


def test_an_altered_embedding_is_named_with_what_to_do(sound: Path) -> None:
    content = sound.read_bytes()
    place = content.index(vectors(4, 64, "a", seed=1).vectors[2].tobytes())
    sound.write_bytes(content[: place + 7] + bytes([content[place + 7] ^ 1]) + content[place + 8 :])
    with Gallery.open(sound) as gallery:
        assert gallery.check() == ["'Bob', 6.jpg: its bytes were altered; remove the person and enrol again"]
        with pytest.raises(GalleryError, match="holds damaged embeddings, the first of 'Bob'; run gallery check"):
            gallery.embeddings()
        gallery.remove("Bob")  # the remedy
        assert gallery.check() == []
        assert gallery.embeddings()[0] == ["Ada"] * 4 + ["Eve"] * 4


def test_a_file_that_was_cut_off_is_found(sound: Path) -> None:
    sound.write_bytes(sound.read_bytes()[:-4096])
    [problem] = verdict(sound)
    assert problem == f"{sound}: is damaged; restore an export or a copy"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO people VALUES (9, 'Joe', 'now')", "'Joe': has no embedding"),
        ("DELETE FROM embeddings WHERE person = 1", "'Ada': has no embedding"),
        ("DELETE FROM people WHERE id = 2", "its person is missing"),
        ("UPDATE gallery SET space = 'model:x'", "gallery 'model:x': its bytes were altered"),
        ("UPDATE embeddings SET source = 'x.jpg' WHERE id = 1", "'Ada', x.jpg: its bytes were altered"),
    ],
)
def test_changes_by_other_programs_are_found(sound: Path, statement: str, words: str) -> None:
    connection = sqlite3.connect(sound)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with Gallery.open(sound) as gallery:
        assert any(words in problem for problem in gallery.check())


def test_a_sound_gallery_has_no_problems(sound: Path) -> None:
    with Gallery.open(sound) as gallery:
        assert gallery.check() == []
