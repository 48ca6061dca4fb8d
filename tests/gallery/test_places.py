"""Galleries moved, copied and removed while they are in use; read-only disks; what restores and rebuilds them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from facereg.errors import GalleryError
from facereg.gallery import Gallery, Source, rebuild_gallery, restore_gallery
from facereg.testing.pictures import vectors
from tests.rights import folder_with

DIM = 16
KEY = b"sixteen bytes or more"


def source(number: int) -> Source:
    return Source(f"{number}.jpg", f"{number:064x}")


def make(path: Path, *names: str, key: bytes | None = None) -> None:
    with Gallery.open(path, space="a", create=True, key=key) as gallery:
        for name in names:
            seed = sum(map(ord, name))
            gallery.enroll(name, vectors(2, DIM, "a", seed=seed), [source(seed), source(seed + 1)])


def names(path: Path, key: bytes | None = None) -> list[str]:
    with Gallery.open(path, key=key) as gallery:
        return [person.name for person in gallery.people()]


def enroll(gallery: Gallery, name: str = "New") -> None:
    gallery.enroll(name, vectors(1, DIM, "a", seed=99), [source(9)])


@pytest.fixture
def team(tmp_path: Path) -> Path:
    make(tmp_path / "team", "Ada", "Bob")
    return tmp_path / "team"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    make(tmp_path / "other", "Eve", "Zoe", "Ira")
    return tmp_path / "other"


def moved_over(other: Path, team: Path) -> None:
    os.replace(other, team)


def copied_over(other: Path, team: Path) -> None:
    shutil.copyfile(other, team)


def unlinked(other: Path, team: Path) -> None:
    team.unlink()


def moved_away(other: Path, team: Path) -> None:
    team.rename(team.with_name("away"))


@pytest.mark.parametrize("writes_first", [False, True], ids=["reader", "writer"])
@pytest.mark.parametrize("happens", [moved_over, copied_over, unlinked, moved_away])
def test_nothing_is_read_or_confirmed_once_the_file_is_another(
    team: Path, other: Path, happens: Callable[[Path, Path], None], writes_first: bool
) -> None:
    before = other.read_bytes()
    with Gallery.open(team, space="a") as gallery:
        if writes_first:
            enroll(gallery, "First")
        assert gallery.people()
        happens(other, team)
        for call in (gallery.people, gallery.embeddings, lambda: enroll(gallery), lambda: gallery.remove("Ada")):
            with pytest.raises(GalleryError, match="team: "):
                call()
    if happens in (moved_over, copied_over):
        assert team.read_bytes() == before  # the one put there is whole, after the other was closed too
        team.with_name("team-wal").unlink(missing_ok=True)  # the old one's, which is refused
        assert names(team) == ["Eve", "Ira", "Zoe"]


@contextmanager
def log_left(team: Path) -> Iterator[bytes]:
    """Yield the log that a killed writer leaves beside its gallery."""
    with Gallery.open(team, space="a") as writer:
        enroll(writer, "Late")
        yield team.with_name("team-wal").read_bytes()


def test_the_log_of_another_gallery_is_not_taken_into_a_file(team: Path, other: Path) -> None:
    with log_left(team) as log:
        pass
    before = other.read_bytes()
    os.replace(other, team)
    team.with_name("team-wal").write_bytes(log)
    for call in (lambda: names(team), lambda: Gallery.open(team, space="a", create=True)):
        with pytest.raises(GalleryError, match="the log team-wal beside it belongs to another gallery"):
            call()
    assert team.read_bytes() == before
    team.with_name("team-wal").unlink()
    assert names(team) == ["Eve", "Ira", "Zoe"]


def journal_left(other: Path) -> bytes:
    """Return the journal that a program leaves which is ended while it changes a gallery without a log."""
    connection = sqlite3.connect(other, isolation_level=None)
    for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA cache_size = 1", "BEGIN IMMEDIATE"):
        connection.execute(statement)
    connection.execute("UPDATE embeddings SET source = source || 'x'")
    connection.execute("CREATE TABLE more AS SELECT randomblob(100000)")  # more than the cache holds: it is written out
    journal = other.with_name(f"{other.name}-journal").read_bytes()
    connection.execute("ROLLBACK")
    connection.close()
    return journal


def test_the_journal_of_another_gallery_is_not_put_into_a_file(team: Path, other: Path) -> None:
    journal, before = journal_left(other), team.read_bytes()
    with Gallery.open(team, space="a") as gallery:
        team.with_name("team-journal").write_bytes(journal)
        with pytest.raises(GalleryError, match="team: the journal team-journal beside it is another gallery's"):
            enroll(gallery)
    for call in (lambda: names(team), lambda: Gallery.open(team, space="a", create=True)):
        with pytest.raises(GalleryError, match="team: the journal team-journal beside it is another gallery's"):
            call()
    assert team.read_bytes() == before
    team.with_name("team-journal").unlink()
    assert names(team) == ["Ada", "Bob"]


def test_a_later_log_over_an_old_copy_gives_no_third_state(team: Path, tmp_path: Path) -> None:
    with Gallery.open(team, space="a") as gallery:
        for number in range(30):
            gallery.enroll(
                f"P{number}", vectors(3, DIM, "a", seed=number), [source(100 + 3 * number + n) for n in range(3)]
            )
    backup = tmp_path / "backup"
    shutil.copy(team, backup)
    with Gallery.open(team, space="a") as gallery:
        for number in range(0, 30, 2):
            gallery.remove(f"P{number}")
    with log_left(team) as log:
        pass
    late = names(team)
    shutil.copy(backup, team)
    team.with_name("team-wal").write_bytes(log)
    try:
        found = names(team)
    except GalleryError as error:
        found = []
        assert "team: " in str(error)  # noqa: PT017
    assert found in ([], late, names(backup))


def test_restoring_replaces_a_gallery_and_its_log(team: Path, other: Path) -> None:
    with log_left(team) as log:
        pass
    team.with_name("team-wal").write_bytes(log)
    assert restore_gallery(other, team) == 3
    assert names(team) == names(other) == ["Eve", "Ira", "Zoe"]
    assert sorted(os.listdir(team.parent)) == ["other", "team"]


@pytest.mark.parametrize(
    "old", [b"", b"no database, longer than the header of one " * 30, None], ids=["empty", "text", "none"]
)
def test_restoring_replaces_what_is_no_gallery_too(tmp_path: Path, other: Path, old: bytes | None) -> None:
    if old is not None:
        (tmp_path / "x").write_bytes(old)
    restore_gallery(other, tmp_path / "x")
    assert names(tmp_path / "x") == ["Eve", "Ira", "Zoe"]


def test_restoring_tells_who_has_the_old_one_open(team: Path, other: Path) -> None:
    with Gallery.open(team, space="a") as reader, Gallery.open(team, space="a") as writer:
        enroll(writer)
        restore_gallery(other, team)
        for call in (reader.people, lambda: enroll(writer, "Lost")):
            with pytest.raises(GalleryError, match="another file was moved here while the gallery was open"):
                call()
    assert names(team) == ["Eve", "Ira", "Zoe"]


def test_restoring_waits_for_a_writer_and_then_says_so(
    team: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facereg.gallery.files.WAIT_S", 0.05)
    connection = sqlite3.connect(team, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(GalleryError, match="another program is writing to it"):
        restore_gallery(other, team)
    connection.close()
    assert names(team) == ["Ada", "Bob"]


def test_a_backup_may_be_an_export_or_have_changes_in_its_log(team: Path, tmp_path: Path) -> None:
    with Gallery.open(team, space="a") as gallery:
        gallery.export(tmp_path / "team.npz")
        enroll(gallery)
        restore_gallery(team, tmp_path / "one")
        restore_gallery(tmp_path / "team.npz", tmp_path / "two")
    assert names(tmp_path / "one") == ["Ada", "Bob", "New"]
    assert names(tmp_path / "two") == ["Ada", "Bob"]


def test_a_damaged_backup_changes_nothing(team: Path, other: Path, tmp_path: Path) -> None:
    with sqlite3.connect(other) as connection:
        connection.execute("UPDATE people SET name = 'x' WHERE id = 1")
    connection.close()
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 cut off")
    for backup in (other, tmp_path / "cut.npz", tmp_path / "nothing", tmp_path):
        with pytest.raises(GalleryError):
            restore_gallery(backup, team)
    with pytest.raises(GalleryError, match="expected another file than the backup itself"):
        restore_gallery(team, team)
    assert names(team) == ["Ada", "Bob"]
    assert sorted(os.listdir(tmp_path)) == ["cut.npz", "other", "team"]


def test_rebuilding_keeps_what_is_sound_and_names_the_rest(other: Path, tmp_path: Path) -> None:
    with sqlite3.connect(other) as connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(64) WHERE id = 1")
        connection.execute("DELETE FROM embeddings WHERE id = 4")
    connection.close()
    before = other.read_bytes()
    done = rebuild_gallery(other, tmp_path / "new")
    assert (done.embeddings, done.people) == (4, 3)
    assert [line.partition(";")[0] for line in done.left_out] == [
        f"'Eve', {sum(map(ord, 'Eve'))}.jpg: its bytes were altered",
        "1 embeddings are missing",
    ]
    assert other.read_bytes() == before
    with Gallery.open(tmp_path / "new") as gallery:
        assert gallery.check() == []
        assert [person.embeddings for person in gallery.people()] == [1, 2, 1]
    with pytest.raises(GalleryError, match="new: is there already"):
        rebuild_gallery(other, tmp_path / "new")


def test_rebuilding_reads_around_a_broken_page(tmp_path: Path) -> None:
    path = tmp_path / "team"
    make(path, *(f"Person {number:03d}" for number in range(100)))
    content = bytearray(path.read_bytes())
    place = content.index(vectors(2, DIM, "a", seed=sum(map(ord, "Person 050"))).vectors[0].tobytes())
    page = place // 4096 * 4096
    content[page : page + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(GalleryError):
        names(path)
    done = rebuild_gallery(path, tmp_path / "new")
    assert 100 < done.embeddings < 200
    assert done.left_out
    assert set(names(tmp_path / "new")) <= {f"Person {number:03d}" for number in range(100)}


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT "


@pytest.mark.parametrize(
    ("table", "select"),
    [
        ("embeddings", "x id, 1 person, x'00' vector, '' source, '' sha256, '' created, x'00' seal FROM n"),
        ("people", "x id, 'n' || x name, '' created FROM n"),
        ("gallery", "kept.* FROM n, kept WHERE x < 0"),
    ],
)
def test_rebuilding_runs_no_view(team: Path, tmp_path: Path, table: str, select: str) -> None:
    with sqlite3.connect(team) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO kept")
        connection.execute(f"CREATE VIEW {table} AS {ENDLESS}{select}")
    connection.close()
    with pytest.raises(GalleryError, match="its tables are not a gallery's"):
        rebuild_gallery(team, tmp_path / "new")


def test_rebuilding_gives_a_gallery_a_key_or_another(team: Path, tmp_path: Path) -> None:
    rebuild_gallery(team, tmp_path / "keyed", key=KEY)
    assert names(tmp_path / "keyed", KEY) == ["Ada", "Bob"]
    with pytest.raises(GalleryError, match="keyed: is sealed with another key than the old one given"):
        rebuild_gallery(tmp_path / "keyed", tmp_path / "x", key=KEY)
    rebuild_gallery(tmp_path / "keyed", tmp_path / "other", old_key=KEY, key=2 * KEY)
    assert names(tmp_path / "other", 2 * KEY) == ["Ada", "Bob"]
    assert not (tmp_path / "x").exists()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder a read-only disk, or skip where that is not allowed."""
    bound = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip("mounting needs root; another user's folder is tested beside this")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_gallery_on_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    make(folder / "team", "Ada")
    with read_only(folder):
        reads_and_refuses_to_write(folder / "team")
        assert os.listdir(folder) == ["team"]


def reads_and_refuses_to_write(path: Path) -> None:
    with Gallery.open(path, space="a") as gallery:
        assert [person.name for person in gallery.people()] == ["Ada"]
        assert gallery.check() == []
        with pytest.raises(GalleryError, match="nothing was changed"):
            enroll(gallery)
        assert [person.name for person in gallery.people()] == ["Ada"]


def test_a_gallery_in_another_users_folder_can_be_read() -> None:
    with folder_with(0o755) as folder:
        make(folder / "team", "Ada")
        folder.chmod(0o555)
        reads_and_refuses_to_write(folder / "team")


def test_a_log_that_cannot_be_read_is_said() -> None:
    with folder_with(0o755) as folder:
        make(folder / "team", "Ada")
        with log_left(folder / "team") as log:
            pass
        (folder / "team-wal").write_bytes(log)
        folder.chmod(0o555)
        with pytest.raises(GalleryError, match="changes lie in its log team-wal, which cannot be read"):
            names(folder / "team")


def test_a_reader_of_a_read_only_disk_sees_what_its_owner_changes() -> None:
    with folder_with(0o755) as folder:
        path = folder / "team"
        make(path, "Ada")
        folder.chmod(0o555)
        with Gallery.open(path) as gallery:
            assert len(gallery) == 1
            folder.chmod(0o755)
            make(path, "Bob")
            folder.chmod(0o555)
            assert [person.name for person in gallery.people()] == ["Ada", "Bob"]


def test_readers_leave_nothing_beside_the_file(team: Path) -> None:
    assert names(team) == ["Ada", "Bob"]
    assert os.listdir(team.parent) == ["team"]


def test_a_link_to_a_gallery_is_followed(team: Path, other: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link"
    link.symlink_to(team)
    make(link, "Cid")
    assert names(team) == ["Ada", "Bob", "Cid"]
    restore_gallery(other, link)
    assert link.is_symlink()
    assert names(team) == ["Eve", "Ira", "Zoe"]


@pytest.mark.parametrize("name", ["a?b#c%20d&e.gallery", "file:x?mode=memory", "with space", "Zo\u00eb", "x'y\"z"])
def test_a_path_is_a_path_whatever_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path(name), "Ada")
    assert names(tmp_path / name) == ["Ada"]
    assert restore_gallery(name, "copy") == 1
    assert sorted(os.listdir(tmp_path)) == sorted([name, "copy"])


def test_a_link_to_where_no_gallery_is_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "there")
    make(tmp_path / "link", "Ada")
    assert names(tmp_path / "there") == ["Ada"]
    assert (tmp_path / "link").is_symlink()


def test_copying_a_gallery_takes_no_lock_from_who_has_it_open(team: Path, tmp_path: Path) -> None:
    """A file that is opened and closed beside SQLite loses the locks of the whole process: the log goes under it."""
    with Gallery.open(team, space="a") as gallery:
        enroll(gallery, "First")
        restore_gallery(team, tmp_path / "copy")
        words = f"from facereg.gallery import Gallery; Gallery.open({str(team)!r}, space='a').remove('First')"
        subprocess.run([sys.executable, "-c", words], check=True)  # the last to close would remove the log
        assert team.with_name("team-wal").exists()
        enroll(gallery, "Second")
    assert names(team) == ["Ada", "Bob", "Second"]


def test_a_row_of_a_gigabyte_is_not_read(team: Path) -> None:
    with sqlite3.connect(team) as connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(20000000) WHERE id = 1")
    connection.close()
    with pytest.raises(GalleryError, match="team: holds a row of more than 1,048,576 bytes"):
        names(team)


def test_a_gallery_with_two_names_is_not_changed(team: Path, tmp_path: Path) -> None:
    os.link(team, tmp_path / "backup")
    with Gallery.open(team, space="a") as gallery:
        assert len(gallery) == 2
        with pytest.raises(GalleryError, match="team: has another name too .a hard link."):
            enroll(gallery)
        restore_gallery(tmp_path / "backup", tmp_path / "own")
    assert names(tmp_path / "own") == names(tmp_path / "backup") == ["Ada", "Bob"]


def test_an_export_does_not_replace_its_gallery(team: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(team)
    with Gallery.open(team, space="a") as gallery:
        enroll(gallery)
        for file in (team, tmp_path / "link", tmp_path / "team-wal"):
            with pytest.raises(GalleryError, match="expected another file than the gallery itself"):
                gallery.export(file)
    assert names(team) == ["Ada", "Bob", "New"]


def test_a_place_where_nothing_can_be_put_is_named(team: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "x", team / "x"):
        with pytest.raises(GalleryError, match=f"{path}: cannot be written"):
            restore_gallery(team, path)
    assert sorted(os.listdir(tmp_path)) == ["folder", "team"]
