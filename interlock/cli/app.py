"""The command `interlock`: its nouns, and the option that all of them share."""

import logging
from typing import Annotated

import typer

from interlock.cli import version
from interlock.cli.exits import Commands

app = typer.Typer(
    name="interlock",
    cls=Commands,
    help="Runtime governance for AI agents.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Home = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Where the state is kept, in place of INTERLOCK_HOME."),
]


def _say_version(wanted: bool) -> None:
    if wanted:
        version.run()
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_say_version, is_eager=True, help="As `version`.")
]


@app.callback(invoke_without_command=True)
def main(context: typer.Context, home: Home = None, _: Version = False) -> None:
    """Runtime governance for AI agents: every call identified, judged, recorded."""
    context.obj = home
    # A command says itself, in its one line, what the store did not take; what runs on logs it.
    logging.getLogger("interlock.store.writer").addHandler(logging.NullHandler())
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
