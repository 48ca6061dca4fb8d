"""A matcher kept as its gallery is: who was removed is named no more, who is new is known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facereg.builtin.known import Names
from facereg.errors import GalleryError, PluginError, words_of
from facereg.gallery.contract import Store
from facereg.gallery.keeping import REMEDY, Kept, read_kept, write_kept
from facereg.gallery.rows import Connection, State, read_rows
from facereg.roles import Matcher
from facereg.types import Embeddings

BATCH = 4096  # embeddings given to a matcher at a time
DIGEST = 16  # bytes


class Following:
    """Looks at a gallery before each match and brings the matcher up to it.

    It keeps no file open: sizes and times of the files tell whether something can have changed, then the gallery's
    own seal whether it has.
    """

    def __init__(self, store: Store, notice: Callable[[str], object] = lambda text: None) -> None:
        self._store, self._gallery, self._notice = store, store.id, notice
        self._mark: object = None
        self._seal = b""
        self._names = Names.of([])
        self._digests: bytes | memoryview = b""  # of each one's seals

    def __call__(self, matcher: Matcher) -> None:
        """Bring the matcher up to the gallery.

        Raises:
            GalleryError: if it is gone, was altered, or another one lies there.
        """
        if self._store.stands(self._mark):
            return
        mark = self._store.mark()
        with self._store.again() as held:
            if held.id != self._gallery:
                raise GalleryError(f"{held.address}: another gallery lies here now; fill the matcher from it anew")
            with held.reading() as (_, state):
                if state.seal != self._seal or not state.is_sound(held.sealer):
                    self.take_up(held, matcher)
        self._mark = mark

    def begin(self, held: Store, matcher: Matcher) -> None:
        """Fill an empty matcher from what was kept of it, where it was, and the gallery; keep what it holds then."""
        with held.reading() as (connection, state):
            kept = matcher.kept_as and not len(matcher) and not held.sealer.fingerprint  # vectors lie in it as they are
            place = held.beside(matcher.kept_as) if kept else None
            if place is None or state.embeddings < matcher.kept_from:
                return self.take_up(held, matcher)
            if os.path.exists(place):  # False of a name that is too long, too
                self._open(place, held, matcher)
            if state.seal == self._seal and _counts_are_right(connection, state) and state.is_sound(held.sealer):
                return None
            self.take_up(held, matcher)
            arrays: dict[str, npt.NDArray[Any]] = dict(matcher.save())
            arrays |= {"following.text": self._names.text, "following.ends": self._names.ends}
            arrays["following.digests"] = np.frombuffer(self._digests, np.uint8)
        with suppress(OSError):  # a folder that may not be written, a full disk: it is read anew each time
            write_kept(place, held, matcher.kept_as, Kept(self._seal, arrays))
            with self._store.again() as now, now.reading() as (_, state):
                if state.seal != self._seal:  # somebody may have been removed meanwhile
                    place.unlink(missing_ok=True)
            if place.exists():  # mapped from the disk, in place of what was built in memory
                self._open(place, held, matcher)
        return None

    def _open(self, place: Path, held: Store, matcher: Matcher) -> None:
        """Give a matcher what was kept, which may be of an earlier state; say what is wrong with it, if anything."""
        try:
            kept = read_kept(place, held, matcher.kept_as)
            names = Names(kept.arrays["following.text"], kept.arrays["following.ends"])
            digests = kept.arrays["following.digests"].data
            matcher.load(kept.arrays, held.space)
        except (KeyError, PluginError) as error:  # kept by another version
            self._notice(f"{place}: cannot be taken up ({words_of(error, 200)}); {REMEDY}")
        except GalleryError as error:
            self._notice(str(error))
        else:
            self._names, self._digests, self._seal = names, digests, kept.state

    def take_up(self, held: Store, matcher: Matcher) -> None:
        """Add to the matcher who is new or changed, and remove who is gone."""
        before = dict(zip(self._names, self._each_digest(), strict=True))
        names, digests, new = list[str](), bytearray(), list[int]()
        with held.reading() as (connection, state):
            for name, rows in groupby(held.rows(), attrgetter("name")):
                digest = hashlib.blake2b(digest_size=DIGEST)
                for row in rows:
                    digest.update(row.seal)
                if before.get(name) == digest.digest():
                    del before[name]
                else:
                    new.append(row.person)
                names.append(name)
                digests += digest.digest()
            for name in before:  # gone, or changed
                matcher.remove(name)
            one_by_one = (row for person in new for row in read_rows(connection, state, held.sealer, person))
            found = read_rows(connection, state, held.sealer) if len(new) == len(names) else one_by_one
            while batch := list(islice(found, BATCH)):
                vectors = np.stack([np.frombuffer(row.vector, "<f4") for row in batch])
                matcher.add([row.name for row in batch], Embeddings(vectors, held.space))
        if not names:
            matcher.add([], Embeddings(np.empty((0, 0), np.float32), held.space))
        self._names, self._digests, self._seal = Names.of(names), bytes(digests), state.seal

    def _each_digest(self) -> Iterator[bytes]:
        return (bytes(self._digests[at : at + DIGEST]) for at in range(0, len(self._digests), DIGEST))


def _counts_are_right(connection: Connection, state: State) -> bool:
    """Tell whether as many people and embeddings are there as were enrolled."""
    [counted] = connection.execute("SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM embeddings)").fetchall()
    return tuple(counted) == (state.people, state.embeddings)
