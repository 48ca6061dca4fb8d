"""The audit of a gallery: a line for each change, chained by seals, so that one that is missing is seen.

A line says who did what to whom and when. It names people by their numbers, which are given once: a person who is
removed leaves a number and no name, and no line ever holds a vector.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from facereg.gallery.rows import Connection, State, now
from facereg.gallery.seals import Sealer

ACTOR = "FACEREG_ACTOR"  # who a service acts for
LONGEST_ACTOR = 200


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change of a gallery.

    Args:
        number: 1, 2, ...
        at: the time, UTC.
        actor: who did it: FACEREG_ACTOR, else the user of the system.
        action: what was done: enroll, remove, rename, merge, import, restore, rebuild, rotate, migrate.
        person: number of the person; None where it was not one person's.
        embeddings: how many were added, removed or taken along.
        seal: over all that, the line before and the gallery's id.
        name: of the person now; None where there is none, or the person is gone. It is no part of the line.
    """

    number: int
    at: str
    actor: str
    action: str
    person: int | None
    embeddings: int
    seal: bytes
    name: str | None = None

    def chained(self, previous: bytes, sealer: Sealer, gallery: str) -> bytes:
        """Return the seal that it should have behind a line with the seal `previous`; b"" goes before the first."""
        cells = (self.number, self.at, self.actor, self.action, self.person, self.embeddings)
        return sealer.seal("audit", gallery, previous, *cells)


def next_line(state: State, sealer: Sealer, action: str, person: int | None, embeddings: int) -> AuditLine:
    """Return the line of a change that is made now."""
    cells = (state.audited + 1, now(), actor(), action, person, embeddings)
    return AuditLine(*cells, AuditLine(*cells, b"").chained(state.head, sealer, state.id))


def actor() -> str:
    """Return who acts: what FACEREG_ACTOR says, else the user's name in the environment, else the user's number.

    The system's list of users is not asked: it may lie on a server.
    """
    for variable in (ACTOR, "LOGNAME", "USER", "USERNAME"):
        given = " ".join(os.environ.get(variable, "").split())[:LONGEST_ACTOR]
        if given and given.isprintable():
            return given
    return f"user {os.getuid()}"


def write_line(connection: Connection, line: AuditLine) -> None:
    """Put a line behind the others, in the transaction that is open."""
    connection.execute(
        "INSERT INTO audit (number, at, actor, action, person, embeddings, seal) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (line.number, line.at, line.actor, line.action, line.person, line.embeddings, line.seal),
    )


def read_lines(connection: Connection) -> Iterator[AuditLine]:
    """Yield the lines as the store has them, in order."""
    for cells in connection.execute(
        "SELECT number, at, actor, action, person, embeddings, seal, name FROM audit "
        "LEFT JOIN people ON people.id = person ORDER BY number"
    ):
        yield AuditLine(*cells)


def chain_problem(connection: Connection, state: State, sealer: Sealer) -> str:
    """Say where the chain of lines is broken; nothing where it is whole."""
    previous, number = b"", 0
    for number, line in enumerate(read_lines(connection), 1):
        if line.number != number:
            return f"audit: line {number} is missing; restore a copy that has it"
        if line.seal != line.chained(previous, sealer, state.id):
            return f"audit: line {number} or the one before it was altered or exchanged; restore a copy"
        previous = line.seal
    if (number, previous) != (state.audited, state.head):
        return f"audit: {number} lines are there, {state.audited} were written; restore a copy that has them"
    return ""
