"""Keeps what nobody waited for and the disk did not take, so that it can be written later."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable

from interlock.ledger.chain import Event

# Beyond it the oldest are lost: their calls get the outcome `unknown` when their process ends.
MOST = 4_096

type Note = tuple[Event, Callable[[sqlite3.Connection], None] | None]


class Unsaid:
    """Notes that failed, oldest first; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: deque[Note] = deque(maxlen=MOST)

    def keep(self, notes: Iterable[Note]) -> None:
        """Keep notes for later."""
        with self._lock:
            self._notes.extend(notes)

    def take(self) -> list[Note]:
        """Return all that was kept, and forget it."""
        with self._lock:
            notes = list(self._notes)
            self._notes.clear()
            return notes


def is_written(connection: sqlite3.Connection, event: Event) -> bool:
    """True for an event that is there: a write can succeed although its answer came too late."""
    sql = "select 1 from events where ts = ? and id = ?"
    return connection.execute(sql, [event.ts, event.id]).fetchone() is not None
