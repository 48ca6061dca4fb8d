"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="faiss",
            role="matcher",
            factory="facereg_faiss.matcher:FaissMatcher",
            licence="MIT",
            card="README of facereg-faiss",
            paper="Douze et al. 2024, The Faiss library, arXiv:2401.08281",
            summary="faiss's indexes: hnsw (default), ivf, pq with a stated recall, or flat, which is exact",
        )
    ]
