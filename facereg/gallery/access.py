"""An open gallery file: transactions to read and to change it; each looks whether it is that file still."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import RLock

from facereg.errors import FaceregError, GalleryError, SpaceMismatchError
from facereg.gallery.changing import Change
from facereg.gallery.checking import structure_problems
from facereg.gallery.contract import Store
from facereg.gallery.files import (
    FAILURES,
    Place,
    Signature,
    connect,
    empty_log,
    kept_beside,
    log_of,
    log_size,
    open_to_read,
    readable_by_others,
    reason_of,
    remove_kept,
    require_one_name,
    tidy,
)
from facereg.gallery.migration import migrate
from facereg.gallery.rows import Connection, Row, State
from facereg.gallery.schema import VERSION, make_tables, schema_version
from facereg.gallery.seals import Sealer
from facereg.gallery.tables import make_database
from facereg.names import Address


class Access(Store):
    """A gallery's file, opened to read until the first change; see `Gallery`."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        super().__init__(Address.of(path), sealer)
        self.path = path
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._writable = self._looked = False
        self._own: Signature | None = None  # of the files when the gallery's own id was last seen in them
        self._frozen: Signature | None = None  # set where the connection does not see what others change
        self._open()

    def _open(self) -> None:
        """Open the file to read; take up what it says of itself."""
        self._place = Place.of(self.path)
        with named(self.path):
            _require_own_log(self.path)
            signature = Signature.of(self.path)
            connection, alone = open_to_read(self.path)
            try:
                if schema_version(connection) != VERSION:
                    connection = migrated_copy(connection, self.sealer)
                    alone = True
                self._take_up(State.read(connection))
            except BaseException:
                connection.close()
                raise
        self._connection, self._frozen = connection, signature if alone else None
        self._place.require(self.path)

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        with self._lock:
            if self._connection is not None:
                with self._keeping_another():
                    self._connection.close()
                self._connection = None
                if not self._writable:
                    tidy(self.path)

    @contextmanager
    def _keeping_another(self) -> Iterator[None]:
        """Keep SQLite from writing the log, as the last to close does, into a gallery that was copied over this one."""
        with ExitStack() as held:
            if self._writable and id_in_file(self.path) not in ("", self.id):
                with suppress(sqlite3.Error):
                    reader = held.enter_context(closing(connect(self.path, "ro")))
                    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield

    def again(self) -> closing[Access]:
        return closing(Access(self.path, self.sealer))

    def mark(self) -> Signature:
        """Return sizes and times of the files."""
        return Signature.of(self.path)

    def stands(self, mark: object) -> bool:
        return isinstance(mark, Signature) and mark.still(self.path)

    def beside(self, kind: str) -> Path:
        return kept_beside(self.path, kind)

    def exposure(self) -> str:
        rights = readable_by_others(self.path)
        return rights and f"others may read it ({rights}), names and vectors; see 'chmod 600 {self.path}'"

    def rows(self) -> Iterator[Row]:
        with self.reading() as (connection, _):
            self._look_once(connection)
            yield from super().rows()

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, State]]:
        with self._lock, named(self.path):
            connection = self._connection_to_read()
            if connection.in_transaction:  # reading within reading, or within a change
                yield connection, State.read(connection)
                return
            self._place.require(self.path)
            connection.execute("BEGIN")
            try:
                yield connection, self._own_state(connection)
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[Change]:
        with self._lock, named(self.path):
            connection = self._connection_to_write()
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._place.require(self.path)
                state = self._own_state(connection)
                with self._changing(connection, state) as change:
                    yield change
                self._place.require(self.path)  # a file that is nobody's any more would take it without a word
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):  # closed, or rolled back by SQLite itself
                    connection.execute("ROLLBACK")
                if isinstance(error, FAILURES):
                    raise GalleryError(f"{reason_of(error)}; nothing was changed") from error
                raise

    def _own_state(self, connection: sqlite3.Connection) -> State:
        """Return the state; pages that SQLite still holds may hide that the file is another's by now."""
        if schema_version(connection) != VERSION:
            raise GalleryError("is of another version than when it was opened; open it again")
        state = State.read(connection)
        found = state.id
        if found == self.id and (self._own is None or not self._own.still(self.path)):
            signature = Signature.of(self.path)
            found = id_in_file(self.path) or self.id
            self._own = signature
        if found != self.id:
            self._own = None
            raise GalleryError(
                "another gallery was copied over this one while it was open; open it again, and put galleries in "
                "place with 'facereg gallery restore'"
            )
        return state

    def _connection_to_read(self) -> sqlite3.Connection:
        """Return the connection; one that does not see what others change is made anew where they may have."""
        if self._connection is None:
            raise GalleryError("this gallery is closed; open it again")
        if self._frozen is None or self._connection.in_transaction or self._frozen.still(self.path):
            return self._connection
        before = self.id
        self._connection.close()
        self._connection = None
        self._open()
        if self.id != before:
            raise GalleryError("another gallery lies here now; open it again")
        return self._connection or self._connection_to_read()

    def _connection_to_write(self) -> sqlite3.Connection:
        """Return the connection that may write, opened at the first change."""
        if self._connection is None:
            raise GalleryError("this gallery is closed; open it again")
        if self._writable:
            return self._connection
        self._place.require(self.path)
        require_one_name(self.path)
        open_to_read(self.path)[0].close()  # a journal may lie beside it by now
        if log_size(self.path):  # it will be written into the file: only if it belongs to it
            for _ in self.rows():
                pass
        try:
            connection = connect(self.path, "rw")
        except FAILURES as error:
            raise GalleryError(f"{reason_of(error)}; nothing was changed") from error
        try:
            _bring_up_to_date(connection, self.sealer)
        except BaseException as error:
            connection.close()
            if isinstance(error, FAILURES):
                raise GalleryError(f"{reason_of(error)}; nothing was changed") from error
            raise
        self._connection.close()
        self._connection, self._writable, self._frozen = connection, True, None
        return connection

    def forget(self, name: str = "") -> None:
        """Write the log into the file and cut it to nothing; what matchers kept beside it goes.

        Raises:
            GalleryError: if another program that reads, or a full disk, keeps the log from being cut.
        """
        with self._lock, named(self.path):
            if name:
                remove_kept(self.path)
            if not log_size(self.path):
                return
            connection = self._connection_to_write()
            cause, remedy = "another program reads it", "end that program"
            try:
                if empty_log(connection):
                    return
            except sqlite3.Error as error:  # a full disk: the change is made all the same
                cause, remedy = reason_of(error).partition(";")[0], "make room"
            done = f"{name!r} is gone from the gallery" if name else "the change is made"
            raise GalleryError(
                f"{done}, but {cause}, and bytes of before are left in its log {log_of(self.path).name}; {remedy}, "
                "then run 'facereg gallery check', which empties it"
            )

    def structure_problems(self, connection: Connection) -> list[str]:
        return structure_problems(connection)

    def _look_once(self, connection: sqlite3.Connection) -> None:
        """Have SQLite look through the file's pages before the first use: it may come from anybody."""
        if not self._looked:
            found = structure_problems(connection, quick=True)
            if found:
                raise GalleryError(f"is damaged ({found[0][:200]}); restore an export or a copy")
            self._looked = True


def make_gallery(path: Path, space: str, sealer: Sealer) -> None:
    """Make the file and its tables, unless there is one; nobody but its owner may read a new one.

    Raises:
        GalleryError: if it cannot be made.
    """

    def write(connection: sqlite3.Connection) -> None:
        make_tables(connection)
        State.new(space, sealer).write(connection)

    try:
        with named(path):
            make_database(path, write)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be opened ({error.strerror}); check that its folder exists and may be written"
        ) from error


def _bring_up_to_date(connection: sqlite3.Connection, sealer: Sealer) -> None:
    """Migrate a file of an earlier version; its old tables leave no bytes behind."""
    if schema_version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    if schema_version(connection) != VERSION:  # nobody was quicker
        migrate(connection, sealer)
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    empty_log(connection)


def migrated_copy(connection: sqlite3.Connection, sealer: Sealer) -> sqlite3.Connection:
    """Return a copy in memory, of this version; the file is migrated by the first change."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        connection.backup(copy)
        copy.execute("PRAGMA trusted_schema = OFF")
        copy.execute("BEGIN")
        migrate(copy, sealer)
        copy.execute("COMMIT")
    except BaseException:
        copy.close()
        raise
    connection.close()
    return copy


def id_in_file(path: Path) -> str:
    """Return the id of the gallery in the file alone, without its log; empty where that does not tell."""
    with suppress(sqlite3.Error, FaceregError), closing(connect(path, "immutable")) as connection:
        return State.read(connection).id
    return ""


def _require_own_log(path: Path) -> None:
    """Refuse a file with the log of another gallery beside it: SQLite would write one into the other."""
    if not log_size(path):
        return
    found = ""
    with suppress(sqlite3.Error, FaceregError), closing(connect(path, "ro")) as connection:
        found = State.read(connection).id
    if not found or id_in_file(path) in ("", found):
        return  # what else is wrong with it is said by who opens it
    raise GalleryError(
        f"the log {log_of(path).name} beside it belongs to another gallery: one was copied or moved over one in "
        "use; move that file away, and put galleries in place with 'facereg gallery restore'"
    )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it, once; SQLite's words become ours."""
    try:
        yield
    except FAILURES as error:
        raise GalleryError(f"{path}: {reason_of(error)}") from error
    except SpaceMismatchError:
        raise
    except GalleryError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise GalleryError(f"{path}: {error}") from error
