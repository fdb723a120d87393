"""What was pruned, for commands that read the ledger: where it lies, and whether to read it."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.home import Records
from interlock.cli.printing import complain
from interlock.errors import StoreError
from interlock.ledger import Archive, AttestationError
from interlock.ledger.past import Past
from interlock.settings import Settings

Folder = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        metavar="DIR",
        # One that is not there would look like a ledger that was tampered with, or an empty one.
        exists=True,
        file_okay=False,
        help="Where pruned events lie; default: in the home.",
    ),
]
Pruned = Annotated[
    bool, typer.Option("--pruned", help="Pruned events too: 0.1 s for each file of the archive.")
]


def past_of(
    records: Records, settings: Settings, pruned: bool, folder: Path | None, since: float
) -> Past | None:
    """What was pruned, if it is asked for; whoever does not ask is told that there is some."""
    if pruned or folder:
        return records.ledger.past(Archive(folder or settings.archive))
    tell_of_past(records, settings, since, ": --pruned reads them too")
    return None


def tell_of_past(records: Records, settings: Settings, since: float, further: str) -> None:
    """Say on stderr, with some words after it, that what somebody asks about was pruned in part."""
    archive = Archive(settings.archive)
    with suppress(AttestationError):  # nobody asked for it, and `audit verify` says what is wrong
        if records.ledger.past(archive).reaches(since):
            complain(f"older events were pruned into {archive.folder}{further}")


def story_of(
    records: Records, settings: Settings, reference: str, folder: Path | None = None
) -> list[dict[str, Any]]:
    """Every event of a decision, by its id or that of one of them, wherever they are by now.

    Raises StoreError when there is none, or AttestationError.
    """
    archive = Archive(folder or settings.archive)
    past = records.ledger.past(archive)
    events = records.ledger.of(reference, past)
    if not events:
        where = f"the database{f', nor {archive.folder},' if archive.nodes() else ''}"
        raise StoreError(f"{where} has no decision or event {reference!r}")
    decision_id = events[0]["decision_id"]
    return records.ledger.of(decision_id, past) if decision_id else events
