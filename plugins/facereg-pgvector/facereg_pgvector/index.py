"""The index of the vectors that are searched."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from facereg import Address, GalleryError
from facereg.gallery import Connection, State
from facereg_pgvector.place import Place, named
from facereg_pgvector.session import Session

INDEXES: Final = ("hnsw", "ivf")  # the one that is searched first where there are both
LARGEST = 2000  # numbers of a vector that pgvector can index
MEMORY = "512MB"  # for building: 100,000 vectors of 128 numbers fit, and more are built more slowly


def indexes_of(connection: Connection) -> tuple[str, ...]:
    """Return which indexes the templates have, whole and in use."""
    rows = connection.execute(
        "SELECT relname FROM pg_index JOIN pg_class ON indexrelid = oid "
        "WHERE indrelid = 'templates'::regclass AND indisvalid AND relname LIKE ?",
        ("templates\\_%",),
    )
    return tuple(name.removeprefix("templates_") for (name,) in rows)


def create_index(connection: Connection, kind: str, dim: int, *, concurrently: bool = False) -> None:
    """Make an index of the templates.

    Args:
        kind: `hnsw` or `ivf`.
        dim: numbers of each vector.
        concurrently: others may write meanwhile; not within a transaction.
    """
    method, more = "hnsw", ""
    if kind == "ivf":
        [count] = connection.execute("SELECT count(*) FROM templates").fetchone()
        # pgvector's own advice: rows / 1000 up to a million
        method, more = "ivfflat", f" WITH (lists = {max(10, count // 1000)})"
    connection.execute(
        f"CREATE INDEX {'CONCURRENTLY ' if concurrently else ''}templates_{kind} ON templates "
        f"USING {method} ((total::vector({dim})) vector_cosine_ops){more}"
    )


def index_gallery(address: Address, kind: str) -> int:
    """Make the index of a gallery anew, or with `none` take away what there is; others go on reading and writing.

    Returns:
        how many people it is of.
    Raises:
        GalleryError: if the gallery holds nobody, or vectors too long for an index.
    """
    place = Place.of(address)
    with named(place), closing(Session(place)) as session:
        state = State.read(session)
        dim = state.dim
        if kind != "none" and not 0 < dim <= LARGEST:
            raise GalleryError(f"expected vectors of 1 to {LARGEST} numbers to index, got {dim}")
        session.execute("SET lock_timeout = 0")  # it waits for every writer that is at it
        session.execute(f"SET maintenance_work_mem = '{MEMORY}'")
        for index in INDEXES if kind == "none" else (kind,):
            session.execute(f"DROP INDEX CONCURRENTLY IF EXISTS templates_{index}")
        if kind != "none":
            create_index(session, kind, dim, concurrently=True)
    return state.people
