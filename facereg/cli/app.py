"""The commands, put together."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from facereg import __version__
from facereg.cli import comparing, data, demo, evaluate, gallery, installed, people, pictures, training, triton
from facereg.registry.hooks import CommandSpec


class _Commands(typer.core.TyperGroup):
    """Our commands, and those of plugins: what is installed is looked at only where none of ours is meant."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_plugins_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        spec = _plugins_commands().get(cmd_name)
        return None if spec is None else _command(spec)


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
app.command()(pictures.embed)
app.command()(comparing.verify)
app.command()(people.enroll)
app.command()(people.identify)
app.add_typer(gallery.app, name="gallery")
app.add_typer(evaluate.app, name="evaluate")
app.command()(comparing.calibrate)
app.command()(installed.models)
app.add_typer(installed.plugins, name="plugins")
app.command()(training.train)
app.command()(training.export)
app.command()(training.quantize)
app.add_typer(data.app, name="data")
app.add_typer(triton.app, name="triton")


def _plugins_commands() -> dict[str, CommandSpec]:
    from facereg.registry.installed import default_registry

    return {spec.name: spec for spec in default_registry().commands()}


def _command(spec: CommandSpec) -> typer.core.TyperCommand:
    """Return a plugin's command; its module is imported when it is called."""

    def run(context: typer.Context) -> None:
        from facereg.networks.spec import import_object

        import_object(spec.app)(args=context.args, prog_name=f"facereg {spec.name}")

    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(spec.name, help=spec.summary, context_settings=passed_on)(run)
    made = typer.main.get_command(alone)
    made.name = spec.name
    return cast(typer.core.TyperCommand, made)
