"""A gallery in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from threading import RLock

import numpy as np
import psycopg

from facereg import Address, GalleryError, GalleryUnreachableError, Matcher
from facereg.gallery import Change, Connection, Row, Sealer, State, Store, read_rows
from facereg_pgvector.matcher import PgvectorMatcher
from facereg_pgvector.place import Place, is_lost, named
from facereg_pgvector.schema import STEPS, bring_up, require_versions, version_of
from facereg_pgvector.session import Session
from facereg_pgvector.vectors import as_text, from_text

TOLERANCE = 1e-3  # of a template's numbers: sums of unit vectors, added up in another order


class SearchedChange(Change):
    """A change that keeps the templates, which are searched, as the embeddings are."""

    def _write(self, row: Row) -> None:
        super()._write(row)
        if self.sealer.overhead:  # the database may not see the vector
            return
        self._sum(row)

    def _sum(self, row: Row) -> None:
        self.connection.execute(
            "INSERT INTO templates (person, total) VALUES (?, ?) "
            "ON CONFLICT (person) DO UPDATE SET total = templates.total + excluded.total",
            (row.person, as_text(np.frombuffer(row.vector, "<f4"))),
        )

    def rotate(self, sealer: Sealer) -> int:
        count = super().rotate(sealer)
        self.connection.execute("DELETE FROM templates")
        for row in [] if sealer.overhead else list(read_rows(self.connection, self.state, sealer)):
            self._sum(row)
        return count


class PostgresStore(Store):
    """People in PostgreSQL: several programs read and write at once, writers one after the other.

    A connection that broke is made anew by the next transaction.

    Args:
        address: `postgresql://USER@HOST:PORT/DATABASE?schema=NAME`.
        sealer: of its seals.
        make: the space of a gallery to make where there is none; None makes none.
        anew: make it whatever lies there, which goes with the first change.
    Raises:
        GalleryUnreachableError: if the database does not answer.
        GalleryError: if there is no gallery, the database is too old, has no pgvector or may not be used so, or the
            gallery is sealed with another key.
    """

    change_class = SearchedChange

    def __init__(self, address: Address, sealer: Sealer, *, make: str | None = None, anew: bool = False) -> None:
        super().__init__(address, sealer)
        self._lock = RLock()
        self._session: Session | None = None
        self._watcher: PostgresStore | None = None
        self._anew = anew
        self.place = Place.of(address)
        with named(self.place):
            self._session = session = Session(self.place)
            try:
                require_versions(session)
                self._bring_up(session, make)
                if anew and make is not None:
                    self.id, self.space = "", make
                else:
                    self._take_up(State.read(session))
            except BaseException:
                session.close()
                raise

    def _bring_up(self, session: Session, make: str | None) -> None:
        version = version_of(session)
        if version == len(STEPS):
            return
        if version == 0 and make is None:
            raise GalleryError(f"found no gallery there; make one with 'facereg enroll DIR --gallery {self.address}'")
        bring_up(session, None if make is None else State.new(make, self.sealer))

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def __del__(self) -> None:
        with suppress(Exception):  # half made, or at the interpreter's end
            self.close()

    def again(self) -> AbstractContextManager[PostgresStore]:
        """Return a connection of its own, kept for the next look."""
        if self._watcher is None:
            self._watcher = PostgresStore(self.address, self.sealer)
        return nullcontext(self._watcher)

    def search_in(self, matcher: Matcher) -> bool:
        if not isinstance(matcher, PgvectorMatcher):
            return False
        if self.sealer.overhead:
            raise GalleryError(
                f"{self.address}: its vectors are encrypted with a key, and the database cannot search them; choose "
                "another matcher, as --matcher exact"
            )
        matcher.search_gallery(PostgresStore(self.address, self.sealer))
        return True

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, State]]:
        with self._lock, named(self.place):
            session = self._opened()
            if session.in_transaction:  # reading within reading, or within a change
                yield session, State.read(session)
                return
            session.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield session, self._own_state(session)
            finally:
                session.rollback()

    @contextmanager
    def writing(self) -> Iterator[Change]:
        with self._lock, named(self.place):
            session = self._opened()
            session.begin("BEGIN")
            committing = False
            try:
                session.execute("SELECT pg_advisory_xact_lock('gallery'::regclass::oid::bigint)")
                state = self._emptied(session) if self._anew else self._own_state(session)
                with self._changing(session, state) as change:
                    yield change
                committing = True
                session.commit()
            except BaseException as error:
                session.rollback()
                if isinstance(error, psycopg.Error):
                    raise self._not_done(error, committing) from error
                raise
            if self._anew:
                self.id, self._anew = change.state.id, False

    def _not_done(self, error: psycopg.Error, committing: bool) -> GalleryError:
        if committing and is_lost(error):
            return GalleryUnreachableError(
                "the database was lost at the end of a change, which it has made or not; do it again: what is there "
                "is not added twice"
            )
        kind = GalleryUnreachableError if is_lost(error) else GalleryError
        return kind(f"{self.place.reason(error)}; nothing was changed")

    def _opened(self) -> Session:
        if self._session is None:
            raise GalleryError("this gallery is closed; open it again")
        return self._session

    def _own_state(self, session: Session) -> State:
        state = State.read(session)
        if state.id != self.id:
            raise GalleryError("another gallery was put in the place of this one while it was open; open it again")
        return state

    def _emptied(self, session: Session) -> State:
        """Take out whatever is there, damaged or not.

        Raises:
            GalleryError: if that has a key and none is in force.
        """
        try:
            key = State.read(session).key
        except GalleryError:  # damaged
            key = ""
        self.sealer.require_replacing(key)
        for table in ("embeddings", "people", "gallery", "audit"):
            session.execute(f"DELETE FROM {table}")
        state = State.new(self.space, self.sealer)
        state.write(session)
        return state

    def problems(self) -> list[str]:
        with self.reading() as (connection, _):
            return super().problems() or self._template_problems(connection)

    def _template_problems(self, connection: Connection) -> list[str]:
        """Say whose template, which is searched, is not the sum of the embeddings; with a key there is none."""
        sums: dict[int, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        names: dict[int, str] = {}
        for row in () if self.sealer.overhead else read_rows(connection, State.read(connection), self.sealer):
            vector = np.frombuffer(row.vector, "<f4").astype(np.float64)
            sums[row.person] = sums[row.person] + vector if row.person in sums else vector
            names[row.person] = row.name
        found = []
        for person, text in connection.execute("SELECT person, total::text FROM templates ORDER BY person"):
            total, known = from_text(text), sums.pop(person, np.empty(0))
            if total.shape != known.shape or not np.allclose(total, known, atol=TOLERANCE):
                found.append(f"{names.get(person, person)!r}: what is searched is not the sum of the embeddings")
        found += [f"{names[person]!r}: is not among those that are searched" for person in sums]
        return [f"{line}; remove the person and enrol again" for line in found]
