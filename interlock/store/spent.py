"""Token ids that were used: each is recorded once, and forgotten when its token cannot verify."""

import itertools
import sqlite3
from collections.abc import Sequence

from interlock.store.rows import insert

# A token lives 300 s at most and clocks may differ by 5 s; a minute more costs nothing.
KEEP_AFTER_EXPIRY = 60.0
# One in so many that a process spends clears up after all: one by one cost a third of spending.
FORGET_EVERY = 64
_spends = itertools.count()


# A token's id, and when it expires.
type Spent = tuple[str, float]


def spend(connection: sqlite3.Connection, tokens: Sequence[Spent], now: float) -> None:
    """Record ids as spent inside the caller's transaction; raise ValueError on a second use.

    `insert or ignore` and its row count decide, because check-then-insert loses the race
    between processes.
    """
    if not all(next(_spends) % FORGET_EVERY for _ in tokens):
        forget(connection, now)
    if insert(connection, "insert or ignore into spent_tokens", tokens) != len(tokens):
        raise ValueError("the token id was spent already")


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Let go of ids whose tokens nobody could verify any more."""
    connection.execute("delete from spent_tokens where expires_at < ?", [now - KEEP_AFTER_EXPIRY])
