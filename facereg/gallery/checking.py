"""What is wrong with a gallery, line by line."""

from __future__ import annotations

import numpy as np

from facereg.gallery.audit import chain_problem
from facereg.gallery.rows import Connection, Row, State, read_rows
from facereg.gallery.seals import SIZE, Sealer, added

REMEDY = "remove the person and enrol again"


def structure_problems(connection: Connection, *, quick: bool = False) -> list[str]:
    """Return what SQLite finds wrong with its pages, tables and (unless quick) indexes."""
    pragma = "quick_check(1)" if quick else "integrity_check"
    return [f"database: {' '.join(row[0].split())}" for row in connection.execute(f"PRAGMA {pragma}") if row[0] != "ok"]


def row_problems(connection: Connection, sealer: Sealer) -> list[str]:
    """Return what is wrong with a gallery's rows, a line each; nothing where they are sound."""
    found = []
    state = State.read(connection)
    if not state.is_sound(sealer):
        found.append(
            f"gallery {state.space!r}: its bytes were altered; restore an export or a copy, or run gallery rebuild"
        )
    found += [
        f"embedding {number}: its person is missing; run gallery rebuild"
        for (number,) in connection.execute(
            "SELECT id FROM embeddings WHERE person NOT IN (SELECT id FROM people) ORDER BY id"
        )
    ]
    empty = connection.execute(
        "SELECT name FROM people WHERE id NOT IN (SELECT person FROM embeddings) ORDER BY name"
    ).fetchall()
    found += [f"{name!r}: has no embedding; remove the person" for (name,) in empty]
    count, total = 0, bytes(SIZE)
    for row in read_rows(connection, state, sealer):
        count, total = count + 1, added(total, row.seal)
        if problem := _problem(row, state, sealer):
            found.append(f"{row.name!r}, {row.source}: {problem}; {REMEDY}")
    if not found and (count, total) != (state.embeddings, state.total):
        found.append(
            f"embeddings: {count} are there, {state.embeddings} were enrolled; some were added, exchanged or taken "
            "away by another program; restore an export or a copy, or run gallery rebuild"
        )
    listed = connection.execute("SELECT count(*) FROM people").fetchone()[0]
    if not found and listed != state.people:
        found.append(f"people: {listed} are there, {state.people} were enrolled; run gallery rebuild")
    if problem := chain_problem(connection, state, sealer):
        found.append(problem)
    return found


def _problem(row: Row, state: State, sealer: Sealer) -> str:
    """Say what is wrong with an embedding, its name among it; nothing where it is sound."""
    if row.seal != row.sealed(sealer, state):
        return "its bytes were altered"
    if len(row.vector) != 4 * state.dim:
        return f"has {len(row.vector) // 4} numbers, the others {state.dim}"
    length = float(np.linalg.norm(np.frombuffer(row.vector, "<f4")))
    return "" if abs(length - 1) < 1e-3 else f"has length {length:.3f}, expected 1"
