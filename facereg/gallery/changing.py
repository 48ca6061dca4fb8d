"""A change of a gallery: people and embeddings put in, taken out and renamed in one transaction, seals kept right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facereg.errors import GalleryError
from facereg.gallery.audit import chain_problem, next_line, read_lines, write_line
from facereg.gallery.rows import Connection, Row, Source, State, now, read_rows, sound_rows
from facereg.gallery.seals import SIZE, Sealer, added
from facereg.names import clean_name
from facereg.types import FloatArray


class Change:
    """One transaction's work on a gallery; `finish` writes what the gallery then says of itself.

    Rows that are not touched are not looked at: one that was altered stays so, and is found by who reads.
    """

    def __init__(self, connection: Connection, state: State, sealer: Sealer) -> None:
        self.connection, self.state, self.sealer = connection, state, sealer

    def finish(self) -> State:
        """Count the change, seal the gallery, and return its state."""
        state = replace(self.state, revision=self.state.revision + 1).resealed(self.sealer)
        state.write(self.connection)
        return state

    def note(self, action: str, person: int | None = None, embeddings: int = 0) -> None:
        """Write the line of the audit that says what was done; see `AuditLine`."""
        line = next_line(self.state, self.sealer, action, person, embeddings)
        write_line(self.connection, line)
        self.state = replace(self.state, audited=line.number, head=line.seal)

    def person(self, name: str, created: str) -> int:
        """Return the key of a person, who is made where unknown.

        Raises:
            ContractError: if the name is no person's name.
        """
        spelling = clean_name(name)
        self.connection.execute(
            "INSERT INTO people (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING", (spelling, created)
        )
        return int(self.connection.execute("SELECT id FROM people WHERE name = ?", (spelling,)).fetchone()[0])

    def add(self, person: int, vector: FloatArray, source: Source, created: str) -> bool:
        """Add one embedding; return False where the person has that source.

        Args:
            vector: (D,) float32, of unit length.
        Raises:
            GalleryError: if it has not as many numbers as the others.
        """
        if self.state.dim not in (0, len(vector)):
            raise GalleryError(
                f"expected vectors of {self.state.dim} numbers as the gallery holds, got {len(vector)}; "
                "they come from another embedder"
            )
        blob = np.ascontiguousarray(vector, np.dtype("<f4")).tobytes()
        return self._insert(person, blob, source.name, source.sha256, created)

    def _insert(self, person: int, vector: bytes, source: str, sha256: str, created: str) -> bool:
        name, known_since, number, known, repeated = self.connection.execute(
            "SELECT name, created, (SELECT coalesce(max(id), 0) + 1 FROM embeddings), "
            "EXISTS (SELECT 1 FROM embeddings WHERE person = people.id), "
            "EXISTS (SELECT 1 FROM embeddings WHERE person = people.id AND sha256 = ?) FROM people WHERE id = ?",
            (sha256, person),
        ).fetchone()
        if repeated:
            return False
        row = Row(person, name, known_since, number, vector, source, sha256, created, b"")
        self._write(row._replace(seal=row.sealed(self.sealer, self.state)))
        self.state = replace(
            self.state,
            dim=len(vector) // 4,
            people=self.state.people + (not known),
            embeddings=self.state.embeddings + 1,
        )
        return True

    def _write(self, row: Row) -> None:
        stored = self.sealer.encrypt(row.vector, *row.place(self.state))
        self.connection.execute(
            "INSERT INTO embeddings (id, person, vector, source, sha256, created, seal) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.number, row.person, stored, row.source, row.sha256, row.created, row.seal),
        )
        self.state = replace(self.state, total=added(self.state.total, row.seal))

    def remove(self, person: int) -> int:
        """Forget a person; return how many embeddings were held."""
        held = self._forget(person)
        self.note("remove", person, held)
        return held

    def _forget(self, person: int) -> int:
        rows = self.connection.execute("SELECT seal FROM embeddings WHERE person = ?", (person,)).fetchall()
        total = self.state.total
        for (seal,) in rows:
            total = added(total, seal, -1)
        self.state = replace(
            self.state,
            total=total,
            people=self.state.people - bool(rows),
            embeddings=self.state.embeddings - len(rows),
        )
        self.connection.execute("DELETE FROM embeddings WHERE person = ?", (person,))
        self.connection.execute("DELETE FROM people WHERE id = ?", (person,))
        return len(rows)

    def rename(self, person: int, name: str) -> int:
        """Give a person, with all embeddings, another name, which may be somebody's already: they are one then.

        Returns:
            how many embeddings were taken along; those of pictures that the other one had already are dropped.
        Raises:
            GalleryError: if an embedding was altered: a new seal would hide it.
        """
        rows = list(read_rows(self.connection, self.state, self.sealer, person))
        for row in rows:
            if row.seal != row.sealed(self.sealer, self.state):
                raise GalleryError(f"holds damaged embeddings, the first of {row.name!r}; run gallery check")
        known_since = rows[0].known_since if rows else now()
        ask = self.connection.execute
        other = ask("SELECT id FROM people WHERE name = ? AND id <> ?", (name, person)).fetchone()
        if other is None:  # the person keeps the number
            self._forget(person)
            ask("INSERT INTO people (id, name, created) VALUES (?, ?, ?)", (person, name, known_since))
        else:
            self.remove(person)
        target = person if other is None else int(other[0])
        taken = sum(self._insert(target, row.vector, row.source, row.sha256, row.created) for row in rows)
        self.note("rename" if other is None else "merge", target, taken)
        return taken

    def rotate(self, sealer: Sealer) -> int:
        """Seal and encrypt everything with another key, or with none; return how many embeddings.

        Raises:
            GalleryError: if an embedding or a line of the audit was altered: a new seal would hide it.
        """
        if problem := chain_problem(self.connection, self.state, self.sealer):
            raise GalleryError(problem)
        old, ask = self.state, self.connection.execute
        lines = list(read_lines(self.connection))
        for _ in sound_rows(self.connection, old, self.sealer):
            pass
        self.state = replace(old, key=sealer.fingerprint, total=bytes(SIZE), audited=0, head=b"")
        for (person,) in ask("SELECT id FROM people").fetchall():
            for row in list(read_rows(self.connection, old, self.sealer, person)):
                seal = row.sealed(sealer, self.state)
                stored = sealer.encrypt(row.vector, *row.place(self.state))
                ask("UPDATE embeddings SET vector = ?, seal = ? WHERE id = ?", (stored, seal, row.number))
                self.state = replace(self.state, total=added(self.state.total, seal))
        self.sealer = sealer
        for line in lines:
            seal = line.chained(self.state.head, sealer, self.state.id)
            ask("UPDATE audit SET seal = ? WHERE number = ?", (seal, line.number))
            self.state = replace(self.state, audited=line.number, head=seal)
        self.note("rotate", None, self.state.embeddings)
        return self.state.embeddings
