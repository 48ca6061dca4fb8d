"""How the file of a gallery is opened, and how it is known to be the same file still."""

from __future__ import annotations

import glob
import os
import sqlite3
import stat
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from facereg.disk.replacing import PRIVATE
from facereg.errors import GalleryError, words_of

WAIT_S = 30.0  # for another writer
LARGEST_ROW = 1 << 20  # bytes: four times the longest vector; a foreign file may say a row has a gigabyte
FAILURES = (sqlite3.Error, UnicodeDecodeError)  # the second where SQLite's words quote damaged text
RACY_NS = 2_500_000_000  # a file's time may be this coarse (FAT: 2 s): what is newer may change and not show it
NO_ROOM = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMMAP)  # for `-shm`
Mode = Literal["ro", "rw", "immutable"]


def connect(path: Path, mode: Mode) -> sqlite3.Connection:
    """Open a database as one that somebody else may have made.

    What the file's schema names is not trusted, sizes of cells are checked, what is deleted is overwritten, and nothing
    goes to temporary files.

    Raises:
        sqlite3.Error: if it cannot be opened.
    """
    how = "immutable=1" if mode == "immutable" else f"mode={mode}"
    address = f"file://{quote(os.fsencode(os.path.abspath(path)))}?{how}"
    connection = sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_ROW)
        for pragma in (
            *("trusted_schema = OFF", "cell_size_check = ON", "secure_delete = ON", "temp_store = MEMORY"),
            *("mmap_size = 0", "foreign_keys = ON"),
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Open a database read-only, from a read-only disk, a full one or another user's folder too.

    Returns:
        the connection, and whether it takes the file for one that nobody changes.
    Raises:
        GalleryError: if it is no file, changes lie in a log beside it that cannot be read from here, or a journal that
            no gallery has waits to be put into it.
        sqlite3.Error: if it cannot be opened or is no database.
    """
    if not path.is_file():  # a pipe would wait for ever
        raise GalleryError("cannot be opened; check the path, which is no file")
    connection = connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection, False
    except sqlite3.OperationalError as error:
        connection.close()
        full = error.sqlite_errorcode in NO_ROOM
        if not full and error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            raise GalleryError(
                f"{path}: the journal {companions(path)[2].name} beside it is another gallery's, or "
                "of a program that was ended while it wrote: the next change would put it into the file; move it "
                "away, then run 'facereg gallery check'"
            ) from error
        if log_size(path):
            remedy = "let its owner run 'facereg gallery check', or export it"
            without = "room on the disk; make some" if full else f"the right to write beside it; {remedy}"
            raise GalleryError(
                f"{path}: changes lie in its log {log_of(path).name}, which cannot be read without {without}"
            ) from error
    except BaseException:
        connection.close()
        raise
    connection = connect(path, "immutable")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection, True


def make_file(path: Path) -> None:
    """Make an empty file, its owner's alone, unless there is one: the files beside it get its rights.

    Raises:
        OSError: if it cannot be made.
    """
    with suppress(FileExistsError):  # a link may lead to where there is no file yet
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))


def log_of(path: Path) -> Path:
    """Return where the last changes lie while programs have the file open; a link's is beside what it leads to."""
    return Path(os.path.realpath(path) + "-wal")


def companions(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside a database."""
    target = os.path.realpath(path)
    return [Path(target + ending) for ending in ("-wal", "-shm", "-journal")]


def kept_beside(path: Path, kind: str) -> Path:
    """Return the file in which a matcher of that kind keeps what it holds; see `facereg.gallery.keeping`."""
    return Path(f"{os.path.realpath(path)}.{kind}.index")


def remove_kept(path: Path) -> None:
    """Remove what matchers kept beside a gallery, as somebody in it was removed.

    Raises:
        OSError: if the folder may not be written.
    """
    target = Path(os.path.realpath(path))
    for file in target.parent.glob(f"{glob.escape(target.name)}.*.index"):
        with suppress(IsADirectoryError):  # not ours
            file.unlink(missing_ok=True)


def require_one_name(path: Path) -> None:
    """Raise GalleryError where a file has several names (hard links).

    A change would reach a copy that was made so, and each name would have a log of its own.
    """
    if path.stat().st_nlink > 1:
        raise GalleryError(
            "has another name too (a hard link), which a change would reach as well; make a copy of its own with "
            "'facereg gallery restore'"
        )


def log_size(path: Path) -> int:
    """Return the bytes of the log; 0 where there is none."""
    try:
        return log_of(path).stat().st_size
    except OSError:
        return 0


def is_database(path: Path) -> bool:
    """Tell whether a file is a database.

    SQLite is asked: a file that is opened otherwise, and closed, loses the locks that this process holds on it.
    """
    with suppress(sqlite3.Error), closing(connect(path, "immutable")) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return True
    return False


def tidy(path: Path) -> None:
    """Let SQLite take away the empty log that a reader leaves, which may not write and so not remove it."""
    with_journal = companions(path)[2].exists()  # which would be put into the file
    if log_of(path).exists() and log_size(path) == 0 and not with_journal and os.access(path, os.W_OK):
        with suppress(sqlite3.Error), closing(connect(path, "rw")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


@dataclass(frozen=True, slots=True)
class Place:
    """Which file lies at a path: another one moved there is another, by the same name."""

    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Place:
        """Return the place of the file at a path.

        Raises:
            GalleryError: if there is none.
        """
        try:
            found = path.stat()
        except OSError as error:
            raise GalleryError(
                f"{path}: the gallery was moved or removed while it was open ({error.strerror}); nothing is read from "
                "it or written to it any more; bring it back with 'facereg gallery restore'"
            ) from error
        return cls(found.st_dev, found.st_ino)

    def require(self, path: Path) -> None:
        """Raise GalleryError unless the same file lies there still, or nobody may look whether it does."""
        try:
            found = Place.of(path)
        except GalleryError as error:
            if isinstance(error.__cause__, PermissionError):  # rights given up since: the open file is still ours
                return
            raise
        if found != self:
            raise GalleryError(
                f"{path}: another file was moved here while the gallery was open; nothing is read or written any more; "
                "open it again, and put galleries in place with 'facereg gallery restore'"
            )


@dataclass(frozen=True, slots=True)
class Signature:
    """The sizes and times of a gallery's files: while they are the same, and old enough, nothing was changed."""

    files: tuple[tuple[int, int, int, int] | None, ...]
    taken_ns: int

    @classmethod
    def of(cls, path: Path) -> Signature:
        """Return the signature of now; take it before what it stands for is read."""
        taken = time.time_ns()
        files: list[tuple[int, int, int, int] | None] = []
        for file in (path, log_of(path)):
            try:
                found = file.stat()
                files.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
            except OSError:
                files.append(None)
        return cls(tuple(files), taken)

    def still(self, path: Path) -> bool:
        """Tell whether nothing can have changed since."""
        newest = max((max(file[2:]) for file in self.files if file is not None), default=0)
        return self.taken_ns - newest > RACY_NS and Signature.of(path).files == self.files


def log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, so that readers go on while one writes.

    Where another connection is about to do the same SQLite refuses at once, whatever its timeout: ask again.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def empty_log(connection: sqlite3.Connection) -> bool:
    """Write the log into the file and cut it to nothing, so that what was removed is in neither; tell whether it was.

    Readers in the middle of reading keep it from being cut; they are waited for.
    """
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def readable_by_others(path: Path) -> str:
    """Return the rights of a file that others than its owner may read, as `0644`; nothing where they may not."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"{mode:04o}" if mode & 0o077 else ""


def reason_of(error: Exception) -> str:
    """Return what an error of SQLite's means for the gallery, and what to do."""
    text = words_of(error)
    for words, meaning in (
        ("not a database", "this is no gallery but another kind of file; check the path"),
        ("disk is full", "the disk is full; make room and try again"),
        ("disk I/O error", "the disk refused to be read or written; make room, check it, and try again"),
        ("unable to open", "cannot be opened; check that its folder exists and may be written"),
        ("readonly", "may not be written; change its rights"),
        ("locked", f"another program has been writing for over {WAIT_S:.0f} s; try again"),
        *((words, "is damaged; restore an export or a copy") for words in ("malformed", "decode", "no such")),
        ("too big", f"holds a row of more than {LARGEST_ROW:,} bytes; restore an export or a copy"),
        ("closed database", "this gallery is closed; open it again"),
    ):
        if words in text:
            return meaning
    return text
