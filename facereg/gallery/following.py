"""A matcher kept as its gallery is: who was removed is named no more, who is new is known."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import numpy as np

from facereg.errors import GalleryError
from facereg.gallery.access import Access
from facereg.gallery.files import Signature
from facereg.gallery.seals import Sealer
from facereg.roles import Matcher
from facereg.types import Embeddings, FloatArray


class Following:
    """Looks at a gallery's file before each match and brings the matcher up to it.

    It keeps no file open: sizes and times of the files tell whether something can have changed, then the gallery's
    own seal whether it has.

    Args:
        path: of the gallery.
        space: of its embeddings.
        gallery: its id.
        sealer: of its seals.
    """

    def __init__(self, path: Path, space: str, gallery: str, sealer: Sealer) -> None:
        self.path, self.space, self.gallery = path, space, gallery
        self._sealer = sealer
        self._signature: Signature | None = None
        self._seal = b""
        self._people: dict[str, bytes] = {}  # a digest of each one's seals

    def __call__(self, matcher: Matcher) -> None:
        """Bring the matcher up to the file.

        Raises:
            GalleryError: if the file is gone, was altered, or another gallery lies there.
        """
        if self._signature is not None and self._signature.still(self.path):
            return
        signature = Signature.of(self.path)
        with closing(Access(self.path, self._sealer)) as held:
            if held.id != self.gallery:
                raise GalleryError(f"{self.path}: another gallery lies here now; fill the matcher from it anew")
            with held.reading() as (_, state):
                if state.seal != self._seal or not state.is_sound(self._sealer):
                    self.take_up(held, matcher)
        self._signature = signature

    def take_up(self, held: Access, matcher: Matcher) -> None:
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
        matcher.add(names, Embeddings(np.stack(added) if added else np.empty((0, 0), np.float32), self.space))
        self._people, self._seal = people, state.seal
