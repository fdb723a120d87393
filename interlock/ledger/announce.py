"""What a front door records about itself: its mode, and the policies that it loads."""

import sqlite3
import time
from typing import Any

from interlock.errors import PolicyError
from interlock.ledger.chain import Event
from interlock.ledger.ledger import Ledger, new_id
from interlock.model import Mode


def announce_mode(ledger: Ledger, mode: Mode) -> None:
    """Record the mode where it differs from the last one, be it that of an earlier start."""

    def work(connection: sqlite3.Connection) -> None:
        row = connection.execute("select value from meta where key = 'mode'").fetchone()
        before = row[0] if row else Mode.OBSERVE
        if before != mode:
            body = {"before": before, "after": mode}
            event = Event(new_id("mod"), time.time(), "mode_change", body=body)
            ledger.append(connection, [event])
            connection.execute("insert or replace into meta values ('mode', ?)", [mode])

    ledger.submit(work)


def announce_policies(ledger: Ledger, digest: str, count: int) -> None:
    """Record a set of policies that is in force from now on."""
    _announce(ledger, {"policy_set": digest, "policies": count})


def announce_failure(ledger: Ledger, error: PolicyError) -> None:
    """Record a set that did not load; the last good one, if any, stays in force."""
    _announce(ledger, {"error": str(error)[:500]})


def _announce(ledger: Ledger, body: dict[str, Any]) -> None:
    ledger.note(Event(new_id("pol"), time.time(), "policy_load", body=body))
