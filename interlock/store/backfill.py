"""Brings what was committed from the log into the file, beside the writer.

SQLite has whoever commits do that, once the log has its pages (`database.LOG_PAGES`): all calls
wait for it, for some milliseconds. Done beside it ahead of time, what is left then is little.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

# So many commits go by between one time and the next: a tenth of a second under load.
EVERY = 100


class Backfill:
    """A thread for it, from the first time that it is due, with a connection of its own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "interlock-backfill")
        self._commits = 0

    def committed(self) -> None:
        """Take note of a commit; never waits."""
        self._commits += 1
        if self._commits % EVERY == 0:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._thread.submit(self._fill)

    def close(self) -> None:
        """Finish what was begun."""
        self._thread.shutdown(cancel_futures=True)
        self._drop()

    def _fill(self) -> None:
        """As far as nobody who reads or writes would have to wait (PRAGMA wal_checkpoint)."""
        try:
            self._connection = self._connection or self._connect()
            self._connection.execute("pragma wal_checkpoint(passive)").fetchall()
        except sqlite3.Error as e:
            log.debug("the log is left to whoever commits: %s", e)
            self._drop()

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
