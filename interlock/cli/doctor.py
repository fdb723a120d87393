"""`interlock doctor`."""

from dataclasses import asdict

import typer

from interlock.cli.checks import Check, Status, examine
from interlock.cli.home import settings_of
from interlock.cli.printing import Json, say_json, say_styled

STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILURE: "bold red"}


def run(context: typer.Context, as_json: Json = False) -> None:
    """Look for what would keep the front door from working; exit 1 when something would."""
    failed = False
    for check in examine(settings_of(context)):
        failed = failed or check.status is Status.FAILURE
        if as_json:
            say_json(asdict(check))
        else:
            _say(check)
    raise typer.Exit(1 if failed else 0)


def _say(check: Check) -> None:
    advice = f": {check.advice}" if check.advice else ""
    say_styled(
        (f"{check.status:<8} ", STYLES[check.status]),
        (f"{check.subject:<12} ", "bold"),
        (f"{check.found}{advice}", ""),
    )
