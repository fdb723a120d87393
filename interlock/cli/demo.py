"""`interlock demo`."""

import typer

from interlock.cli.printing import Json


def run(as_json: Json = False) -> None:
    """Run the whole way of a call on this machine; needs no network and leaves nothing behind."""
    from interlock.demo.run import demo

    raise typer.Exit(demo(as_json))
