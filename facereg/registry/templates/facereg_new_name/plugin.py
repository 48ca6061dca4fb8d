"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="new-name",
            role="detector",
            factory="facereg_new_name.detector:NewStage",
            summary="new summary",
        )
    ]
