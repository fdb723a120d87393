"""`interlock audit verify` and `checkpoint`: is the record what it was?"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.exits import NoError
from interlock.cli.home import Records, changing, reading, settings_of
from interlock.cli.past import Folder
from interlock.cli.printing import Json, say, say_json
from interlock.cli.rows import rows_shown
from interlock.cli.words import parse_moment, require_order, typed
from interlock.errors import SettingsError
from interlock.ledger import Archive, Checkpoint, Span, Trail, Verification
from interlock.settings import Settings

Checkpoints = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="A copy of checkpoints kept elsewhere; default: those of the home."
    ),
]
Start = Annotated[
    float | None,
    typer.Option(
        "--from",
        metavar="WHEN",
        parser=typed(parse_moment),
        help="Only from here on: a date, a time (UTC), or an age such as 7d.",
    ),
]
End = Annotated[
    float | None,
    typer.Option(
        "--to",
        metavar="WHEN",
        parser=typed(parse_moment),
        help="Only up to here; a date means its 0:00.",
    ),
]


def verify(
    context: typer.Context,
    checkpoints: Checkpoints = None,
    start: Start = None,
    end: End = None,
    archive: Folder = None,
    as_json: Json = False,
) -> None:
    """Check hashes, checkpoints and guards: exit 0 intact, 1 tampered, 2 could not run."""
    require_order("--from", start, "--to", end)
    settings = settings_of(context)
    span = Span(start or 0.0, end) if end else Span(start or 0.0)
    with reading(settings) as records:
        result = verified(settings, records, checkpoints, archive, span)
    if as_json:
        said = {"events": result.events, "checkpoints": result.checkpoints}
        say_json({"intact": result.intact} | said | {"problem": result.problem})
        raise typer.Exit(0 if result.intact else 1)
    if not result.intact:
        raise NoError(f"the ledger was tampered with: {result.problem}")
    read, marks = _many(result.events, "event"), _many(result.checkpoints, "checkpoint")
    agree = "agrees" if result.checkpoints == 1 else "agree"
    say(f"The ledger is intact: {read}, every hash fits, and {marks} {agree}.")


def checkpoint(context: typer.Context, as_json: Json = False) -> None:
    """Sign where the ledger ends now, if anything has happened since the last time."""
    settings = settings_of(context)
    with changing(settings) as home:
        made = home.notary.sign(time.time())
    if as_json:
        say_json({"made": made, "folder": str(settings.checkpoints)})
        return
    say(f"A checkpoint is in {settings.checkpoints}." if made else "Nothing has happened since.")


def verified(
    settings: Settings,
    records: Records,
    checkpoints: Path | None = None,
    archive: Path | None = None,
    span: Span | None = None,
) -> Verification:
    """Hold the ledger against its hashes, its archive, and the checkpoints there or of the home."""
    kept = Archive(archive or settings.archive)
    # A copy that is kept elsewhere may be older; the home's own must have every line.
    own = None if checkpoints else Trail(settings.checkpoints)
    with rows_shown(records.database):
        return records.ledger.verify(_checkpoints_of(settings, checkpoints), span, kept, own)


def _checkpoints_of(settings: Settings, folder: Path | None) -> Iterator[Checkpoint]:
    """The checkpoints of a folder that somebody named, where some must be, or of the home."""
    trail = Trail(folder or settings.checkpoints)
    if folder and not trail.exists:
        raise SettingsError(f"--checkpoints: there are no checkpoints in {folder}")
    return trail.read()


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
