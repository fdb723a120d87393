"""Moves old events out of the database into the archive, unless a legal hold forbids it."""

import sqlite3
from collections.abc import Iterator

from broker import Keyring
from interlock.errors import InterlockError
from interlock.ledger.archive import COLUMNS, Archive, Seal
from interlock.ledger.ledger import Ledger
from interlock.store.migrations import guards_of

# As many at a time as a writer may be kept waiting for: some tenths of a second.
BATCH = 10_000
_HOLD = "legal_hold"
_END = (
    "select coalesce((select min(seq) from events where node = ? and ts >= ?), "
    "(select max(seq) from events where node = ?))"
)
_OLD = (
    f"select {', '.join(COLUMNS)} from events where node = ? and seq < ? "  # noqa: S608
    "order by seq limit ?"
)
_GUARD = "trigger events_no_delete"


class HoldError(InterlockError):
    """A legal hold keeps the ledger as it is; the message says why and since when."""


def prune(ledger: Ledger, archive: Archive, keyring: Keyring, before: float) -> Iterator[Seal]:
    """Archive what is older than `before` (epoch seconds), yielding each file as it is done.

    A row leaves the database only once its file is on disk; cut short at any point, it can be
    run again. The newest row of a chain stays, because the next one continues it. Raises
    HoldError, AttestationError, StoreError or OSError.
    """
    for node in ledger.nodes():
        archive.forget_from(node, ledger.first(node))
        ((end,),) = ledger.rows(_END, node, before, node)
        while True:
            if reason := hold_of(ledger):
                raise HoldError(f"a legal hold forbids it: {reason}")
            rows = ledger.rows(_OLD, node, end, BATCH)
            if not rows:
                break
            seal = archive.store([tuple(row) for row in rows], keyring)
            _remove(ledger, seal)
            yield seal


def hold(ledger: Ledger, reason: str) -> None:
    """Forbid pruning from now on, for a reason; an empty one ends the hold."""

    def work(connection: sqlite3.Connection) -> None:
        before = hold_in(connection)
        if before == reason:
            return
        connection.execute("insert or replace into meta values (?, ?)", [_HOLD, reason])
        ledger.admin(connection, "ledger.hold", {"before": before, "after": reason})

    ledger.change(work)


def hold_of(ledger: Ledger) -> str:
    """Why pruning is forbidden; empty when it is not."""
    rows = ledger.rows("select value from meta where key = ?", _HOLD)
    return str(rows[0][0]) if rows else ""


def hold_in(connection: sqlite3.Connection) -> str:
    """The same, inside a transaction."""
    row = connection.execute("select value from meta where key = ?", [_HOLD]).fetchone()
    return str(row[0]) if row else ""


def _remove(ledger: Ledger, seal: Seal) -> None:
    """Delete the rows of a sealed file; the guard that forbids it is back before anyone sees."""

    def work(connection: sqlite3.Connection) -> None:
        if reason := hold_in(connection):
            raise HoldError(f"a legal hold forbids it: {reason}")
        guard = guards_of(connection)[_GUARD]
        connection.execute(f"drop {_GUARD}")
        connection.execute(
            "delete from events where node = ? and seq between ? and ?",
            [seal.node, seal.first, seal.last],
        )
        connection.execute(guard)
        details = {"file": seal.file, "sha256": seal.sha256, "last": seal.last, "hash": seal.hash}
        ledger.admin(connection, "ledger.prune", details)

    ledger.change(work)
