"""`interlock key rotate`, and the keys with which this installation itself signs."""

import sqlite3
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

import typer

from broker import BrokerError, KeptKey, KeyFolder, kid_of
from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, moment, say, say_json
from interlock.delegation import format_public_key
from interlock.errors import StoreError
from interlock.installation import Installation
from interlock.settings import Settings

# What each kind of key signs: the tokens of calls, and the checkpoints of the ledger.
Purpose = Literal["sct", "checkpoint"]


def rotate(
    context: typer.Context,
    purpose: Annotated[
        Purpose, typer.Argument(metavar="PURPOSE", help="What the key signs: sct or checkpoint.")
    ],
    as_json: Json = False,
) -> None:
    """Make a new signing key. Running front doors take it up within a second.

    The key before it verifies for as long as its last token may live, and is then removed. What a
    key of checkpoints has signed verifies on: its public half lies beside them.
    """
    with changing(settings_of(context)) as home:
        kept = _rotated(home, purpose)
    new, old = kept[-1], kept[-2]
    if as_json:
        named = {"purpose": purpose, "kid": _kid(new), "before": _kid(old)}
        say_json(named | {"until": _until(old, purpose)})
        return
    until = _until(old, purpose)
    end = f"until {moment(until)}" if until else "on what it has signed"
    say(f"Key {_kid(new)} signs now. Key {_kid(old)} verifies {end}.")


def own_keys(settings: Settings) -> Iterator[dict[str, Any]]:
    """The keys of this installation as `key list` shows them; raises broker.KeyFileError."""
    now = time.time()
    for purpose in get_args(Purpose):
        for kept in KeyFolder(settings.keys, purpose).kept():
            yield {
                "kid": _kid(kept),
                "purpose": purpose,
                "state": _state(kept, purpose, now),
                "holder": "",
                "public": format_public_key(kept.key.verify_key),
                "until": _until(kept, purpose),
                "revoked_at": None,
            }


def _rotated(home: Installation, purpose: Purpose) -> list[KeptKey]:
    """Make the key and record it: both, or neither. Raises StoreError or broker.KeyFileError."""
    folder = KeyFolder(home.settings.keys, purpose)
    folder.furnish()
    made = []

    def work(connection: sqlite3.Connection) -> list[KeptKey]:
        made.append(folder.rotate())
        kept = folder.kept()
        details = {"purpose": purpose, "before": _kid(kept[-2]), "after": _kid(kept[-1])}
        home.ledger.admin(connection, "key.rotate", details)
        return kept

    try:
        return home.database.write(work)
    except (StoreError, BrokerError):
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _state(kept: KeptKey, purpose: Purpose, now: float) -> str:
    if kept.until is None:
        return "signs"
    until = _until(kept, purpose)
    return "verifies" if until is None or now < until else "ended"


def _until(kept: KeptKey, purpose: Purpose) -> float | None:
    """Until when what a key signed verifies: a token's life long, a checkpoint for good."""
    return None if purpose == "checkpoint" else kept.until


def _kid(kept: KeptKey) -> str:
    return kid_of(kept.key.verify_key)
