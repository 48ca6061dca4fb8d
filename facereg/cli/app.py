"""The commands, put together."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, cast

import typer

from facereg import __version__
from facereg.cli import (
    collecting,
    comparing,
    data,
    demo,
    evaluate,
    gallery,
    grouping,
    installed,
    models,
    people,
    pictures,
    report,
    study,
    training,
    triton,
)
from facereg.registry.hooks import CommandSpec


class _Commands(typer.core.TyperGroup):
    """Our commands, and those of plugins: what is installed is looked at only where none of ours is meant."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *GROUPS, *_plugins_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        if cmd_name in GROUPS:
            return _Group(cmd_name, *GROUPS[cmd_name])
        spec = _plugins_commands().get(cmd_name)
        return None if spec is None else _command(spec)


class _Group(typer.core.TyperGroup):
    """Commands of one kind, put together when one of them, or their list, is asked for: most calls need none.

    Args:
        default: the command that is meant where none is named.
    """

    def __init__(self, name: str, commands: typer.Typer, default: str) -> None:
        super().__init__(name=name, help=commands.info.help, no_args_is_help=not default, rich_markup_mode=None)
        self._typer, self.default = commands, default

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Have words that begin with no command of the group be those of the default one."""
        known = [*self._made.commands, *ctx.help_option_names]
        if self.default and not (args and args[0] in known):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    @cached_property
    def _made(self) -> typer.core.TyperGroup:
        return cast(typer.core.TyperGroup, typer.main.get_command(self._typer))

    def list_commands(self, ctx: Any) -> list[str]:
        return self._made.list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._made.get_command(ctx, cmd_name)


app = typer.Typer(
    cls=_Commands,
    help="Find faces, and say who they are.",
    no_args_is_help=True,
    rich_markup_mode=None,  # else it takes [train] for markup
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"facereg {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


app.command()(demo.demo)
app.command()(pictures.detect)
app.command()(pictures.landmarks)
app.command()(pictures.embed)
app.command()(comparing.verify)
app.command()(people.enroll)
app.command()(people.identify)
app.command()(collecting.index)
app.command()(collecting.find)
app.command()(comparing.calibrate)
app.command()(report.report)
app.command()(training.train)
app.command()(training.export)
app.command()(training.quantize)
GROUPS = {  # each with the command that is meant where none is named
    "gallery": (gallery.app, ""),
    "group": (grouping.app, "make"),
    "evaluate": (evaluate.app, ""),
    "models": (models.app, "show"),
    "plugins": (installed.plugins, ""),
    "data": (data.app, ""),
    "study": (study.app, ""),
    "triton": (triton.app, ""),
}


def _plugins_commands() -> dict[str, CommandSpec]:
    from facereg.registry.installed import default_registry

    return {spec.name: spec for spec in default_registry().commands()}


def _command(spec: CommandSpec) -> typer.core.TyperCommand:
    """Return a plugin's command; its module is imported when it is called."""

    def run(context: typer.Context) -> None:
        from facereg.networks.spec import import_object

        names = context.parent.help_option_names if context.parent else ["--help"]  # those of our own commands
        import_object(spec.app)(args=context.args, prog_name=f"facereg {spec.name}", help_option_names=names)

    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(spec.name, help=spec.summary, context_settings=passed_on)(run)
    made = typer.main.get_command(alone)
    made.name = spec.name
    return cast(typer.core.TyperCommand, made)
