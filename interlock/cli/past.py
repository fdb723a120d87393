"""What was pruned, for commands that read the ledger: where it lies, and whether to read it."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.home import Records
from interlock.cli.printing import complain
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
    archive = Archive(folder or settings.archive)
    past = records.ledger.past(archive)
    if pruned or folder:
        return past
    with suppress(AttestationError):  # nobody asked for it, and `audit verify` says what is wrong
        if past.reaches(since):
            complain(f"older events were pruned into {archive.folder}: --pruned reads them too")
    return None
