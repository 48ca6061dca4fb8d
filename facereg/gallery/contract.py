"""What a store of galleries is: one SQLite file, or what a plugin opens by an address."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

from facereg.gallery.changing import Change
from facereg.gallery.checking import row_problems
from facereg.gallery.rows import Connection, Row, State, sound_rows
from facereg.gallery.seals import Sealer
from facereg.names import Address
from facereg.roles import Matcher


class Store(ABC):
    """Where people and embeddings are kept: transactions to read and to change them. `Gallery` does the rest.

    A plugin makes one by its `StoreSpec`. What rows hold, their seals and what is written in a change are the
    library's: a store brings a connection that understands their SQL (`?` for values), with the tables `gallery`,
    `people`, `embeddings` and `audit`, see `facereg.gallery.schema`; vectors are encrypted where there is a key. One
    instance may be shared between threads.

    Args:
        address: where it lies.
        sealer: of its seals.
    """

    change_class: ClassVar[type[Change]] = Change
    id: str  # made once; two galleries never share it
    space: str  # of its embeddings

    def __init__(self, address: Address, sealer: Sealer) -> None:
        self.address, self.sealer = address, sealer

    def _take_up(self, state: State) -> None:
        """Take up what the gallery says of itself when it is opened.

        Raises:
            GalleryError: if it is sealed with another key, or with none where one is given.
        """
        self.id, self.space = state.id, state.space
        self.sealer.require(state.key)

    @contextmanager
    def _changing(self, connection: Connection, state: State) -> Iterator[Change]:
        """Hold the change of an open transaction; what the gallery says of itself is written at its end."""
        state.require_sound(self.sealer)
        change = self.change_class(connection, state, self.sealer)
        yield change
        if change.state is not state:
            change.finish()

    @abstractmethod
    def reading(self) -> AbstractContextManager[tuple[Connection, State]]:
        """Hold one read transaction, or what is open: what is read in it is of one moment.

        Raises:
            GalleryError: if the gallery is gone or another's, or cannot be read.
        """

    @abstractmethod
    def writing(self) -> AbstractContextManager[Change]:
        """Hold one transaction that changes the gallery, one at a time; an error leaves it as it was.

        Raises:
            GalleryError: if it is damaged, or cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """Close it; closing twice is allowed."""

    @abstractmethod
    def again(self) -> AbstractContextManager[Store]:
        """Open the gallery anew for a look; it may be called after `close`."""

    def mark(self) -> object:
        """Return what `stands` tells a change by without opening the gallery."""
        return None

    def stands(self, mark: object) -> bool:
        """Tell whether nothing can have changed since a mark was taken."""
        return False

    def forget(self, name: str = "") -> None:  # noqa: B027
        """Leave no byte of what was removed, of whom is named in an error; called after the change."""

    def structure_problems(self, connection: Connection) -> list[str]:
        """Return what is wrong with pages, tables and indexes, a line each."""
        return []

    def search_in(self, matcher: Matcher) -> bool:
        """Have a matcher search in the store itself, where it can; tell whether it does."""
        return False

    def beside(self, kind: str) -> Path | None:
        """Return the file in which a matcher of that kind may keep what it holds; None where there is no such place.

        `forget` removes every such file.
        """
        return None

    def exposure(self) -> str:
        """Return a line where others than the owner may read it; else nothing."""
        return ""

    def rows(self) -> Iterator[Row]:
        """Yield every embedding with its person and seal, by name, in one read transaction.

        Use nothing of it before the last one came: only then it is known that none is missing.

        Raises:
            GalleryError: if something was altered by another program.
        """
        with self.reading() as (connection, state):
            yield from sound_rows(connection, state, self.sealer)

    def problems(self) -> list[str]:
        """Return what is wrong, a line each; nothing where the gallery is sound.

        Raises:
            GalleryError: if it has another key than when it was opened.
        """
        with self.reading() as (connection, state):
            self.sealer.require(state.key)
            return self.structure_problems(connection) or row_problems(connection, self.sealer)
