"""Gives every call an outcome, also one whose process died before it could write it."""

import sqlite3
from collections.abc import Callable
from typing import Any

from interlock.ledger.chain import Event
from interlock.ledger.ledger import Ledger, new_id

UNKNOWN = "unknown"
# A decision may be on its way to the disk for some seconds after the time that it bears.
MARGIN_S = 60.0
_MARK = "settled_until"
_OPEN = """
    select decision_id, agent, ts, json_extract(body, '$.run') as run from events as decision
    where kind = 'decision' and ts >= ?
      and not (json_extract(body, '$.enforced') and json_extract(body, '$.effect') <> 'allow')
      and not exists (
        select 1 from events where kind = 'outcome' and decision_id = decision.decision_id)
    order by ts
"""


def settle(ledger: Ledger, is_alive: Callable[[str], bool], now: float) -> int:
    """Close the calls that no living process will close; return how many there were.

    `is_alive` answers for the id of a run. Calls of a process that lives stay open. Looks back
    to the oldest call that was open the last time, so that the work does not grow with the
    ledger. Raises StoreError.
    """

    def work(connection: sqlite3.Connection) -> int:
        rows = connection.execute(_OPEN, [_mark(connection)]).fetchall()
        alive = {run: is_alive(run) for run in {row["run"] for row in rows if row["run"]}}
        dead = [row for row in rows if not alive.get(row["run"], False)]
        ledger.append(connection, [_unknown(row, now) for row in dead])
        open_since = [row["ts"] for row in rows if alive.get(row["run"], False)]
        mark = str(min([now - MARGIN_S, *open_since]))
        connection.execute("insert or replace into meta values (?, ?)", [_MARK, mark])
        return len(dead)

    return ledger.change(work)


def _mark(connection: sqlite3.Connection) -> float:
    row = connection.execute("select value from meta where key = ?", [_MARK]).fetchone()
    return float(row[0]) if row else 0.0


def _unknown(row: Any, now: float) -> Event:
    """The outcome of a call about which nobody can say more."""
    body = {"ended": UNKNOWN, "status": None, "error": "its process died before the call ended"}
    return Event(new_id("evt"), now, "outcome", row["agent"], row["decision_id"], body)
