"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import CommandSpec, ModelSpec, StoreSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_stores() -> list[StoreSpec]:
    return [
        StoreSpec(scheme, "facereg_pgvector.store:PostgresStore", "a gallery in PostgreSQL with pgvector")
        for scheme in ("postgresql", "postgres")
    ]


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="pgvector",
            role="matcher",
            factory="facereg_pgvector.matcher:PgvectorMatcher",
            licence="MIT",
            paper="Malkov and Yashunin 2016, Hierarchical Navigable Small World graphs, arXiv:1603.09320",
            summary="searches in the gallery's PostgreSQL database: by HNSW or IVF index, or everybody",
        )
    ]


@hookimpl
def facereg_commands() -> list[CommandSpec]:
    return [CommandSpec("pgvector-index", "facereg_pgvector.commands:app", "Make the index of a gallery's database.")]
