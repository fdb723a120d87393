"""Gives every call an outcome, also one whose process died before it could write it."""

import sqlite3
from collections.abc import Callable
from typing import Any

from interlock.ledger.chain import Event
from interlock.ledger.ledger import Ledger, new_id

UNKNOWN = "unknown"
_MARK = "settled_to"
# What is part of a call has no outcome of its own. By rowid, because clocks are set back.
_OPEN = """
    select rowid as place, decision_id, agent, json_extract(body, '$.run') as run
    from events as decision
    where rowid > ? and kind = 'decision'
      and coalesce(json_extract(body, '$.part_of'), decision_id) = decision_id
      and not (json_extract(body, '$.enforced') and json_extract(body, '$.effect') <> 'allow')
      and not exists (
        select 1 from events where kind = 'outcome' and decision_id = decision.decision_id)
    order by rowid
"""
_CLOSED = "select 1 from events where kind = 'outcome' and decision_id = ?"

type Rows = list[sqlite3.Row]


def settle(ledger: Ledger, is_alive: Callable[[str], bool], now: float) -> int:
    """Close the calls that no living process will close; return how many there were.

    `is_alive` answers for the id of a run. Calls of a process that lives stay open. Looks back
    to the oldest call that was open the last time, so that the work does not grow with the
    ledger, and looks without keeping anybody from writing. Raises StoreError.
    """
    newest, rows = ledger.aside(_look)
    alive = {run: is_alive(run) for run in {row["run"] for row in rows if row["run"]}}
    dead = [row for row in rows if not alive.get(row["run"], False)]
    open_still = [row["place"] - 1 for row in rows if alive.get(row["run"], False)]

    def work(connection: sqlite3.Connection) -> int:
        # Another process may have settled them in between.
        left = [row for row in dead if not _is_closed(connection, row)]
        ledger.append(connection, [_unknown(row, now) for row in left])
        mark = str(min([newest, *open_still]))
        connection.execute("insert or replace into meta values (?, ?)", [_MARK, mark])
        return len(left)

    return ledger.change(work)


def _look(connection: sqlite3.Connection) -> tuple[int, Rows]:
    """The number of the newest row, and the decisions up to there that have no outcome."""
    connection.execute("begin")
    (newest,) = connection.execute("select coalesce(max(rowid), 0) from events").fetchone()
    mark = connection.execute("select value from meta where key = ?", [_MARK]).fetchone()
    return newest, connection.execute(_OPEN, [int(mark[0]) if mark else 0]).fetchall()


def _is_closed(connection: sqlite3.Connection, row: sqlite3.Row) -> bool:
    return connection.execute(_CLOSED, [row["decision_id"]]).fetchone() is not None


def _unknown(row: Any, now: float) -> Event:
    """The outcome of a call about which nobody can say more."""
    body = {"ended": UNKNOWN, "status": None, "error": "its process died before the call ended"}
    return Event(new_id("evt"), now, "outcome", row["agent"], row["decision_id"], body)
