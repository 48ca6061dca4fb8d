"""A removed person: in no byte of the files, and named by no matcher that was filled before."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, restore_gallery
from facereg.gallery import files as files_module
from facereg.pipeline.videos import Tracker
from facereg.testing.pictures import vectors
from facereg.types import Embeddings, FloatArray, Match
from tests.gallery.conftest import Place

DIM = 32


def source(number: int) -> Source:
    return Source(f"folder/{number}.jpg", f"{number:064x}")


def crowd(place: Place) -> Place:
    """Make a gallery of 60 people, put in so that pages are split and joined."""
    rng = np.random.default_rng(0)
    with Gallery.open(place, space="a", create=True) as gallery:
        for person in rng.permutation(60):
            count = int(rng.integers(1, 6))
            given = vectors(count, DIM, "a", seed=int(person))
            gallery.enroll(f"Person-{person:02d}", given, [source(10 * int(person) + n) for n in range(count)])
    return place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(crowd(tmp_path / "team.gallery"))


@pytest.fixture
def stored(place: Place) -> Place:
    """A gallery in each store."""
    return crowd(place)


def everything(path: Path) -> bytes:
    """Return all bytes of the gallery's folder: the file, its log, and whatever else lies there."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


@pytest.mark.parametrize("secure", ["as built", "off"])
def test_a_removed_person_is_in_no_byte(path: Path, secure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sqlite3.connect

    def connect(*args: object, **options: object) -> sqlite3.Connection:  # SQLite's own default; ours comes after
        connection: sqlite3.Connection = real(*args, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    if secure == "off":
        monkeypatch.setattr(sqlite3, "connect", connect)
    rng = np.random.default_rng(1)
    with Gallery.open(path, space="a") as gallery, Gallery.open(path) as reader:  # the log stays while one reads
        for person in rng.permutation(60)[:45]:
            name = f"Person-{person:02d}"
            given = vectors(5, DIM, "a", seed=int(person)).vectors[: gallery.person(name).embeddings]
            assert name.encode() in everything(path)
            gallery.remove(name)
            held = everything(path)
            assert name.encode() not in held
            assert not [row for row in given if row.tobytes() in held]
            assert len(reader) == len(gallery)
    assert len(os.listdir(path.parent)) == 1


def test_an_old_name_is_in_no_byte(path: Path) -> None:
    with Gallery.open(path, space="a") as gallery:
        gallery.rename("Person-17", "Ada")
        assert b"Person-17" not in everything(path)
        assert gallery.check() == []


def test_a_reader_that_keeps_the_log_is_said_and_check_empties_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "WAIT_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM people").fetchone()
        with Gallery.open(path, space="a") as gallery:
            with pytest.raises(
                GalleryError, match="'Person-03' is gone from the gallery, but another program reads it"
            ):
                gallery.remove("Person-03")
            other.execute("COMMIT")
            with Gallery.open(path) as checked:
                assert checked.check() == []
            assert b"Person-03" not in everything(path)


@pytest.fixture
def matcher() -> Iterator[ExactMatcher]:
    with ExactMatcher(threshold=0.9) as made:
        yield made


def first(matcher: ExactMatcher, probes: Embeddings, *, k: int = 5) -> Match:
    return next(iter(matcher.match(probes, k=k)))


@pytest.mark.parametrize("closed", [False, True], ids=["open gallery", "closed gallery"])
def test_a_matcher_names_nobody_who_was_removed(stored: Place, matcher: ExactMatcher, closed: bool) -> None:
    [ada, bob, eve] = [vectors(1, DIM, "a", seed=seed) for seed in (100, 101, 102)]
    with Gallery.open(stored, space="a") as gallery:
        gallery.enroll("Ada", ada, [source(1000)])
        gallery.enroll("Bob", bob, [source(1001)])
    reader = Gallery.open(stored, space="a")
    reader.fill(matcher)
    if closed:
        reader.close()
    for _ in range(3):  # at once, and again
        assert first(matcher, ada).label == "Ada"
    with Gallery.open(stored, space="a") as gallery:
        gallery.remove("Ada")
        assert first(matcher, ada).label is None
        gallery.enroll("Eve", eve, [source(1002)])
        assert first(matcher, eve).label == "Eve"
        gallery.rename("Bob", "Robert")
        assert first(matcher, bob).label == "Robert"
        gallery.enroll("Robert", ada, [source(1003)])
        assert first(matcher, ada).label is None  # the template of two
    assert len(matcher) == 62
    reader.close()


def test_a_track_in_a_video_is_named_no_more_once_the_person_is_removed(stored: Place, matcher: ExactMatcher) -> None:
    given, tracker = vectors(1, DIM, "a", seed=7), Tracker()
    with Gallery.open(stored, space="a") as gallery:
        name = "Person-07"
        while gallery.person(name).embeddings > 1:
            gallery.remove(name)
            gallery.enroll(name, given, [source(3000)])
        gallery.fill(matcher)
        for frame in range(20):
            expected = name if frame < 10 else None
            assert tracker.name([0], matcher.match(given)) == [expected]
            if frame == 9:
                gallery.remove(name)


def test_a_change_by_another_process_is_seen_at_the_next_match(stored: Place, matcher: ExactMatcher) -> None:
    given = vectors(1, DIM, "a", seed=7)
    with Gallery.open(stored, space="a") as gallery:
        gallery.fill(matcher)
        known = first(matcher, given).candidates[0][0]
        words = f"from facereg.gallery import Gallery; Gallery.open({str(stored)!r}).remove({known!r})"
        subprocess.run([sys.executable, "-c", words], check=True)
        assert known not in [name for name, _ in first(matcher, given, k=100).candidates]


def test_threads_that_match_meanwhile_see_nobody_half_brought_up(stored: Place) -> None:
    ada = vectors(1, DIM, "a", seed=100)
    stop, seen = threading.Event(), set()
    with Gallery.open(stored, space="a") as gallery, ExactMatcher(threshold=-1.0) as matcher:
        gallery.enroll("Ada", ada, [source(1000)])
        gallery.fill(matcher)

        def look() -> None:
            while not stop.is_set():
                seen.add(first(matcher, ada).label)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            gallery.rename("Ada", "Anna")
            gallery.rename("Anna", "Ada")
        stop.set()
        for thread in threads:
            thread.join()
    assert seen <= {"Ada", "Anna"}


def test_a_gallery_that_is_gone_or_another_ends_matching(path: Path, matcher: ExactMatcher, tmp_path: Path) -> None:
    probe = vectors(1, DIM, "a", seed=7)
    with Gallery.open(path, space="a") as gallery:
        gallery.fill(matcher)
    with Gallery.open(tmp_path / "other", space="a", create=True) as other:
        other.enroll("Mallory", probe, [source(1)])
    path.rename(tmp_path / "away")
    with pytest.raises(GalleryError, match="the gallery was moved or removed while it was open"):
        matcher.match(probe)
    restore_gallery(tmp_path / "other", path)
    with pytest.raises(GalleryError, match="another gallery lies here now; fill the matcher from it anew"):
        matcher.match(probe)
    restore_gallery(tmp_path / "away", path)
    assert first(matcher, probe).label == "Person-07"


def test_a_matcher_that_does_not_follow_keeps_what_it_was_given(path: Path, matcher: ExactMatcher) -> None:
    with Gallery.open(path, space="a") as gallery:
        gallery.fill(matcher, follow=False)
    path.unlink()
    assert len(matcher.match(vectors(1, DIM, "a"))) == 1


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_holds_vectors_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = tmp_path / "team.gallery"
        with Gallery.open(path, space="a", create=True) as gallery:
            gallery.enroll("Ada", vectors(1, DIM, "a"), [source(1)])
            assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
            assert len(os.listdir(tmp_path)) == 3  # the log and its index among them
            gallery.export(tmp_path / "team.npz")
        restore_gallery(path, tmp_path / "copy.gallery")
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
        path.chmod(0o640)  # its owner's decision
        restore_gallery(tmp_path / "copy.gallery", path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


class Forgetful(ExactMatcher):
    """Of a plugin that writes an __init__ of its own and calls the exact matcher's alone, not the role's."""

    def __init__(self) -> None:
        self._inner = ExactMatcher(threshold=0.9)
        self.threshold = 0.9

    def __len__(self) -> int:
        return len(self._inner)

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        self._inner._add(labels, vectors)

    def _remove(self, label: str) -> int:
        return self._inner._remove(label)

    def _match(self, probes: FloatArray, k: int) -> tuple[list[tuple[str, ...]], FloatArray]:
        return self._inner._match(probes, k)


def test_a_matcher_that_forgets_the_librarys_init_follows_too(path: Path) -> None:
    matcher, probe = Forgetful(), vectors(1, DIM, "a", seed=7)
    with Gallery.open(path, space="a") as gallery:
        gallery.fill(matcher)
        assert first(matcher, probe).candidates[0][0] == "Person-07"
        gallery.remove("Person-07")
    assert "Person-07" not in [name for name, _ in first(matcher, probe, k=100).candidates]
    assert ExactMatcher.changes == Forgetful.changes == 0
