"""Galleries put in place of others, and galleries made anew of what is sound in a damaged one."""

from __future__ import annotations

import os
import sqlite3
import stat
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.disk.replacing import PRIVATE, writing
from facereg.errors import GalleryError
from facereg.gallery.access import Access, make_gallery, migrated_copy, named
from facereg.gallery.checking import structure_problems
from facereg.gallery.exports import Exported, exported_space, read_export
from facereg.gallery.files import FAILURES, companions, connect, is_database, log_ahead, open_to_read, remove_kept
from facereg.gallery.opening import open_store
from facereg.gallery.rows import CELLS, Connection, Row, Source, State
from facereg.gallery.schema import VERSION, require_tables
from facereg.gallery.seals import Sealer
from facereg.gallery.store import Gallery
from facereg.names import Address


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of making a gallery anew: embeddings and people kept, and what was left out, a line each."""

    embeddings: int
    people: int
    left_out: tuple[str, ...]


def restore_gallery(
    backup: str | Path, path: str | Path | Address, *, unsealed: bool = False, key: bytes | None = None
) -> int:
    """Put a backup in the place of a gallery, or where there is none; return how many people it knows.

    The backup is looked through first. Whoever has the old file open is told at the next look at it; the log beside
    it, which would be written into the new one, goes. Rights of a file that was there are kept.

    Args:
        backup: a gallery file, or an export; it stays as it is.
        path: of the gallery, or its address.
        unsealed, key: as `Gallery.import_` and `Gallery.open` take them.
    Raises:
        GalleryError: if the backup is no gallery or is damaged; if another program is writing to the old one; if that
            has a key and none is in force.
    """
    backup, address, sealer = Path(backup), Address.of(path), Sealer.of(key)
    if not backup.is_file():
        raise GalleryError(f"{backup}: expected a gallery or an export of one, found no file; check the path")
    if address.scheme:
        return _restore_into(address, backup, sealer, unsealed)
    path = address.path
    if path.exists() and path.samefile(backup):
        raise GalleryError(f"{path}: expected another file than the backup itself; name the gallery to replace")
    with named(path):
        sealer.require_replacing(_key_in(path))
    with _beside(path) as new:
        if is_database(backup):
            _copy(backup, new, path, sealer)
        else:
            space = exported_space(backup, unsealed=unsealed, key=key)
            make_gallery(new, space, sealer)
            with closing(Gallery(Access(new, sealer))) as made:
                made.import_(backup, unsealed=unsealed)
        with closing(Access(new, sealer)) as made_access:
            people = len({row.person for row in made_access.rows()})
        _put_in_place(new, path)
    return people


def rebuild_gallery(
    damaged: str | Path | Address, path: str | Path | Address, *, old_key: bytes | None = None, key: bytes | None = None
) -> Rebuilt:
    """Make a new gallery of what is sound in a damaged one, which stays as it is; seal it with the key given.

    An embedding is sound where its seal is right. So a gallery gets another key, or its first: give the old one.

    Args:
        damaged: the gallery, a file or an address.
        path: of the new gallery, or its address; there must be none.
        old_key: the key that the damaged one is sealed with; None for no key.
        key: of the new one; as `Gallery.open` takes it.
    Raises:
        GalleryError: if the file holds nothing that can be told to be sound, or the new one is there already.
    """
    damaged, address, old = Address.of(damaged), Address.of(path), Sealer(old_key)
    if not address.scheme and address.path.exists():
        raise _there_already(address)
    with _reading_damaged(damaged, old) as (connection, state):
        rows, left_out = _sound(connection, state, old)
    lost = state.embeddings - len(rows) - len(left_out)
    if lost > 0 and state.is_sound(old):
        left_out.append(f"{lost} embeddings are missing; enrol their pictures again")
    if not rows and left_out:
        raise GalleryError(f"{damaged}: found nothing whose seal is right; restore an export or a copy")
    sealer = Sealer.of(key)
    with nullcontext(address) if address.scheme else _beside(address.path) as new:
        with closing(open_store(Address.of(new), sealer, make=state.space)) as made, made.writing() as change:
            if change.state.embeddings:
                raise _there_already(address)
            for row in rows:
                person = change.person(row.name, row.known_since)
                vector = np.frombuffer(row.vector, "<f4").astype(np.float32)
                change.add(person, vector, Source(row.source, row.sha256), row.created)
            change.note("rebuild", None, len(rows))
        if isinstance(new, Path):
            _put_in_place(new, address.path)
    return Rebuilt(len(rows), len({row.name for row in rows}), tuple(left_out))


def rotate_key(path: str | Path | Address, *, old_key: bytes | None, key: bytes | None = None) -> int:
    """Give a gallery another key, its first or none, in one transaction; return how many embeddings it holds.

    Args:
        old_key: the one that it has now; None for none.
        key: the new one, as `Gallery.open` takes it.
    Raises:
        GalleryError: if the old key is not its key, or it was altered: nothing is changed then; if bytes of before
            are left in its log, as `Gallery.remove` says.
    """
    new = Sealer.of(key)
    address = Address.of(path)
    with closing(open_store(address, Sealer(old_key))) as store:
        with store.writing() as change:
            count = change.rotate(new)
        if not address.scheme:
            remove_kept(address.path)  # vectors that lie in it as they are
        store.forget()
    return count


def remove_from_backup(backup: str | Path, name: str, *, key: bytes | None = None) -> int:
    """Forget a person in a copy of a gallery, or in an export, which is written anew; return how many embeddings.

    Args:
        backup: it stays as it is where nobody there has that name.
        key: as `Gallery.open` takes it.
    Raises:
        GalleryError: if it is neither, was altered, is sealed with another key, or cannot be written.
    """
    backup = Path(backup)
    if not backup.is_file():
        raise GalleryError(f"{backup}: expected a gallery or an export of one, found no file; check the path")
    if is_database(backup):
        with Gallery.open(backup, key=key) as held:
            return held.remove(name) if held.knows(name) else 0
    with _beside(backup) as new, Gallery.open(new, space=exported_space(backup, key=key), create=True, key=key) as held:
        held.import_(backup)
        removed = held.remove(name) if held.knows(name) else 0
        if removed:
            held.export(backup)
    return removed


def _there_already(address: Address) -> GalleryError:
    return GalleryError(f"{address}: is there already; name a new one, look at it, then use 'facereg gallery restore'")


@contextmanager
def _reading_damaged(address: Address, sealer: Sealer) -> Iterator[tuple[Connection, State]]:
    if address.scheme:
        with closing(open_store(address, sealer)) as store, store.reading() as held:
            yield held
        return
    with named(address.path):
        connection, _ = open_to_read(address.path)
        with closing(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            earlier = version in range(1, VERSION)
            require_tables(connection, version if earlier else VERSION)
            with closing(migrated_copy(connection, sealer) if earlier else connection) as copy:
                state = State.read(copy)
                if state.key != sealer.fingerprint:
                    raise GalleryError("is sealed with another key than the old one given; give that one")
                yield copy, state


def _restore_into(address: Address, backup: Path, sealer: Sealer, unsealed: bool) -> int:
    """Replace a gallery that is no file, in one transaction; whoever has it open is told."""
    with ExitStack() as held:
        if is_database(backup):
            source = held.enter_context(closing(Access(backup, sealer)))
            space = source.space
            rows: Iterator[Exported] = (
                Exported(row.name, np.frombuffer(row.vector, "<f4"), Source(row.source, row.sha256), row.created)
                for row in source.rows()
            )
        else:
            space, rows = held.enter_context(read_export(backup, sealer=sealer, unsealed=unsealed))
        store = held.enter_context(closing(open_store(address, sealer, make=space, anew=True)))
        with store.writing() as change:
            for row in rows:
                change.add(change.person(row.name, row.created), row.vector, row.source, row.created)
            change.note("restore", None, change.state.embeddings)
        return change.state.people


def _sound(connection: Connection, state: State, sealer: Sealer) -> tuple[list[Row], list[str]]:
    """Return the embeddings whose seal is right, and a line for each other one that can be read."""
    found: dict[int, Row] = {}
    for order in ("ASC", "DESC"):  # a broken page ends a walk: from the other side what is behind it is read
        with suppress(sqlite3.Error, UnicodeDecodeError):
            for cells in connection.execute(
                f"SELECT {CELLS} FROM embeddings CROSS JOIN people WHERE person = people.id "
                f"ORDER BY embeddings.id {order}"
            ):
                row = Row(*cells).opened(sealer, state)
                found.setdefault(row.number, row)
    rows, left_out = [], []
    for _, row in sorted(found.items()):
        if row.seal == row.sealed(sealer, state):
            rows.append(row)
        else:
            left_out.append(f"{row.name!r}, {row.source}: its bytes were altered; enrol the picture again")
    return rows, left_out


def _key_in(path: Path) -> str:
    """Return the fingerprint of the key of a gallery; empty without one, and where there is none that can be read."""
    with suppress(GalleryError, *FAILURES), closing(open_to_read(path)[0]) as connection:
        return State.read(connection).key
    return ""


def _copy(backup: Path, new: Path, path: Path, sealer: Sealer) -> None:
    """Copy a gallery, the changes in its log among it, after looking through it."""
    with closing(Access(backup, sealer)) as held, held.reading() as (source, _):
        if found := structure_problems(source):
            raise GalleryError(f"is damaged ({found[0][:200]}); take another backup")
        for _ in held.rows():
            pass
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))
        with named(path), closing(connect(new, "rw")) as target:
            source.backup(target)
            log_ahead(target)
            target.execute("VACUUM")  # what earlier versions left of who was removed is not taken along


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder to make a gallery at; nothing of it stays unless it was put in place."""
    target = Path(os.path.realpath(path))
    new = target.with_name(f".{target.name[:200]}.{uuid.uuid4().hex[:12]}")
    try:
        with writing(path, GalleryError):
            yield new
    except GalleryError as error:  # of the file that the caller named, not of one that is gone by now
        raise type(error)(str(error).replace(str(new), str(path))) from error
    finally:
        for file in (new, *companions(new)):
            with suppress(OSError):
                file.unlink()


def _put_in_place(new: Path, path: Path) -> None:
    """Replace a gallery in one step, with nobody writing to it, and without the log beside it."""
    target = Path(os.path.realpath(path))
    with _no_writer(target):
        if target.exists():
            new.chmod(stat.S_IMODE(target.stat().st_mode))
        aside = [(file, new.with_name(f"{new.name}.{number}")) for number, file in enumerate(companions(target))]
        moved = []
        try:
            for file, place in aside:  # first: nobody may find the new file with the old log
                if file.exists():
                    file.rename(place)
                    moved.append((file, place))
            os.replace(new, target)
            remove_kept(target)
        except OSError:
            for file, place in moved:
                place.rename(file)
            raise
        for _, place in moved:
            place.unlink()


@contextmanager
def _no_writer(target: Path) -> Iterator[None]:
    """Hold the right to write to the old file; one that is no database has no writer."""
    if not target.is_file() or target.stat().st_size == 0:
        yield
        return
    try:
        with closing(connect(target, "rw")) as connection:
            with _unless_busy():
                connection.execute("BEGIN IMMEDIATE")
            yield
    except sqlite3.OperationalError as error:
        raise GalleryError(f"{target}: another program is writing to it ({error}); end it first") from error


@contextmanager
def _unless_busy() -> Iterator[None]:
    """Go on where a file is damaged or no database, not where it is busy."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise
