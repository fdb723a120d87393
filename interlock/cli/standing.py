"""`trust`, `quarantine` and `revoke`, which agents and servers have alike."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, say, say_json
from interlock.cli.words import parse_text, typed
from interlock.installation import Installation
from interlock.model import Trust

_TO = {"trust": Trust.TRUSTED, "quarantine": Trust.QUARANTINED, "revoke": Trust.REVOKED}

Reason = Annotated[
    str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
]
# What changes how far one is trusted: its name, to what, and why.
type Move = Callable[[str, Trust, str], object]


def offer(
    app: typer.Typer,
    move: Callable[[Installation], Move],
    noun: str,
    name_help: str,
    helps: Mapping[str, str],
) -> None:
    """Give an app the three commands, each with what it means for what `noun` names."""
    for verb, help_ in helps.items():
        app.command(verb, help=help_)(_command(move, noun, name_help, _TO[verb]))


def _command(
    move: Callable[[Installation], Move], noun: str, name_help: str, to: Trust
) -> Callable[..., None]:
    def command(
        context: typer.Context,
        name: Annotated[str, typer.Argument(metavar="NAME", help=name_help)],
        reason: Reason = "",
        as_json: Json = False,
    ) -> None:
        with changing(settings_of(context)) as home:
            move(home)(name, to, reason)
        if as_json:
            say_json({"name": name, "trust": to})
            return
        say(f"{noun} {name} is {to}, from the next call on.")

    return command
