"""A matcher kept as its gallery is: who was removed is named no more, who is new is known."""

from __future__ import annotations

import hashlib

import numpy as np

from facereg.errors import GalleryError
from facereg.gallery.contract import Store
from facereg.roles import Matcher
from facereg.types import Embeddings, FloatArray


class Following:
    """Looks at a gallery before each match and brings the matcher up to it.

    It keeps no file open: sizes and times of the files tell whether something can have changed, then the gallery's
    own seal whether it has.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._gallery = store, store.id
        self._mark: object = None
        self._seal = b""
        self._people: dict[str, bytes] = {}  # a digest of each one's seals

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

    def take_up(self, held: Store, matcher: Matcher) -> None:
        """Add to the matcher who is new or changed, and remove who is gone."""
        seals: dict[str, hashlib.blake2b] = {}
        vectors: dict[str, list[FloatArray]] = {}
        with held.reading() as (_, state):
            for row in held.rows():
                seals.setdefault(row.name, hashlib.blake2b(digest_size=16)).update(row.seal)
                vectors.setdefault(row.name, []).append(np.frombuffer(row.vector, "<f4"))
        people = {name: seal.digest() for name, seal in seals.items()}
        for name, digest in self._people.items():
            if people.get(name) != digest:
                matcher.remove(name)
        new = [name for name, digest in people.items() if self._people.get(name) != digest]
        names = [name for name in new for _ in vectors[name]]
        added = [vector for name in new for vector in vectors[name]]
        matcher.add(names, Embeddings(np.stack(added) if added else np.empty((0, 0), np.float32), held.space))
        self._people, self._seal = people, state.seal
