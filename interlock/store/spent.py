"""Token ids that were used: each is recorded once, and forgotten when its token cannot verify."""

import itertools
import sqlite3

# A token lives 300 s at most and clocks may differ by 5 s; a minute more costs nothing.
KEEP_AFTER_EXPIRY = 60.0
# One in so many that a process spends clears up after all: one by one cost a third of spending.
FORGET_EVERY = 64
_spends = itertools.count()


def spend(connection: sqlite3.Connection, token_id: str, expires_at: float, now: float) -> None:
    """Record the id as spent inside the caller's transaction; raise ValueError on a second use.

    `insert or ignore` and its row count decide, because check-then-insert loses the race
    between processes.
    """
    if next(_spends) % FORGET_EVERY == 0:
        forget(connection, now)
    added = connection.execute(
        "insert or ignore into spent_tokens values (?, ?)", [token_id, expires_at]
    )
    if added.rowcount != 1:
        raise ValueError("the token id was spent already")


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Let go of ids whose tokens nobody could verify any more."""
    connection.execute("delete from spent_tokens where expires_at < ?", [now - KEEP_AFTER_EXPIRY])
