"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import CommandSpec, ModelSpec, RecipeSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="new-name",
            role="detector",
            factory="facereg_new_name.detector:NewStage",
            options_from="facereg_new_name.detector:NewStageOptions",
            licence="MIT; no weights",
            card="README of facereg-new-name",
            summary="new summary",
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="new-name",
            run="facereg_new_name.recipe:run",
            summary="the mean and the deviation of the colours of pictures",
            settings_from="facereg_new_name.recipe:Settings",
        )
    ]


@hookimpl
def facereg_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="new-name-colours",
            app="facereg_new_name.commands:app",
            summary="the mean colour of pictures",
        )
    ]
