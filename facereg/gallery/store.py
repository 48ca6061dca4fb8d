"""People, several embeddings each, where each came from: in one SQLite file, or where a plugin keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from facereg.errors import ContractError, GalleryError, SpaceMismatchError
from facereg.gallery.audit import AuditLine, chain_problem, read_lines
from facereg.gallery.contract import Store
from facereg.gallery.exports import export_gallery, read_export
from facereg.gallery.following import Following
from facereg.gallery.opening import open_store
from facereg.gallery.rows import Connection, Source, now
from facereg.gallery.seals import Sealer
from facereg.names import Address, clean_name
from facereg.roles import Matcher
from facereg.types import Embeddings


@dataclass(frozen=True, slots=True)
class Person:
    """A person known to a gallery."""

    name: str
    embeddings: int
    created: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolment did; `repeated` names sources that the person had already."""

    added: int
    repeated: tuple[str, ...]


class Gallery:
    """People and their embeddings, all of one embedder's space.

    One writer and many readers may have it open at once. Each change is one transaction: after a kill or a
    full disk the gallery holds all of it or none. A file is opened to read until the first change. What is read was
    sealed: a row that another program altered is refused. Use it as a context manager; one instance may be shared
    between threads.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.address, self.id, self.space, self.sealer = store.address, store.id, store.space, store.sealer

    @classmethod
    def open(
        cls, path: str | Path | Address, *, space: str | None = None, create: bool = False, key: bytes | None = None
    ) -> Gallery:
        """Open a gallery.

        Args:
            path: of the file, or an address that a plugin opens, as `postgresql://HOST/DATABASE`.
            space: the embedder's, where embeddings will be added or compared; None opens any gallery to look at it.
            create: make it where there is none; needs `space`.
            key: secret bytes that seal the gallery; None takes the one that the environment names (FACEREG_GALLERY_KEY,
                FACEREG_GALLERY_KEY_FILE, FACEREG_GALLERY_KEY_COMMAND), or none.
        Raises:
            GalleryError: if there is none, it is no gallery, its rights forbid it, or it is sealed with
                another key, or with none where one is given.
            SpaceMismatchError: if its embeddings come from another embedder.
        """
        if create and space is None:
            raise ContractError("space: expected the embedder's space to make a gallery, got none")
        gallery = cls(open_store(Address.of(path), Sealer.of(key), make=space if create else None))
        if space is not None and gallery.space != space:
            gallery.close()
            raise SpaceMismatchError(
                f"{gallery.address}: holds embeddings of {gallery.space!r}, expected {space!r}; enrol the pictures "
                "again into another file, or use that embedder"
            )
        return gallery

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many people are known."""
        with self._store.reading() as (_, state):
            state.require_sound(self.sealer)
            return state.people

    def enroll(self, name: str, embeddings: Embeddings, sources: Sequence[Source]) -> Enrolled:
        """Add embeddings to a person, who is made where unknown; all of them or, on an error, none.

        A source that the person has already is left as it is. A name has one spelling: see `facereg.names.clean_name`.

        Raises:
            ContractError: if it is no person's name, there is no embedding, or not one source for each.
            SpaceMismatchError: if the embeddings come from another embedder.
            GalleryError: if the file cannot be written, as on a full disk, or holds vectors of another length.
        """
        if len(sources) != len(embeddings):
            raise ContractError(f"sources: expected one for each of {len(embeddings)} embeddings, got {len(sources)}")
        if len(embeddings) == 0:
            raise ContractError(f"embeddings: expected at least one of {name!r}, got none")
        embeddings.require_space(self.space)
        repeated = []
        with self._store.writing() as change:
            person = change.person(name, now())
            for vector, source in zip(embeddings.vectors, sources, strict=True):
                if not change.add(person, vector, source, now()):
                    repeated.append(source.name)
            if len(repeated) < len(embeddings):
                change.note("enroll", person, len(embeddings) - len(repeated))
        return Enrolled(len(embeddings) - len(repeated), tuple(repeated))

    def remove(self, name: str) -> int:
        """Forget a person; return how many embeddings were held. Name and vectors are in no byte of the file then.

        Raises:
            GalleryError: if nobody of that name is known; if other programs that read keep the log from being emptied.
        """
        with self._store.writing() as change:
            held = change.remove(self._key_of(change.connection, name))
        self._store.forget(name)
        return held

    def rename(self, name: str, new: str, *, merge: bool = False) -> int:
        """Give a person another name; return how many embeddings were taken along.

        Args:
            merge: where somebody has the new name already, make them one person; a picture that both have is kept once.
        Raises:
            ContractError: if the new name is no person's name.
            GalleryError: if nobody of the old name is known, or somebody has the new one and `merge` is false.
        """
        spelling = clean_name(new)
        with self._store.writing() as change:
            person = self._key_of(change.connection, name)
            [held] = change.connection.execute("SELECT name FROM people WHERE id = ?", (person,)).fetchone()
            other = change.connection.execute("SELECT 1 FROM people WHERE name = ?", (spelling,)).fetchone()
            if other is not None and held != spelling and not merge:
                raise GalleryError(
                    f"somebody named {spelling!r} is there already; merge the two (--merge), or take another"
                )
            taken = change.rename(person, spelling)
        self._store.forget(name)
        return taken

    def person(self, name: str) -> Person:
        """Return the person of that name, in any spelling of it.

        Raises:
            GalleryError: if nobody of that name is known.
        """
        with self._store.reading() as (connection, _):
            key = self._key_of(connection, name)
            [held] = connection.execute("SELECT name FROM people WHERE id = ?", (key,)).fetchone()
            [found] = [person for person in self.people() if person.name == held]
            return found

    def knows(self, name: str) -> bool:
        """Tell whether somebody of that name, in any spelling of it, is known."""
        with self._store.reading() as (connection, _):
            return self._found(connection, name) is not None

    def people(self) -> list[Person]:
        """Return who is known, by name.

        Raises:
            GalleryError: if something was altered by another program.
        """
        sources: dict[tuple[str, str], list[str]] = {}
        for row in self._store.rows():
            sources.setdefault((row.name, row.known_since), []).append(row.source)
        return [Person(name, len(own), created, tuple(own)) for (name, created), own in sources.items()]

    def pictures(self) -> dict[str, tuple[str, ...]]:
        """Return the names under which each picture is enrolled, by the sha256 of its file.

        Raises:
            GalleryError: if something was altered by another program.
        """
        names: dict[str, tuple[str, ...]] = {}
        for row in self._store.rows():
            names[row.sha256] = (*names.get(row.sha256, ()), row.name)
        return names

    def embeddings(self) -> tuple[list[str], Embeddings]:
        """Return the name of each embedding's person, and the embeddings.

        Raises:
            GalleryError: if something was altered by another program.
        """
        rows = [(row.name, np.frombuffer(row.vector, "<f4")) for row in self._store.rows()]
        stacked = np.stack([vector for _, vector in rows]) if rows else np.empty((0, 0), np.float32)
        return [name for name, _ in rows], Embeddings(stacked, self.space)

    def export(self, path: str | Path) -> int:
        """Write everybody to one .npz file, its owner's alone; return how many vectors. See `facereg.gallery.exports`.

        Raises:
            GalleryError: if the file cannot be written, or something was altered in the gallery.
        """
        return export_gallery(self._store, path)

    def import_(self, path: str | Path, *, unsealed: bool = False) -> int:
        """Add what `export` wrote, in one transaction; return how many vectors were new.

        Args:
            unsealed: take a file without a seal, as earlier versions wrote, or one sealed without the key.
        Raises:
            GalleryError: if the file is no export, was altered, or holds vectors of another length.
            SpaceMismatchError: if it comes from another embedder.
        """
        added = 0
        with read_export(path, sealer=self.sealer, unsealed=unsealed) as (space, rows):
            Embeddings(np.empty((0, 0), np.float32), space).require_space(self.space)
            with self._store.writing() as change:
                for row in rows:
                    person = change.person(row.name, row.created)
                    added += change.add(person, row.vector, row.source, row.created)
                if added:
                    change.note("import", None, added)
        return added

    def fill(
        self, matcher: Matcher, *, follow: bool = True, notice: Callable[[str], object] = lambda text: None
    ) -> None:
        """Add everybody to a matcher, from what it kept beside the gallery where that is of now.

        Args:
            follow: keep the matcher as the file is: each time it matches, the file is looked at, and who was removed
                since is named no more, after this gallery was closed too. Where the file is gone then, or another
                gallery lies there, matching is an error.
            notice: called with a line where what was kept cannot be used, and is made anew.
        """
        if self._store.search_in(matcher):
            return
        following = Following(self._store, notice)
        following.begin(self._store, matcher)
        if follow:
            matcher.follow(following)

    def exposure(self) -> str:
        """Return a line where others than its owner may read it; else nothing."""
        return self._store.exposure()

    def audit(self) -> tuple[list[AuditLine], str]:
        """Return a line for each change, in order, and where their chain is broken; nothing where it is whole."""
        with self._store.reading() as (connection, state):
            state.require_sound(self.sealer)
            return list(read_lines(connection)), chain_problem(connection, state, self.sealer)

    def check(self) -> list[str]:
        """Return what is wrong with it, a line each; nothing where it is sound.

        Raises:
            GalleryError: if it has another key than when it was opened.
        """
        found = self._store.problems()
        if not found:  # what a removal left while another program read goes now, unless the file is not ours
            with suppress(GalleryError):
                self._store.forget()
        return found

    @staticmethod
    def _key_of(connection: Connection, name: str) -> int:
        """Return the key of the person of that name.

        Raises:
            GalleryError: if nobody has it.
        """
        key = Gallery._found(connection, name)
        if key is None:
            raise GalleryError(f"nobody named {name!r}; see 'facereg gallery list'")
        return key

    @staticmethod
    def _found(connection: Connection, name: str) -> int | None:
        """Return the key of the person of that name, as it stands in the file or in the one spelling; None: nobody."""
        spellings = [name]
        with suppress(ContractError):
            spellings.append(clean_name(name))
        for spelling in spellings:
            with suppress(UnicodeEncodeError):  # bytes of a terminal that are no text
                row = connection.execute("SELECT id FROM people WHERE name = ?", (spelling,)).fetchone()
                if row is not None:
                    return int(row[0])
        return None
