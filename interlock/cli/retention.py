"""`interlock audit prune` and `hold`: how long the record is kept in the database."""

import time
from typing import Annotated

import typer
from rich.console import Console

from broker import Keyring
from interlock.cli.exits import NoError
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, say, say_json
from interlock.cli.words import parse_duration, parse_text, typed
from interlock.ledger import Archive
from interlock.ledger.retention import HoldError, hold_of, prune
from interlock.ledger.retention import hold as keep


def prune_(
    context: typer.Context,
    older_than: Annotated[
        float,
        typer.Option(
            "--keep",
            metavar="DURATION",
            parser=typed(parse_duration),
            help="How much stays in the database, such as 90d.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Move old events into signed, compressed files in the home, which `verify` reads too."""
    settings = settings_of(context)
    events = files = 0
    with changing(settings) as home, Console(stderr=True).status("pruning"):
        keyring = Keyring.open(settings.keys, "checkpoint")
        archive = Archive(settings.archive)
        try:
            for seal in prune(home.ledger, archive, keyring, time.time() - older_than):
                events += seal.last - seal.first + 1
                files += 1
        except HoldError as e:
            raise NoError(str(e)) from None
    if as_json:
        say_json({"events": events, "files": files, "folder": str(settings.archive)})
        return
    into = "1 file" if files == 1 else f"{files} files"
    say(f"{events} events went into {into} in {settings.archive}.")


def hold(
    context: typer.Context,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", parser=typed(parse_text), help="Forbid pruning; say why."),
    ] = None,
    release: Annotated[bool, typer.Option("--release", help="Allow pruning again.")] = False,
    as_json: Json = False,
) -> None:
    """Put the ledger under a legal hold, end it, or say whether there is one."""
    if reason is not None and release:
        raise typer.BadParameter("give --reason or --release, not both")
    if reason is not None and not reason.strip():
        raise typer.BadParameter("--reason: say why, it is empty")
    settings = settings_of(context)
    if reason or release:
        with changing(settings) as home:
            keep(home.ledger, reason or "")
    with reading(settings) as records:
        held = hold_of(records.ledger)
    if as_json:
        say_json({"held": bool(held), "reason": held})
        return
    say(f"Nothing may be pruned: {held}" if held else "There is no legal hold.")
